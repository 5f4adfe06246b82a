// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.connectivity;

import dev.weir.policy.authorize.AccessReach;
import dev.weir.policy.cluster.Cluster;
import dev.weir.policy.cluster.Selectors;
import dev.weir.policy.model.Ingress;
import dev.weir.policy.model.Mesh;
import dev.weir.policy.model.NetworkPolicy;
import dev.weir.policy.model.NetworkPolicy.Clause;
import dev.weir.policy.model.NetworkPolicy.Peer;
import dev.weir.policy.model.NetworkPolicy.Port;
import dev.weir.policy.model.PortReference;
import dev.weir.policy.model.Service;
import dev.weir.policy.model.Workload;
import dev.weir.policy.plan.Block;
import dev.weir.policy.plan.Protocol;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.SortedSet;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.BiConsumer;
import java.util.function.Consumer;

/**
 * Every connection that policies allow between workloads, and between them and addresses outside. A
 * connection that may carry some request counts as allowed, and policies in audit refuse nothing.
 *
 * <p>Pods of one controller are one peer: it may do what any of its pods may. Workloads that no
 * policy can tell apart are one class; connections are computed once for two classes and never kept
 * for all pairs, so that memory does not grow with them.
 */
public final class Connectivity {

  /** What stands for whoever serves Ingress objects. */
  public static final String INGRESS_CONTROLLER = "{ingress-controller}";

  /** Sources whose connections are kept at a time. */
  private static final int KEPT = 64;

  /** Groups of destinations that are kept, of all sources together: 16 MB. */
  private static final int KEPT_TARGETS = 2_000_000;

  private final Cluster cluster;
  private final AccessReach reach;
  private final Map<Long, Connections> passing = new HashMap<>();
  private final List<AddressRange> ranges;
  private final int[] classOf;
  private final List<Integer> representatives = new ArrayList<>();
  private final TreeMap<String, BitSet> peers = new TreeMap<>();
  private final List<Side> ingress = new ArrayList<>();
  private final List<Side> egress = new ArrayList<>();
  private final TreeMap<String, Connections> fromController = new TreeMap<>();
  private final Map<Integer, Connections[]> kept = new HashMap<>();
  private final IdentityHashMap<Rule, Connections[]> resolved = new IdentityHashMap<>();

  /** What lets a class through in one direction. */
  private record Side(boolean isolated, List<Rule> rules) {}

  /**
   * A clause, its peers resolved.
   *
   * @param unknown whether it names an unknown pod of an unknown namespace
   */
  private record Rule(
      boolean anybody,
      boolean unknown,
      BitSet classes,
      List<Peer.Addresses> blocks,
      List<Port> ports) {

    boolean names(AddressRange range) {
      return anybody
          || blocks.stream()
              .anyMatch(
                  b ->
                      b.block().contains(range.first())
                          && b.except().stream().noneMatch(e -> e.contains(range.first())));
    }
  }

  /**
   * What may happen from one peer to another.
   *
   * @param source a workload's name, a range of addresses or {@link #INGRESS_CONTROLLER}
   * @param destination a workload's name or a range of addresses
   * @param connections at least one
   */
  public record Row(String source, String destination, Connections connections) {}

  private Connectivity(Cluster cluster, AccessReach reach, Collection<Block> blocks) {
    this.cluster = cluster;
    this.reach = reach;
    this.ranges = AddressRange.cut(blocks);
    this.classOf = new int[cluster.workloads().size()];
    classify();
    sides();
    controller();
  }

  /** What these files allow. */
  public static Connectivity of(Cluster cluster) {
    AccessReach reach = new AccessReach(cluster);
    return new Connectivity(cluster, reach, blocks(cluster, reach));
  }

  /** What two sets of files allow, with addresses cut alike. */
  static List<Connectivity> comparable(Cluster one, Cluster other) {
    AccessReach reachOfOne = new AccessReach(one);
    AccessReach reachOfOther = new AccessReach(other);
    Set<Block> blocks = new HashSet<>(blocks(one, reachOfOne));
    blocks.addAll(blocks(other, reachOfOther));
    return List.of(
        new Connectivity(one, reachOfOne, blocks), new Connectivity(other, reachOfOther, blocks));
  }

  private static Set<Block> blocks(Cluster cluster, AccessReach reach) {
    Set<Block> blocks = new HashSet<>(reach.blocks());
    for (NetworkPolicy policy : cluster.all(NetworkPolicy.class)) {
      for (List<Clause> clauses : List.of(policy.ingress(), policy.egress())) {
        for (Clause clause : clauses) {
          for (Peer peer : clause.peers()) {
            if (peer instanceof Peer.Addresses addresses) {
              blocks.add(addresses.block());
              blocks.addAll(addresses.except());
            }
          }
        }
      }
    }
    return blocks;
  }

  private void classify() {
    Map<List<Object>, Integer> classes = new HashMap<>();
    for (int w = 0; w < classOf.length; w++) {
      Workload workload = cluster.workloads().get(w);
      Set<List<Object>> named = new HashSet<>();
      for (Workload.Port port : workload.ports()) {
        if (!port.name().isEmpty()) {
          named.add(List.of(port.name(), port.protocol(), port.port()));
        }
      }
      List<Object> key =
          List.of(workload.meta().namespace(), workload.meta().labels(), named, reach.identity(w));
      int index = classes.computeIfAbsent(key, k -> classes.size());
      if (index == representatives.size()) {
        representatives.add(w);
      }
      classOf[w] = index;
      peers.computeIfAbsent(workload.peerName(), k -> new BitSet()).set(index);
    }
  }

  private void sides() {
    boolean defaultDeny = cluster.mesh().map(Mesh::defaultDeny).orElse(false);
    List<List<Rule>> in = new ArrayList<>();
    List<List<Rule>> out = new ArrayList<>();
    BitSet isolatedIn = new BitSet();
    BitSet isolatedOut = new BitSet();
    representatives.forEach(
        c -> {
          in.add(new ArrayList<>());
          out.add(new ArrayList<>());
        });
    for (NetworkPolicy policy : cluster.all(NetworkPolicy.class)) {
      if (policy.audit()) {
        continue;
      }
      String namespace = policy.meta().namespace();
      BitSet selected = classes(cluster.select(namespace, policy.podSelector()));
      if (policy.isolatesIngress()) {
        isolatedIn.or(selected);
        List<Rule> rules = policy.ingress().stream().map(c -> rule(namespace, c)).toList();
        selected.stream().forEach(c -> in.get(c).addAll(rules));
      }
      if (policy.isolatesEgress()) {
        isolatedOut.or(selected);
        List<Rule> rules = policy.egress().stream().map(c -> rule(namespace, c)).toList();
        selected.stream().forEach(c -> out.get(c).addAll(rules));
      }
    }
    for (int c = 0; c < representatives.size(); c++) {
      ingress.add(new Side(defaultDeny || isolatedIn.get(c), in.get(c)));
      egress.add(new Side(defaultDeny || isolatedOut.get(c), out.get(c)));
    }
  }

  private BitSet classes(int[] workloads) {
    BitSet classes = new BitSet();
    for (int workload : workloads) {
      classes.set(classOf[workload]);
    }
    return classes;
  }

  private Rule rule(String namespace, Clause clause) {
    BitSet classes = new BitSet();
    List<Peer.Addresses> blocks = new ArrayList<>();
    boolean unknown = clause.peers().isEmpty();
    for (Peer peer : clause.peers()) {
      switch (peer) {
        case Peer.Addresses addresses -> blocks.add(addresses);
        case Peer.Pods pods -> {
          classes.or(classes(cluster.select(namespace, pods)));
          unknown |=
              pods.namespaces().map(s -> Selectors.matches(s, Map.of())).orElse(false)
                  && pods.pods().map(s -> Selectors.matches(s, Map.of())).orElse(true);
        }
      }
    }
    return new Rule(clause.peers().isEmpty(), unknown, classes, blocks, clause.ports());
  }

  /** What Ingress objects lead to, as far as policies let their controller in. */
  private void controller() {
    Map<String, Service> services = new HashMap<>();
    cluster.all(Service.class).forEach(s -> services.put(s.meta().qualifiedName(), s));
    for (Ingress object : cluster.all(Ingress.class)) {
      for (Ingress.Backend backend : object.backends()) {
        Service service = services.get(object.meta().namespace() + "/" + backend.service());
        if (service == null || service.selector().isEmpty()) {
          continue;
        }
        for (int w : cluster.select(object.meta().namespace(), service.selector())) {
          Workload workload = cluster.workloads().get(w);
          Connections opened = Connections.NONE;
          for (Service.Port port : service.ports()) {
            if (port.protocol() == Protocol.TCP && isMeant(port, backend.port())) {
              Port target = new Port(Protocol.TCP, Optional.of(port.target()), port.at());
              opened = opened.or(resolve(List.of(target), classOf[w]));
            }
          }
          Side side = ingress.get(classOf[w]);
          Connections allowed = side.isolated() ? Connections.NONE : Connections.ALL;
          for (Rule rule : side.rules()) {
            if (rule.unknown()) {
              allowed = allowed.or(resolved(rule, classOf[w]));
            }
          }
          Connections both = opened.and(allowed).and(passing(AccessReach.STRANGER, classOf[w]));
          if (!both.isEmpty()) {
            fromController.merge(workload.peerName(), both, Connections::or);
          }
        }
      }
    }
  }

  private static boolean isMeant(Service.Port port, PortReference wanted) {
    return switch (wanted) {
      case PortReference.Named named -> named.name().equals(port.name());
      case PortReference.Numbers numbers ->
          numbers.first() == port.port() || wanted.equals(port.target());
    };
  }

  // Answers.

  /** Names of all workloads, ascending. */
  SortedSet<String> names() {
    return new TreeSet<>(peers.keySet());
  }

  List<AddressRange> ranges() {
    return ranges;
  }

  /** From a workload to another. */
  Connections between(String source, String destination) {
    return between(
        peers.getOrDefault(source, new BitSet()), peers.getOrDefault(destination, new BitSet()));
  }

  private Connections between(BitSet from, BitSet to) {
    Connections result = Connections.NONE;
    for (int s = from.nextSetBit(0); s >= 0; s = from.nextSetBit(s + 1)) {
      for (int d = to.nextSetBit(0); d >= 0; d = to.nextSetBit(d + 1)) {
        result = result.or(between(s, d));
      }
    }
    return result;
  }

  /** From a workload to each range. */
  List<Connections> outwards(String source) {
    return towards(source, egress, true);
  }

  /** From each range to a workload. */
  List<Connections> inwards(String destination) {
    return towards(destination, ingress, false);
  }

  /** What AuthorizationPolicies leave of all connections to a class. */
  private Connections passing(int source, int destination) {
    if (reach.isEverything()) {
      return Connections.ALL;
    }
    int to = reach.identity(representatives.get(destination));
    return passing.computeIfAbsent(
        (long) source << 32 | to,
        k -> {
          Connections result = Connections.NONE;
          for (AccessReach.Ports ports : reach.passing(source, to)) {
            result = result.or(Connections.of(ports.protocol(), ports.first(), ports.last()));
          }
          return result;
        });
  }

  /** The same for whoever comes from outside: in plain text. */
  private Connections passing(AddressRange range, int destination) {
    if (reach.isEverything()) {
      return Connections.ALL;
    }
    Connections result = passing(reach.identity(range.first()), destination);
    for (AccessReach.Ports ports : reach.refusedInPlainText(representatives.get(destination))) {
      result = result.minus(Connections.of(ports.protocol(), ports.first(), ports.last()));
    }
    return result;
  }

  /** From the controller of Ingress objects to a workload. */
  Connections fromController(String destination) {
    return fromController.getOrDefault(destination, Connections.NONE);
  }

  private List<Connections> towards(String workload, List<Side> sides, boolean outwards) {
    BitSet classes = peers.getOrDefault(workload, new BitSet());
    List<Connections> result = new ArrayList<>();
    for (AddressRange range : ranges) {
      Connections allowed = Connections.NONE;
      for (int c = classes.nextSetBit(0); c >= 0; c = classes.nextSetBit(c + 1)) {
        Side side = sides.get(c);
        Connections here = side.isolated() ? Connections.NONE : Connections.ALL;
        for (Rule rule : side.rules()) {
          if (rule.names(range)) {
            here = here.or(outwards ? numbers(rule.ports()) : resolved(rule, c));
          }
        }
        allowed = allowed.or(outwards ? here : here.and(passing(range, c)));
      }
      result.add(allowed);
    }
    return result;
  }

  private Connections between(int source, int destination) {
    if (kept.size() > KEPT && !kept.containsKey(source)) {
      kept.clear();
    }
    Connections[] row = kept.computeIfAbsent(source, s -> new Connections[representatives.size()]);
    Connections found = row[destination];
    if (found == null) {
      found = side(egress.get(source), destination, destination);
      if (!found.isEmpty()) {
        found = found.and(side(ingress.get(destination), source, destination));
      }
      if (!found.isEmpty()) {
        found = found.and(passing(reach.identity(representatives.get(source)), destination));
      }
      row[destination] = found;
    }
    return found;
  }

  private Connections side(Side side, int peer, int destination) {
    if (!side.isolated()) {
      return Connections.ALL;
    }
    Connections result = Connections.NONE;
    for (Rule rule : side.rules()) {
      if (rule.anybody() || rule.classes().get(peer)) {
        result = result.or(resolved(rule, destination));
      }
    }
    return result;
  }

  private Connections resolved(Rule rule, int destination) {
    if (rule.ports().isEmpty()) {
      return Connections.ALL;
    }
    boolean named =
        rule.ports().stream()
            .anyMatch(p -> p.port().map(r -> r instanceof PortReference.Named).orElse(false));
    Connections[] cache =
        resolved.computeIfAbsent(rule, r -> new Connections[named ? representatives.size() : 1]);
    int place = named ? destination : 0;
    if (cache[place] == null) {
      cache[place] = resolve(rule.ports(), destination);
    }
    return cache[place];
  }

  /** Ports of a rule towards addresses, which give no names. */
  private static Connections numbers(List<Port> ports) {
    if (ports.isEmpty()) {
      return Connections.ALL;
    }
    Connections result = Connections.NONE;
    for (Port port : ports) {
      if (port.port().isEmpty()) {
        result = result.or(Connections.of(port.protocol()));
      } else if (port.port().get() instanceof PortReference.Numbers numbers) {
        result = result.or(Connections.of(port.protocol(), numbers.first(), numbers.last()));
      }
    }
    return result;
  }

  private Connections resolve(List<Port> ports, int destination) {
    Connections result = numbers(ports);
    for (Port port : ports) {
      if (port.port().isPresent() && port.port().get() instanceof PortReference.Named named) {
        Workload workload = cluster.workloads().get(representatives.get(destination));
        for (Workload.Port own : workload.ports()) {
          if (own.name().equals(named.name()) && own.protocol() == port.protocol()) {
            result = result.or(Connections.of(own.protocol(), own.port(), own.port()));
          }
        }
      }
    }
    return result;
  }

  /**
   * Gives every pair between which something is allowed, sources and destinations by name, one row
   * a pair, and neighbouring addresses of equal rights as one range. Nobody's way to itself is
   * listed.
   */
  public void forEach(Consumer<Row> rows) {
    SortedSet<String> names = names();
    for (String destination : names) {
      joined(inwards(destination), (range, c) -> give(rows, range, destination, c));
    }
    Alike alike = new Alike(names, peers);
    Map<BitSet, Reached> reached = new HashMap<>();
    int keptTargets = 0;
    for (String source : names) {
      joined(outwards(source), (range, c) -> give(rows, source, range, c));
      BitSet from = peers.getOrDefault(source, new BitSet());
      Reached targets = reached.get(from);
      if (targets == null) {
        targets = reached(from, alike);
        if (keptTargets + targets.groups().length > KEPT_TARGETS) {
          reached.clear();
          keptTargets = 0;
        }
        keptTargets += targets.groups().length;
        reached.put(from, targets);
      }
      alike.give(rows, source, targets);
    }
    fromController.forEach((name, c) -> give(rows, INGRESS_CONTROLLER, name, c));
  }

  /** Peers of the same classes, which may be reached by the same: computed once for all of them. */
  private static final class Alike {
    private final String[] names;
    private final List<BitSet> classes = new ArrayList<>();
    private final List<int[]> members = new ArrayList<>();

    Alike(SortedSet<String> names, Map<String, BitSet> peers) {
      this.names = names.toArray(String[]::new);
      Map<BitSet, List<Integer>> groups = new LinkedHashMap<>();
      for (int n = 0; n < this.names.length; n++) {
        groups
            .computeIfAbsent(
                peers.getOrDefault(this.names[n], new BitSet()), k -> new ArrayList<>())
            .add(n);
      }
      groups.forEach(
          (key, of) -> {
            classes.add(key);
            members.add(of.stream().mapToInt(Integer::intValue).toArray());
          });
    }

    /** The rows of one source, destinations by name. */
    void give(Consumer<Row> rows, String source, Reached reached) {
      int size = 0;
      for (int group : reached.groups()) {
        size += members.get(group).length;
      }
      long[] places = new long[size];
      int next = 0;
      for (int i = 0; i < reached.groups().length; i++) {
        for (int name : members.get(reached.groups()[i])) {
          places[next++] = (long) name << 32 | i;
        }
      }
      Arrays.sort(places);
      for (long place : places) {
        String destination = names[(int) (place >> 32)];
        if (!destination.equals(source)) {
          rows.accept(new Row(source, destination, reached.connections()[(int) place]));
        }
      }
    }
  }

  /**
   * What some sources reach: the groups of {@link Alike}, and by which connections; none is empty.
   */
  @SuppressWarnings("ArrayRecordComponent") // compared by nobody
  private record Reached(int[] groups, Connections[] connections) {}

  private Reached reached(BitSet from, Alike alike) {
    int[] groups = new int[alike.classes.size()];
    Connections[] connections = new Connections[groups.length];
    int size = 0;
    for (int group = 0; group < groups.length; group++) {
      Connections found = between(from, alike.classes.get(group));
      if (!found.isEmpty()) {
        groups[size] = group;
        connections[size++] = found;
      }
    }
    return new Reached(Arrays.copyOf(groups, size), Arrays.copyOf(connections, size));
  }

  private static void give(
      Consumer<Row> rows, String source, String destination, Connections connections) {
    if (!connections.isEmpty()) {
      rows.accept(new Row(source, destination, connections));
    }
  }

  private <T> void joined(List<T> values, BiConsumer<String, T> each) {
    joined(ranges, values, each);
  }

  /** Joins neighbouring ranges of equal values. */
  static <T> void joined(List<AddressRange> ranges, List<T> values, BiConsumer<String, T> each) {
    int begin = 0;
    for (int i = 1; i <= ranges.size(); i++) {
      if (i == ranges.size()
          || !values.get(i).equals(values.get(begin))
          || !ranges.get(i - 1).meets(ranges.get(i))) {
        AddressRange joined = new AddressRange(ranges.get(begin).first(), ranges.get(i - 1).last());
        each.accept(joined.toString(), values.get(begin));
        begin = i;
      }
    }
  }
}
