// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.authorize;

import dev.weir.policy.cluster.Cluster;
import dev.weir.policy.model.Block;
import dev.weir.policy.model.Mesh;
import dev.weir.policy.model.NetworkPolicy;
import dev.weir.policy.model.NetworkPolicy.Clause;
import dev.weir.policy.model.NetworkPolicy.Peer;
import dev.weir.policy.model.NetworkPolicy.Port;
import dev.weir.policy.model.PortReference;
import dev.weir.policy.model.Workload;
import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Cidr;
import dev.weir.policy.plan.Identity;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.ProxyPlan;
import dev.weir.policy.plan.Reserved;
import dev.weir.policy.plan.Settings.Direction;
import dev.weir.policy.plan.Settings.ManagementRule;
import dev.weir.policy.plan.Verdict.Decision;
import dev.weir.policy.source.Diagnostics;
import dev.weir.policy.source.Position;
import dev.weir.policy.steer.Steering;
import dev.weir.policy.steer.Steering.Target;
import dev.weir.policy.steer.Steering.VirtualPort;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.Comparator;
import java.util.HashMap;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;

/**
 * Turns NetworkPolicies into verdicts between identities.
 *
 * <p>A connection passes when the source's egress allows it and the destination's ingress does.
 * Whoever is selected by no policy of a direction (and not isolated by {@code Mesh}) is open in
 * that direction; then a row for ANY on its side says it for all such peers at once. When both
 * sides are isolated, rows name exact pairs, since the kernel asks for no ANY then.
 *
 * <p>Every row of a plan allows, or leads to the proxy. So it does not matter which of several
 * matching rows is found first, and two policies can never contradict each other.
 */
public final class Authorizer {

  /** Most verdict rows: what two generations of the kernel's table may take at most is 32 MiB. */
  public static final int MAX_ROWS = 1 << 20;

  private static final int[] EVERYTHING = {PortCodes.EVERYTHING};

  private final Cluster cluster;
  private final Steering steering;
  private final RuleTable rules;
  private final Diagnostics diagnostics;
  private final List<NetworkPolicy> policies;

  /** Workloads of one identity, by class; a class's identity is its index plus FIRST. */
  private final List<List<Integer>> classes = new ArrayList<>();

  private final int[] classOf;
  private final List<Identity> identities = new ArrayList<>();
  private final List<Cidr> cidrs = new ArrayList<>();
  private final Map<Peer.Addresses, int[]> blockIdentities = new HashMap<>();
  private final PortPartition ports = new PortPartition();
  private final RowTable rows = new RowTable();

  /** Clauses by the identity they are about; for identities that are isolated in that direction. */
  private final Map<Integer, List<Grant>> ingress = new TreeMap<>();

  private final Map<Integer, List<Grant>> egress = new TreeMap<>();

  private boolean[] ingressIsolated = {};
  private boolean[] egressIsolated = {};

  /**
   * A clause, its peers resolved.
   *
   * @param all anybody
   * @param peers identities, ascending, when not anybody
   * @param ports any of them; empty means everything
   */
  private record Grant(boolean all, List<Integer> peers, List<Port> ports, int rule) {
    boolean open() {
      return all && ports.isEmpty();
    }
  }

  /** Workloads that a policy selects: whom it is about, and the peers of each clause. */
  @SuppressWarnings("ArrayRecordComponent") // never compared
  private record Selection(int[] targets, List<List<int[]>> ingress, List<List<int[]>> egress) {}

  private Authorizer(Cluster cluster, Steering steering, RuleTable rules, Diagnostics diagnostics) {
    this.cluster = cluster;
    this.steering = steering;
    this.rules = rules;
    this.diagnostics = diagnostics;
    this.policies = cluster.all(NetworkPolicy.class);
    this.classOf = new int[cluster.workloads().size()];
  }

  /** Computes identities and verdicts. */
  public static Authorization authorize(
      Cluster cluster, Steering steering, RuleTable rules, Diagnostics diagnostics) {
    return new Authorizer(cluster, steering, rules, diagnostics).run();
  }

  private Authorization run() {
    List<Selection> selections = policies.stream().map(this::select).toList();
    partition(selections);
    int firstCidr = Identity.FIRST + classes.size();
    int firstService = firstCidr + partitionBlocks(firstCidr);
    Map<Integer, Integer> services = new LinkedHashMap<>();
    for (VirtualPort port : steering.virtualPorts()) {
      if (port.proxied() && !services.containsKey(port.service())) {
        services.put(port.service(), firstService + services.size());
      }
    }
    int count = firstService + services.size();
    if (count > Identity.MAX + 1) {
      diagnostics.error(
          new Position("", 0, 0),
          "",
          "policies tell apart "
              + count
              + " sets of workloads, blocks and services, more than the "
              + (Identity.MAX + 1)
              + " a plan has room for",
          "select by fewer distinct labels and blocks");
      return new Authorization(List.of(), List.of(), Map.of(), List.of(), List.of(), List.of());
    }
    collectPorts();
    identities(selections, count, firstCidr, services);
    reservedGrants();
    ingressRows();
    egressRows();
    pairRows();
    managementRows();
    proxyRows();
    serviceRows(services);
    if (rows.size() > MAX_ROWS) {
      diagnostics.error(
          new Position("", 0, 0),
          "",
          rows.size() + " verdict rows are more than the " + MAX_ROWS + " a plan has room for",
          "let policies select whole namespaces or fewer distinct labels");
      return new Authorization(List.of(), List.of(), Map.of(), List.of(), List.of(), List.of());
    }
    return new Authorization(
        identities,
        Arrays.stream(classOf).map(c -> c + Identity.FIRST).boxed().toList(),
        services,
        rows.verdicts(egressIsolated, ingressIsolated),
        ports.classes(),
        cidrs);
  }

  // Who is told apart.

  private Selection select(NetworkPolicy policy) {
    String namespace = policy.meta().namespace();
    return new Selection(
        cluster.select(namespace, policy.podSelector()),
        policy.isolatesIngress() ? select(namespace, policy.ingress()) : List.of(),
        policy.isolatesEgress() ? select(namespace, policy.egress()) : List.of());
  }

  private List<List<int[]>> select(String namespace, List<Clause> clauses) {
    List<List<int[]>> result = new ArrayList<>();
    for (Clause clause : clauses) {
      List<int[]> peers = new ArrayList<>();
      for (Peer peer : clause.peers()) {
        peers.add(peer instanceof Peer.Pods pods ? cluster.select(namespace, pods) : new int[0]);
      }
      result.add(peers);
    }
    return result;
  }

  /** Workloads are one identity when every selection holds all of them or none. */
  private void partition(List<Selection> selections) {
    int size = cluster.workloads().size();
    Map<List<Integer>, Integer> distinct = new HashMap<>();
    List<List<Integer>> signatures = new ArrayList<>();
    for (int i = 0; i < size; i++) {
      signatures.add(new ArrayList<>());
    }
    TreeSet<String> portNames = new TreeSet<>();
    for (int i = 0; i < selections.size(); i++) {
      Selection selection = selections.get(i);
      sign(selection.targets(), distinct, signatures);
      for (List<List<int[]>> clauses : List.of(selection.ingress(), selection.egress())) {
        for (List<int[]> peers : clauses) {
          for (int[] peer : peers) {
            sign(peer, distinct, signatures);
          }
        }
      }
      names(policies.get(i).ingress(), portNames);
      names(policies.get(i).egress(), portNames);
    }
    Map<Integer, TreeSet<Integer>> proxied = new HashMap<>();
    for (int target : steering.proxied().keySet()) {
      Target found = steering.targets().get(target);
      proxied.computeIfAbsent(found.workload(), k -> new TreeSet<>()).add(found.port());
    }
    Map<List<Object>, Integer> byKey = new HashMap<>();
    for (int i = 0; i < size; i++) {
      List<String> named = new ArrayList<>();
      for (Workload.Port port : cluster.workloads().get(i).ports()) {
        if (portNames.contains(port.name())) {
          named.add(port.name() + " " + port.protocol() + " " + port.port());
        }
      }
      named.sort(null);
      List<Object> key =
          List.of(signatures.get(i), named, proxied.getOrDefault(i, new TreeSet<>()));
      int index = byKey.computeIfAbsent(key, k -> classes.size());
      if (index == classes.size()) {
        classes.add(new ArrayList<>());
      }
      classes.get(index).add(i);
      classOf[i] = index;
    }
  }

  private static void sign(
      int[] selection, Map<List<Integer>, Integer> distinct, List<List<Integer>> signatures) {
    if (selection.length == 0) {
      return;
    }
    List<Integer> key = Arrays.stream(selection).boxed().toList();
    int number = distinct.size();
    if (distinct.putIfAbsent(key, number) == null) {
      for (int workload : selection) {
        signatures.get(workload).add(number);
      }
    }
  }

  private static void names(List<Clause> clauses, Set<String> names) {
    for (Clause clause : clauses) {
      for (Port port : clause.ports()) {
        if (port.port().isPresent() && port.port().get() instanceof PortReference.Named named) {
          names.add(named.name());
        }
      }
    }
  }

  /**
   * Outside addresses are one identity when every block holds all of them or none. The region of a
   * prefix is what no longer prefix takes from it, so it lies in a block when the prefix does.
   */
  private int partitionBlocks(int first) {
    Map<Peer.Addresses, List<Peer.Addresses>> distinct = new LinkedHashMap<>();
    TreeSet<Block> prefixes =
        new TreeSet<>(Comparator.comparing(Block::address).thenComparingInt(Block::length));
    for (NetworkPolicy policy : policies) {
      for (List<Clause> clauses : List.of(policy.ingress(), policy.egress())) {
        for (Clause clause : clauses) {
          for (Peer peer : clause.peers()) {
            if (peer instanceof Peer.Addresses block) {
              distinct.computeIfAbsent(placeless(block), k -> new ArrayList<>()).add(block);
              prefixes.add(block.block());
              prefixes.addAll(block.except());
            }
          }
        }
      }
    }
    if (prefixes.stream().anyMatch(p -> p.length() < 96)) {
      // In the kernel's table an IPv6 block as ::/0 would also be found for IPv4 addresses, which
      // lie in ::ffff:0:0/96 there; this longer prefix takes them back.
      prefixes.add(new Block(Address.ofV4(0), 96));
    }
    List<Peer.Addresses> blocks = List.copyOf(distinct.keySet());
    Map<List<Integer>, Integer> bySignature = new LinkedHashMap<>();
    List<TreeSet<Integer>> members = new ArrayList<>();
    blocks.forEach(b -> members.add(new TreeSet<>()));
    for (Block prefix : prefixes) {
      List<Integer> signature = new ArrayList<>();
      for (int b = 0; b < blocks.size(); b++) {
        if (holds(blocks.get(b), prefix)) {
          signature.add(b);
        }
      }
      int identity = Reserved.OUTSIDE.index();
      if (!signature.isEmpty()) {
        identity = bySignature.computeIfAbsent(signature, k -> first + bySignature.size());
        for (int b : signature) {
          members.get(b).add(identity);
        }
      }
      cidrs.add(new Cidr(prefix.address(), prefix.length(), identity));
    }
    for (int b = 0; b < blocks.size(); b++) {
      if (holdsNode(blocks.get(b))) {
        members.get(b).add(Reserved.HOST.index());
        members.get(b).add(Reserved.PROXY.index());
      }
      int[] array = members.get(b).stream().mapToInt(Integer::intValue).toArray();
      blockIdentities.put(blocks.get(b), array);
    }
    return bySignature.size();
  }

  private static Peer.Addresses placeless(Peer.Addresses block) {
    return new Peer.Addresses(
        block.block(),
        block.except().stream()
            .sorted(Comparator.comparing(Block::address).thenComparingInt(Block::length))
            .distinct()
            .toList(),
        new Position("", 0, 0));
  }

  private static boolean holds(Peer.Addresses peer, Block prefix) {
    return peer.block().contains(prefix)
        && peer.except().stream().noneMatch(e -> e.contains(prefix));
  }

  /**
   * The node's own addresses are not known here; a block that holds its loopback means them too.
   */
  private static boolean holdsNode(Peer.Addresses peer) {
    for (Address loopback : List.of(Address.LOOPBACK4, Address.LOOPBACK6)) {
      if (holds(peer, new Block(loopback, 128))) {
        return true;
      }
    }
    return false;
  }

  // Ports.

  private void collectPorts() {
    TreeSet<String> names = new TreeSet<>();
    for (NetworkPolicy policy : policies) {
      for (List<Clause> clauses : List.of(policy.ingress(), policy.egress())) {
        names(clauses, names);
        for (Clause clause : clauses) {
          for (Port port : clause.ports()) {
            if (port.port().isPresent()
                && port.port().get() instanceof PortReference.Numbers numbers
                && !everyPort(numbers)) {
              ports.range(numbers.first(), numbers.last());
            }
          }
        }
      }
    }
    for (Workload workload : cluster.workloads()) {
      for (Workload.Port port : workload.ports()) {
        if (names.contains(port.name())) {
          ports.single(port.port());
        }
      }
    }
    for (VirtualPort port : steering.virtualPorts()) {
      if (port.proxied()) {
        ports.single(port.port());
      }
    }
    for (int target : steering.proxied().keySet()) {
      ports.single(steering.targets().get(target).port());
    }
    steering.listeners().forEach(l -> ports.single(l.port()));
    for (ManagementRule rule : management()) {
      if (rule.port() != 0) {
        ports.single(rule.port());
      }
    }
  }

  private static boolean everyPort(PortReference.Numbers numbers) {
    return numbers.first() <= 1 && numbers.last() == 65535;
  }

  private List<ManagementRule> management() {
    return cluster.mesh().filter(Mesh::hostGoverned).map(Mesh::management).orElse(List.of());
  }

  /** What a clause's ports are towards a destination. */
  private int[] codes(List<Port> wanted, int destination) {
    if (wanted.isEmpty()) {
      return EVERYTHING;
    }
    TreeSet<Integer> codes = new TreeSet<>();
    for (Port port : wanted) {
      if (port.port().isEmpty()) {
        codes.add(PortCodes.code(port.protocol(), 0));
        continue;
      }
      switch (port.port().get()) {
        case PortReference.Numbers numbers -> {
          if (everyPort(numbers)) {
            codes.add(PortCodes.code(port.protocol(), 0));
          } else {
            for (int number : ports.classesOf(numbers.first(), numbers.last())) {
              codes.add(PortCodes.code(port.protocol(), number));
            }
          }
        }
        case PortReference.Named named -> {
          int index = destination - Identity.FIRST;
          if (index >= 0 && index < classes.size()) {
            // Every workload of a class means the same by a name that policies use.
            Workload workload = cluster.workloads().get(classes.get(index).getFirst());
            for (Workload.Port own : workload.ports()) {
              if (own.name().equals(named.name()) && own.protocol() == port.protocol()) {
                codes.add(PortCodes.code(own.protocol(), ports.classOf(own.port())));
              }
            }
          }
        }
      }
    }
    return codes.stream().mapToInt(Integer::intValue).toArray();
  }

  private static boolean named(List<Port> ports) {
    return ports.stream()
        .anyMatch(p -> p.port().isPresent() && p.port().get() instanceof PortReference.Named);
  }

  // Isolation.

  private void identities(
      List<Selection> selections, int count, int firstCidr, Map<Integer, Integer> services) {
    int[] ingressRule = new int[count];
    int[] egressRule = new int[count];
    ingressIsolated = new boolean[count];
    egressIsolated = new boolean[count];
    boolean defaultDeny = cluster.mesh().map(Mesh::defaultDeny).orElse(false);
    for (int c = 0; c < classes.size() && defaultDeny; c++) {
      ingressIsolated[c + Identity.FIRST] = true;
      egressIsolated[c + Identity.FIRST] = true;
    }
    for (int p = 0; p < policies.size(); p++) {
      NetworkPolicy policy = policies.get(p);
      Selection selection = selections.get(p);
      List<Grant> in = grants(policy, "ingress", policy.ingress(), selection.ingress());
      List<Grant> out = grants(policy, "egress", policy.egress(), selection.egress());
      for (int identity : identitiesOf(selection.targets())) {
        if (policy.isolatesIngress()) {
          isolate(identity, rules.of(policy), in, ingress, ingressIsolated, ingressRule);
        }
        if (policy.isolatesEgress()) {
          isolate(identity, rules.of(policy), out, egress, egressIsolated, egressRule);
        }
      }
    }
    // Who is isolated and yet open to everybody is as good as not isolated, and takes no rows.
    reopen(ingress, ingressIsolated, ingressRule);
    reopen(egress, egressIsolated, egressRule);
    boolean hostIsolated = defaultDeny && cluster.mesh().map(Mesh::hostGoverned).orElse(false);
    ingressIsolated[Reserved.HOST.index()] = hostIsolated;
    egressIsolated[Reserved.HOST.index()] = hostIsolated;
    ingressIsolated[Reserved.UNKNOWN.index()] = defaultDeny;
    egressIsolated[Reserved.UNKNOWN.index()] = defaultDeny;
    ingressIsolated[Reserved.PROXY.index()] = true;
    egressIsolated[Reserved.PROXY.index()] = true;

    String[] descriptions = new String[count];
    Arrays.fill(descriptions, "");
    for (Reserved reserved : Reserved.values()) {
      descriptions[reserved.index()] = reserved.name().toLowerCase(java.util.Locale.ROOT);
    }
    for (int c = 0; c < classes.size(); c++) {
      List<Integer> members = classes.get(c);
      String first = cluster.workloads().get(members.getFirst()).meta().qualifiedName();
      descriptions[c + Identity.FIRST] =
          members.size() == 1 ? first : first + " and " + (members.size() - 1) + " more";
    }
    for (Cidr cidr : cidrs) {
      if (cidr.identity() >= firstCidr) {
        String block = new Block(cidr.address(), cidr.prefixLength()).toString();
        String so = descriptions[cidr.identity()];
        descriptions[cidr.identity()] =
            so.isEmpty() ? block : so.endsWith("...") ? so : so + " ...";
      }
    }
    services.forEach(
        (service, identity) -> {
          descriptions[identity] = steering.services().get(service).id();
          ingressIsolated[identity] = true;
          ingressRule[identity] = blame(service, ingressRule);
        });
    for (int i = 0; i < count; i++) {
      identities.add(
          new Identity(
              descriptions[i],
              ingressIsolated[i],
              egressIsolated[i],
              ingressRule[i],
              egressRule[i]));
    }
  }

  /** In whose name a service is refused: of the policy that guards whom it leads to. */
  private int blame(int service, int[] ingressRule) {
    int route = 0;
    for (VirtualPort port : steering.virtualPorts()) {
      if (port.service() == service && port.proxied()) {
        for (int target : destinations(port)) {
          int identity = identityOf(steering.targets().get(target).workload());
          if (ingressIsolated[identity] && ingressRule[identity] != 0) {
            return ingressRule[identity];
          }
        }
        route = route == 0 ? port.routes().getFirst().rule() : route;
      }
    }
    return route;
  }

  private static void isolate(
      int identity,
      int rule,
      List<Grant> grants,
      Map<Integer, List<Grant>> byIdentity,
      boolean[] isolated,
      int[] isolatingRule) {
    isolated[identity] = true;
    if (isolatingRule[identity] == 0) {
      isolatingRule[identity] = rule;
    }
    byIdentity.computeIfAbsent(identity, k -> new ArrayList<>()).addAll(grants);
  }

  private static void reopen(
      Map<Integer, List<Grant>> byIdentity, boolean[] isolated, int[] isolatingRule) {
    byIdentity
        .entrySet()
        .removeIf(
            entry -> {
              boolean open = entry.getValue().stream().anyMatch(Grant::open);
              if (open) {
                isolated[entry.getKey()] = false;
                isolatingRule[entry.getKey()] = 0;
              }
              return open;
            });
  }

  private List<Grant> grants(
      NetworkPolicy policy, String direction, List<Clause> clauses, List<List<int[]>> selected) {
    List<Grant> grants = new ArrayList<>();
    for (int i = 0; i < selected.size(); i++) {
      Clause clause = clauses.get(i);
      BitSet peers = new BitSet();
      for (int p = 0; p < clause.peers().size(); p++) {
        if (clause.peers().get(p) instanceof Peer.Addresses block) {
          for (int identity : blockIdentities.getOrDefault(placeless(block), new int[0])) {
            peers.set(identity);
          }
        } else {
          for (int workload : selected.get(i).get(p)) {
            peers.set(identityOf(workload));
          }
        }
      }
      grants.add(
          new Grant(
              clause.peers().isEmpty(),
              peers.stream().boxed().toList(),
              clause.ports(),
              rules.of(policy, direction, i)));
    }
    return grants;
  }

  private int identityOf(int workload) {
    return classOf[workload] + Identity.FIRST;
  }

  private int[] identitiesOf(int[] workloads) {
    return Arrays.stream(workloads).map(this::identityOf).distinct().sorted().toArray();
  }

  private void reservedGrants() {
    List<Grant> gateways = new ArrayList<>();
    for (int i = 0; i < steering.listeners().size(); i++) {
      ProxyPlan.Listener listener = steering.listeners().get(i);
      gateways.add(anybody(Protocol.TCP, listener.port(), steering.listenerRules().get(i)));
    }
    ingress.put(Reserved.PROXY.index(), gateways);
    List<Grant> management = new ArrayList<>();
    for (ManagementRule rule : management()) {
      if (rule.direction() == Direction.INGRESS) {
        management.add(anybody(rule.protocol(), rule.port(), 0));
      }
    }
    if (ingressIsolated[Reserved.HOST.index()]) {
      ingress.put(Reserved.HOST.index(), management);
    }
  }

  private static Grant anybody(Protocol protocol, int port, int rule) {
    Optional<PortReference> reference =
        port == 0 ? Optional.empty() : Optional.of(new PortReference.Numbers(port, port));
    return new Grant(
        true, List.of(), List.of(new Port(protocol, reference, new Position("", 0, 0))), rule);
  }

  // Rows.

  private void allow(int source, int destination, int[] codes, int rule) {
    for (int code : codes) {
      rows.put(source, destination, code, Decision.ALLOW, rule);
    }
  }

  /** Sources that are open to whatever is isolated. */
  private void ingressRows() {
    ingress.forEach(
        (destination, grants) -> {
          for (Grant grant : grants) {
            int[] codes = codes(grant.ports(), destination);
            if (grant.all()) {
              allow(Reserved.ANY.index(), destination, codes, grant.rule());
            }
            for (int source : grant.peers()) {
              if (!egressIsolated[source]) {
                allow(source, destination, codes, grant.rule());
              }
            }
          }
        });
  }

  /** Whatever is isolated to destinations that are open. */
  private void egressRows() {
    egress.forEach(
        (source, grants) -> {
          for (Grant grant : grants) {
            if (grant.all()) {
              allow(source, Reserved.ANY.index(), codes(grant.ports(), 0), grant.rule());
              if (named(grant.ports())) {
                for (int c = 0; c < classes.size(); c++) {
                  int destination = c + Identity.FIRST;
                  if (!ingressIsolated[destination]) {
                    allow(source, destination, codes(grant.ports(), destination), grant.rule());
                  }
                }
              }
            }
            for (int destination : grant.peers()) {
              if (!ingressIsolated[destination]) {
                allow(source, destination, codes(grant.ports(), destination), grant.rule());
              }
            }
          }
        });
  }

  /** Pairs that are both isolated: what both sides allow. */
  private void pairRows() {
    Map<Integer, Map<Integer, List<Grant>>> outOf = new HashMap<>();
    Map<Integer, List<Grant>> outToAll = new HashMap<>();
    egress.forEach(
        (source, grants) -> {
          outOf.put(source, byPeer(grants));
          outToAll.put(source, grants.stream().filter(Grant::all).toList());
        });
    ingress.forEach(
        (destination, grants) -> {
          Map<Integer, List<Grant>> explicit = byPeer(grants);
          List<Grant> fromAll = grants.stream().filter(Grant::all).toList();
          Iterable<Integer> sources = fromAll.isEmpty() ? explicit.keySet() : egress.keySet();
          IdentityHashMap<Grant, int[]> resolved = new IdentityHashMap<>();
          for (int source : sources) {
            if (!egressIsolated[source]) {
              continue;
            }
            List<Grant> out =
                join(
                    outOf.getOrDefault(source, Map.of()).getOrDefault(destination, List.of()),
                    outToAll.getOrDefault(source, List.of()));
            if (out.isEmpty()) {
              continue;
            }
            for (Grant in : join(explicit.getOrDefault(source, List.of()), fromAll)) {
              int[] inCodes = resolved.computeIfAbsent(in, g -> codes(g.ports(), destination));
              for (Grant to : out) {
                both(source, destination, in.rule(), inCodes, codes(to.ports(), destination));
              }
            }
          }
        });
  }

  private void both(int source, int destination, int rule, int[] in, int[] out) {
    for (int a : in) {
      for (int b : out) {
        int code = PortCodes.both(a, b);
        if (code >= 0) {
          rows.put(source, destination, code, Decision.ALLOW, rule);
        }
      }
    }
  }

  private static Map<Integer, List<Grant>> byPeer(List<Grant> grants) {
    Map<Integer, List<Grant>> result = new TreeMap<>();
    for (Grant grant : grants) {
      for (int peer : grant.peers()) {
        result.computeIfAbsent(peer, k -> new ArrayList<>()).add(grant);
      }
    }
    return result;
  }

  private static List<Grant> join(List<Grant> a, List<Grant> b) {
    if (a.isEmpty()) {
      return b;
    }
    if (b.isEmpty()) {
      return a;
    }
    List<Grant> both = new ArrayList<>(a);
    both.addAll(b);
    return both;
  }

  /** What a governed host may always do, whatever isolates the other side. */
  private void managementRows() {
    int host = Reserved.HOST.index();
    for (ManagementRule rule : management()) {
      if (rule.direction() != Direction.EGRESS) {
        continue;
      }
      int code = PortCodes.code(rule.protocol(), rule.port());
      if (egressIsolated[host]) {
        rows.put(host, Reserved.ANY.index(), code, Decision.ALLOW, 0);
      }
      for (int c = 0; c < classes.size(); c++) {
        if (ingressIsolated[c + Identity.FIRST]) {
          rows.put(host, c + Identity.FIRST, code, Decision.ALLOW, 0);
        }
      }
    }
  }

  /**
   * The proxy may dial what its routes lead to; it asks for each request whether its source may.
   */
  private void proxyRows() {
    steering
        .proxied()
        .forEach(
            (target, rule) -> {
              Target found = steering.targets().get(target);
              rows.put(
                  Reserved.PROXY.index(),
                  identityOf(found.workload()),
                  PortCodes.code(Protocol.TCP, ports.classOf(found.port())),
                  Decision.ALLOW,
                  rule);
            });
  }

  /** Whoever may reach one backend of a route may reach the proxy in the service's name. */
  private void serviceRows(Map<Integer, Integer> services) {
    List<Integer> sources = new ArrayList<>();
    sources.add(Reserved.UNKNOWN.index());
    sources.add(Reserved.HOST.index());
    for (int c = 0; c < classes.size(); c++) {
      sources.add(c + Identity.FIRST);
    }
    for (VirtualPort port : steering.virtualPorts()) {
      if (!port.proxied()) {
        continue;
      }
      int identity = services.getOrDefault(port.service(), 0);
      int rule = port.routes().getFirst().rule();
      int code = PortCodes.code(Protocol.TCP, ports.classOf(port.port()));
      TreeSet<Long> backends = new TreeSet<>();
      for (int target : destinations(port)) {
        Target found = steering.targets().get(target);
        backends.add((long) identityOf(found.workload()) << 16 | ports.classOf(found.port()));
      }
      boolean everyOpenOne = true;
      List<Integer> open = new ArrayList<>();
      for (int source : sources) {
        boolean may = backends.isEmpty() ? !egressIsolated[source] : mayReachOne(source, backends);
        if (egressIsolated[source]) {
          if (may) {
            rows.put(source, identity, code, Decision.INSPECT, rule);
          }
        } else if (may) {
          open.add(source);
        } else {
          everyOpenOne = false;
        }
      }
      if (everyOpenOne) {
        rows.put(Reserved.ANY.index(), identity, code, Decision.INSPECT, rule);
      } else {
        open.forEach(source -> rows.put(source, identity, code, Decision.INSPECT, rule));
      }
    }
  }

  private Set<Integer> destinations(VirtualPort port) {
    TreeSet<Integer> targets = new TreeSet<>();
    for (ProxyPlan.Route route : port.routes()) {
      for (ProxyPlan.RouteRule routeRule : route.rules()) {
        for (ProxyPlan.WeightedBackend backend : routeRule.backends()) {
          if (backend.cluster() >= 0) {
            targets.addAll(steering.clusters().get(backend.cluster()).targets());
          }
        }
      }
    }
    return targets;
  }

  private boolean mayReachOne(int source, Set<Long> backends) {
    if (source == Reserved.HOST.index() && !cluster.mesh().map(Mesh::hostGoverned).orElse(false)) {
      return true;
    }
    for (long backend : backends) {
      int destination = (int) (backend >>> 16);
      int port = (int) (backend & 0xffff);
      boolean in = ingressIsolated[destination];
      boolean out = egressIsolated[source];
      if (!in && !out
          || rows.covers(source, destination, Protocol.TCP, port)
          || !out && rows.covers(Reserved.ANY.index(), destination, Protocol.TCP, port)
          || !in && rows.covers(source, Reserved.ANY.index(), Protocol.TCP, port)) {
        return true;
      }
    }
    return false;
  }
}
