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
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.function.ToIntFunction;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/**
 * Turns policies into verdicts between identities.
 *
 * <p>A connection passes when the source's egress allows it, and the destination's ingress and its
 * AuthorizationPolicies do; the table in {@code docs/policy.md} says how. Who is isolated in no
 * direction needs no row. When one side is, a row for ANY on the other side speaks for all such
 * peers at once; when both are, rows name exact pairs, since the kernel asks for no ANY then.
 */
public final class Authorizer {

  /** Most verdict rows: what two generations of the kernel's table may take at most is 32 MiB. */
  public static final int MAX_ROWS = 1 << 20;

  private static final Authorization NOTHING =
      new Authorization(List.of(), List.of(), Map.of(), List.of(), List.of(), List.of());

  private final Cluster cluster;
  private final Steering steering;
  private final RuleTable rules;
  private final Diagnostics diagnostics;
  private final Mesh mesh;
  private final List<NetworkPolicy> policies;
  private final IdentityPartition identities;
  private final RowTable rows = new RowTable();

  /** Workloads that a policy selects: whom it is about, and the peers of each clause. */
  @SuppressWarnings("ArrayRecordComponent") // never compared
  private record Selection(int[] targets, List<List<int[]>> ingress, List<List<int[]>> egress) {}

  private Authorizer(Cluster cluster, Steering steering, RuleTable rules, Diagnostics diagnostics) {
    this.cluster = cluster;
    this.steering = steering;
    this.rules = rules;
    this.diagnostics = diagnostics;
    this.mesh = cluster.mesh().orElseGet(Mesh::defaults);
    this.policies = cluster.all(NetworkPolicy.class);
    this.identities = new IdentityPartition(cluster.workloads().size());
  }

  /** Computes identities and verdicts. */
  public static Authorization authorize(
      Cluster cluster,
      AccessPolicies access,
      Steering steering,
      RuleTable rules,
      Diagnostics diagnostics) {
    return new Authorizer(cluster, steering, rules, diagnostics).run(access);
  }

  private Authorization run(AccessPolicies access) {
    MutualTls mutualTls = new MutualTls(cluster, rules);

    // Who is told apart.
    List<Selection> selections = policies.stream().map(this::select).toList();
    PortSpace ports = new PortSpace(cluster, policies, identities);
    access.tellApart(identities);
    access.name(ports);
    mutualTls.tellApart(identities);
    tellApartWhatIsProxied(ports);
    identities.cut();
    List<Peer.Addresses> told = blocks();
    told.addAll(access.sets().blocks());
    OutsideBlocks blocks = new OutsideBlocks(told, identities.end());
    int end = identities.end() + blocks.count();
    Map<Integer, Integer> byAddress =
        access.isEmpty() && mutualTls.isEmpty() ? Map.of() : believedByAddress(end);
    end += byAddress.size();
    Map<Integer, Integer> services = new LinkedHashMap<>();
    for (VirtualPort port : steering.virtualPorts()) {
      if (port.proxied() && !services.containsKey(port.service())) {
        services.put(port.service(), end + services.size());
      }
    }
    int count = end + services.size();
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
      return NOTHING;
    }
    Map<Integer, Integer> representatives = new HashMap<>();
    byAddress.forEach(
        (of, identity) -> representatives.put(identity, identities.representative(of)));
    access.resolve(identities, blocks, representatives, count);

    // What they may do.
    Sides sides = sides(selections, blocks, byAddress, count);
    int[] sources = sources(end);
    List<Port> managed = management(Direction.EGRESS).stream().map(Authorizer::port).toList();
    int[] management = managed.isEmpty() ? new int[0] : ports.codes(managed, 0);
    IngressRows ingress =
        new IngressRows(
            sides, access, ports, rows, sources, count, management, mesh.hostGoverned());
    for (Reserved destination : List.of(Reserved.UNKNOWN, Reserved.HOST, Reserved.PROXY)) {
      ingress.add(destination.index());
    }
    for (int destination = Identity.FIRST; destination < identities.end(); destination++) {
      ingress.add(destination);
      if (rows.size() > MAX_ROWS * 2) {
        break;
      }
    }
    egressRows(sides, ports, sources);
    List<Cidr> cidrs = cidrs(blocks, byAddress);
    ToIntFunction<Target> behind =
        target ->
            target.workload() == Steering.OUTSIDE
                ? Authorization.outside(cidrs, target.address())
                : identities.identityOf(target.workload());
    services.forEach(
        (service, identity) -> sides.isolateService(identity, blame(service, sides, behind)));
    ServiceRows toServices =
        new ServiceRows(
            steering,
            sides,
            behind,
            ports,
            rows,
            Arrays.stream(sources).filter(this::onThisNode).toArray(),
            mesh.hostGoverned());
    toServices.backends();
    for (VirtualPort port : steering.virtualPorts()) {
      if (port.proxied()) {
        toServices.service(port, services.getOrDefault(port.service(), 0));
      }
    }
    if (rows.size() > MAX_ROWS) {
      diagnostics.error(
          new Position("", 0, 0),
          "",
          (rows.size() > MAX_ROWS * 2 ? "more than " : "")
              + rows.size()
              + " verdict rows are more than the "
              + MAX_ROWS
              + " a plan has room for; most are of "
              + largest(),
          "let policies select whole namespaces or fewer distinct labels");
      return NOTHING;
    }
    return new Authorization(
        identities(sides, cidrs, byAddress, services, mutualTls, count),
        IntStream.range(0, cluster.workloads().size()).map(identities::identityOf).boxed().toList(),
        services,
        rows.verdicts(sides),
        ports.classes(),
        cidrs);
  }

  /** The rules with the most rows, for people. */
  private String largest() {
    int[] counts = rows.byRule(rules.rules().size());
    return IntStream.range(0, counts.length)
        .filter(i -> counts[i] > 0)
        .boxed()
        .sorted(Comparator.comparingInt((Integer i) -> -counts[i]))
        .limit(3)
        .map(i -> rules.rules().get(i).describe() + " with " + counts[i])
        .collect(Collectors.joining(", "));
  }

  // Who is told apart.

  private Selection select(NetworkPolicy policy) {
    String namespace = policy.meta().namespace();
    Selection selection =
        new Selection(
            cluster.select(namespace, policy.podSelector()),
            policy.isolatesIngress() ? select(namespace, policy.ingress()) : List.of(),
            policy.isolatesEgress() ? select(namespace, policy.egress()) : List.of());
    identities.tellApart(selection.targets());
    for (List<List<int[]>> clauses : List.of(selection.ingress(), selection.egress())) {
      clauses.forEach(peers -> peers.forEach(identities::tellApart));
    }
    return selection;
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

  /** The proxy may dial backends and nobody else; and ports that rows name must have classes. */
  private void tellApartWhatIsProxied(PortSpace ports) {
    Map<Integer, IntList> byPort = new TreeMap<>();
    for (int index : steering.proxied().keySet()) {
      Target target = steering.targets().get(index);
      ports.single(target.port());
      if (target.workload() != Steering.OUTSIDE) {
        byPort.computeIfAbsent(target.port(), k -> new IntList()).add(target.workload());
      }
    }
    Map<Integer, IntList> sorted = new TreeMap<>();
    byPort.forEach(
        (port, workloads) -> {
          IntList set = new IntList();
          for (int workload : workloads.toSet()) {
            set.add(workload);
          }
          sorted.put(port, set);
        });
    identities.tellApart(sorted);
    for (VirtualPort port : steering.virtualPorts()) {
      if (port.proxied()) {
        ports.single(port.port());
      }
    }
    steering.listeners().forEach(l -> ports.single(l.port()));
    for (ManagementRule rule :
        mesh.hostGoverned() ? mesh.management() : List.<ManagementRule>of()) {
      if (rule.port() != 0) {
        ports.single(rule.port());
      }
    }
  }

  private List<Peer.Addresses> blocks() {
    List<Peer.Addresses> blocks = new ArrayList<>();
    for (NetworkPolicy policy : policies) {
      for (List<Clause> clauses : List.of(policy.ingress(), policy.egress())) {
        for (Clause clause : clauses) {
          for (Peer peer : clause.peers()) {
            if (peer instanceof Peer.Addresses block) {
              blocks.add(block);
            }
          }
        }
      }
    }
    return blocks;
  }

  /**
   * Workloads elsewhere whose addresses are believed come by them without a principal: to each
   * identity of such the one that its addresses have as a source.
   */
  private Map<Integer, Integer> believedByAddress(int first) {
    Map<Integer, Integer> result = new TreeMap<>();
    for (int w = 0; w < cluster.workloads().size(); w++) {
      Workload workload = cluster.workloads().get(w);
      if (!workload.onThisNode() && !cluster.believedAddresses(workload).isEmpty()) {
        result.put(identities.identityOf(w), 0);
      }
    }
    int next = first;
    for (Map.Entry<Integer, Integer> entry : result.entrySet()) {
      entry.setValue(next++);
    }
    return result;
  }

  /** What an address is as a source: of a block, or of a workload elsewhere that is believed. */
  private List<Cidr> cidrs(OutsideBlocks blocks, Map<Integer, Integer> byAddress) {
    Map<Address, Cidr> believed = new HashMap<>();
    for (int w = 0; w < cluster.workloads().size(); w++) {
      Workload workload = cluster.workloads().get(w);
      int identity = identities.identityOf(w);
      if (!workload.onThisNode()) {
        cluster
            .believedAddresses(workload)
            .forEach(
                a ->
                    believed.put(
                        a.value(),
                        new Cidr(a.value(), 128, byAddress.getOrDefault(identity, identity))));
      }
    }
    List<Cidr> cidrs = new ArrayList<>(believed.values());
    for (Cidr cidr : blocks.cidrs()) {
      if (cidr.prefixLength() < 128 || !believed.containsKey(cidr.address())) {
        cidrs.add(cidr);
      }
    }
    cidrs.sort(Comparator.comparing(Cidr::address).thenComparingInt(Cidr::prefixLength));
    return cidrs;
  }

  /** Everybody who may ask for something. */
  private int[] sources(int end) {
    IntList sources = new IntList();
    sources.add(Reserved.UNKNOWN.index());
    sources.add(Reserved.HOST.index());
    sources.add(Reserved.OUTSIDE.index());
    for (int i = Identity.FIRST; i < end; i++) {
      sources.add(i);
    }
    return sources.toArray();
  }

  private boolean onThisNode(int source) {
    return source == Reserved.UNKNOWN.index()
        || source == Reserved.HOST.index()
        || identities.holds(source);
  }

  // What NetworkPolicies make of them.

  private Sides sides(
      List<Selection> selections,
      OutsideBlocks blocks,
      Map<Integer, Integer> byAddress,
      int count) {
    Sides sides = new Sides(count);
    boolean hostIsolated = mesh.defaultDeny() && mesh.hostGoverned();
    if (mesh.defaultDeny()) {
      for (int i = Identity.FIRST; i < identities.end(); i++) {
        sides.isolateIngress(i, List.of());
        sides.isolateEgress(i, List.of());
      }
      byAddress.values().forEach(i -> sides.isolateEgress(i, List.of()));
      sides.isolateIngress(Reserved.UNKNOWN.index(), List.of());
      sides.isolateEgress(Reserved.UNKNOWN.index(), List.of());
    }
    if (hostIsolated) {
      sides.isolateIngress(Reserved.HOST.index(), managed(Direction.INGRESS));
      sides.isolateEgress(Reserved.HOST.index(), managed(Direction.EGRESS));
    }
    sides.isolateIngress(Reserved.PROXY.index(), gateways());
    sides.isolateEgress(Reserved.PROXY.index(), List.of());
    for (int p = 0; p < policies.size(); p++) {
      NetworkPolicy policy = policies.get(p);
      Selection selection = selections.get(p);
      int rule = rules.of(policy);
      List<Grant> in =
          grants(policy, "ingress", policy.ingress(), selection.ingress(), blocks, byAddress);
      List<Grant> out =
          grants(policy, "egress", policy.egress(), selection.egress(), blocks, byAddress);
      for (int identity : identities.identitiesOf(selection.targets())) {
        if (policy.isolatesIngress()) {
          sides.selectIngress(identity, rule, policy.audit(), in);
        }
        if (policy.isolatesEgress()) {
          sides.selectEgress(identity, rule, policy.audit(), out);
          if (byAddress.containsKey(identity)) {
            sides.selectEgress(byAddress.getOrDefault(identity, 0), rule, policy.audit(), out);
          }
        }
      }
    }
    sides.settle();
    return sides;
  }

  private List<Grant> grants(
      NetworkPolicy policy,
      String direction,
      List<Clause> clauses,
      List<List<int[]>> selected,
      OutsideBlocks blocks,
      Map<Integer, Integer> byAddress) {
    List<Grant> grants = new ArrayList<>();
    for (int i = 0; i < selected.size(); i++) {
      Clause clause = clauses.get(i);
      IntList peers = new IntList();
      for (int p = 0; p < clause.peers().size(); p++) {
        if (clause.peers().get(p) instanceof Peer.Addresses block) {
          for (int identity : blocks.identities(block)) {
            peers.add(identity);
          }
          if (OutsideBlocks.holdsNode(block)) {
            peers.add(Reserved.HOST.index());
            peers.add(Reserved.PROXY.index());
          }
        } else {
          for (int workload : selected.get(i).get(p)) {
            int identity = identities.identityOf(workload);
            peers.add(identity);
            if (byAddress.containsKey(identity)) {
              peers.add(byAddress.getOrDefault(identity, 0));
            }
          }
        }
      }
      grants.add(
          new Grant(
              clause.peers().isEmpty(),
              peers.toSet(),
              clause.ports(),
              rules.of(policy, direction, i)));
    }
    return grants;
  }

  private List<ManagementRule> management(Direction direction) {
    return mesh.hostGoverned()
        ? mesh.management().stream().filter(m -> m.direction() == direction).toList()
        : List.of();
  }

  private List<Grant> managed(Direction direction) {
    return management(direction).stream()
        .map(m -> new Grant(true, new int[0], List.of(port(m)), 0))
        .toList();
  }

  private static Port port(ManagementRule rule) {
    return port(rule.protocol(), rule.port());
  }

  private static Port port(Protocol protocol, int port) {
    return new Port(
        protocol,
        port == 0 ? Optional.empty() : Optional.of(new PortReference.Numbers(port, port)),
        new Position("", 0, 0));
  }

  private List<Grant> gateways() {
    List<Grant> grants = new ArrayList<>();
    for (int i = 0; i < steering.listeners().size(); i++) {
      ProxyPlan.Listener listener = steering.listeners().get(i);
      grants.add(
          new Grant(
              true,
              new int[0],
              List.of(port(Protocol.TCP, listener.port())),
              steering.listenerRules().get(i)));
    }
    return grants;
  }

  // Rows.

  /** Whatever is isolated to destinations that are open. */
  private void egressRows(Sides sides, PortSpace ports, int[] sources) {
    for (int source : sources) {
      for (Grant grant : sides.egressGrants(source)) {
        if (grant.all()) {
          allow(source, Reserved.ANY.index(), ports.codes(grant.ports(), 0), grant.rule());
          for (int d = Identity.FIRST;
              PortSpace.named(grant.ports()) && d < identities.end();
              d++) {
            if (!sides.ingressIsolated(d)) {
              allow(source, d, ports.codes(grant.ports(), d), grant.rule());
            }
          }
        }
        for (int d : grant.peers()) {
          if (!sides.ingressIsolated(d)) {
            allow(source, d, ports.codes(grant.ports(), d), grant.rule());
          }
        }
      }
    }
  }

  private void allow(int source, int destination, int[] codes, int rule) {
    for (int code : codes) {
      rows.put(source, destination, code, Decision.ALLOW, rule);
    }
  }

  /** In whose name a service is refused: of the policy that guards whom it leads to. */
  private int blame(int service, Sides sides, ToIntFunction<Target> behind) {
    int route = 0;
    for (VirtualPort port : steering.virtualPorts()) {
      if (port.service() == service && port.proxied()) {
        for (int target : ServiceRows.destinations(steering, port)) {
          int identity = behind.applyAsInt(steering.targets().get(target));
          if (sides.ingressIsolated(identity) && sides.ingressRule(identity) != 0) {
            return sides.ingressRule(identity);
          }
        }
        route = route == 0 ? port.front().orElseThrow().rule() : route;
      }
    }
    return route;
  }

  // For the plan.

  private List<Identity> identities(
      Sides sides,
      List<Cidr> cidrs,
      Map<Integer, Integer> byAddress,
      Map<Integer, Integer> services,
      MutualTls mutualTls,
      int count) {
    String[] descriptions = new String[count];
    Arrays.fill(descriptions, "");
    for (Reserved reserved : Reserved.values()) {
      descriptions[reserved.index()] = reserved.name().toLowerCase(Locale.ROOT);
    }
    for (int i = Identity.FIRST; i < identities.end(); i++) {
      String first = cluster.workloads().get(identities.representative(i)).meta().qualifiedName();
      int members = identities.members(i);
      descriptions[i] = members == 1 ? first : first + " and " + (members - 1) + " more";
    }
    byAddress.forEach((of, identity) -> descriptions[identity] = descriptions[of] + " by address");
    for (Cidr cidr : cidrs) {
      if (cidr.identity() >= identities.end() && !byAddress.containsValue(cidr.identity())) {
        String block = new Block(cidr.address(), cidr.prefixLength()).toString();
        String so = descriptions[cidr.identity()];
        descriptions[cidr.identity()] =
            so.isEmpty() ? block : so.endsWith("...") ? so : so + " ...";
      }
    }
    services.forEach(
        (service, identity) -> descriptions[identity] = steering.services().get(service).id());
    List<Identity> result = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      result.add(
          new Identity(
              descriptions[i],
              sides.ingressIsolated(i),
              sides.egressIsolated(i),
              sides.ingressAudit(i),
              sides.egressAudit(i),
              sides.ingressRule(i),
              sides.egressRule(i),
              identities.holds(i) ? mutualTls.of(identities.representative(i)) : List.of()));
    }
    return result;
  }
}
