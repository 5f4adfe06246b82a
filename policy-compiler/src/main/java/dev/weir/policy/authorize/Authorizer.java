// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.authorize;

import dev.weir.policy.authorize.Authorized.Fixed;
import dev.weir.policy.authorize.Authorized.Past;
import dev.weir.policy.authorize.Authorized.PolicyParts;
import dev.weir.policy.cluster.Cluster;
import dev.weir.policy.model.Mesh;
import dev.weir.policy.model.NetworkPolicy;
import dev.weir.policy.model.NetworkPolicy.Clause;
import dev.weir.policy.model.NetworkPolicy.Peer;
import dev.weir.policy.model.NetworkPolicy.Port;
import dev.weir.policy.model.PeerAuthentication;
import dev.weir.policy.model.PortReference;
import dev.weir.policy.model.Workload;
import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Block;
import dev.weir.policy.plan.Cidr;
import dev.weir.policy.plan.Identity;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.Reserved;
import dev.weir.policy.plan.Settings.Direction;
import dev.weir.policy.plan.Settings.ManagementRule;
import dev.weir.policy.plan.Verdict.Decision;
import dev.weir.policy.plan.VerdictRows;
import dev.weir.policy.source.Diagnostics;
import dev.weir.policy.source.Position;
import dev.weir.policy.steer.Steering;
import dev.weir.policy.steer.Steering.Target;
import dev.weir.policy.steer.Steering.VirtualPort;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
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
@SuppressWarnings("ReferenceEquality") // what is the very same need not be compared
public final class Authorizer {

  /** Most verdict rows: what two generations of the kernel's table may take at most is 32 MiB. */
  public static final int MAX_ROWS = 1 << 20;

  private final Cluster cluster;
  private final AccessPolicies access;
  private final Steering steering;
  private final RuleTable rules;
  private final Diagnostics diagnostics;
  private final Mesh mesh;
  private final List<NetworkPolicy> policies;
  private final MutualTls mutualTls;
  private final Mentions mentions;

  /** What was found the last time, if what has changed since is in the policies alone. */
  private final Optional<Past> past;

  private final IdentityPartition identities;
  private final TunnelRows tunnels;
  private final OutsideBlocks blocks;
  private final Map<Integer, Integer> byAddress;

  private Authorizer(
      Cluster cluster,
      AccessPolicies access,
      Steering steering,
      RuleTable rules,
      Diagnostics diagnostics,
      Optional<Authorized> before) {
    this.cluster = cluster;
    this.access = access;
    this.steering = steering;
    this.rules = rules;
    this.diagnostics = diagnostics;
    this.mesh = cluster.mesh().orElseGet(Mesh::defaults);
    this.policies = cluster.all(NetworkPolicy.class);
    this.past = before.map(Authorized::past).filter(this::isOfTheSame);
    this.mutualTls = new MutualTls(cluster, rules);
    this.mentions = mentions();
    this.identities = partition();
    this.tunnels = new TunnelRows(cluster, identities);
    Set<Peer.Addresses> told = new HashSet<>(mentions.blocks());
    told.addAll(access.sets().blocks());
    this.blocks =
        past.filter(p -> p.partition() == identities && p.blocks().tells(told))
            .map(Past::blocks)
            .orElseGet(() -> new OutsideBlocks(told, identities.end()));
    Map<Integer, Integer> believed =
        access.isEmpty() && mutualTls.isEmpty()
            ? Map.of()
            : believedByAddress(identities.end() + blocks.count());
    this.byAddress = past.map(Past::byAddress).filter(believed::equals).orElse(believed);
  }

  /** Computes identities and verdicts; empty when they are more than a plan has room for. */
  public static Optional<Authorized> authorize(
      Cluster cluster,
      AccessPolicies access,
      Steering steering,
      RuleTable rules,
      Diagnostics diagnostics) {
    return new Authorizer(cluster, access, steering, rules, diagnostics, Optional.empty()).run();
  }

  /**
   * The same, faster, when only policies have changed since.
   *
   * @param before of policies of which many are still there
   */
  public static Optional<Authorized> authorize(
      Cluster cluster,
      AccessPolicies access,
      Steering steering,
      RuleTable rules,
      Diagnostics diagnostics,
      Authorized before) {
    return new Authorizer(cluster, access, steering, rules, diagnostics, Optional.of(before)).run();
  }

  private boolean isOfTheSame(Past before) {
    return before.cluster().answersAs(cluster)
        && (before.cluster().hasWorkloadsOf(cluster) || asksOfNothingBut(before))
        && before.cluster().mesh().equals(cluster.mesh())
        && before.rules().wholeAs(rules);
  }

  /** Whether all that is asked of workloads, before and now, is whom selectors select. */
  private boolean asksOfNothingBut(Past before) {
    return before.access().isEmpty()
        && access.isEmpty()
        && before.mentions().names().isEmpty()
        && before.cluster().all(PeerAuthentication.class).isEmpty()
        && cluster.all(PeerAuthentication.class).isEmpty();
  }

  private Optional<Authorized> run() {
    PortSpace ports = ports();
    int end = identities.end() + blocks.count() + byAddress.size();
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
      return Optional.empty();
    }
    Map<Integer, Integer> representatives = new HashMap<>();
    byAddress.forEach(
        (of, identity) -> representatives.put(identity, identities.representative(of)));
    access.resolve(identities, blocks, representatives, count);

    // What they may do.
    Optional<Past> same =
        past.filter(
            p -> p.partition() == identities && p.blocks() == blocks && p.byAddress() == byAddress);
    IdentityHashMap<NetworkPolicy, PolicyParts> parts = parts(same, ports);
    Fixed fixed = fixed(same);
    Sides sides = sides(parts, fixed, count);
    boolean[] changed = changed(same, sides, end);
    RowTable rows = new RowTable();
    addIngress(sides, ports, changed, count, end, rows);
    long[] ingress = rows.sorted();
    if (same.isPresent()) {
      for (int i = 0; i < end; i++) {
        if (!changed[i] && same.get().sides().guarded(i)) {
          sides.isolate(i, access.of(i));
        }
      }
      ingress = RowTable.merge(kept(same.get(), same.get().ingress(), changed), ingress);
    }
    Optional<Past> open = same.filter(p -> opensTheSame(p, sides, end));
    RowTable egressTable = new RowTable();
    if (open.isEmpty()) {
      egressRows(sides, ports, sources(end), egressTable);
    }
    long[] egress =
        open.isPresent()
            ? kept(open.get(), open.get().egress(), new boolean[0])
            : egressTable.needed(sides);
    int egressSize = open.isPresent() ? open.get().egressSize() : egressTable.size();
    List<Cidr> cidrs =
        same.filter(p -> p.cluster().hasWorkloadsOf(cluster))
            .map(p -> p.authorization().cidrs())
            .orElseGet(() -> cidrs(blocks, byAddress));
    ToIntFunction<Target> behind =
        target ->
            target.workload() == Steering.OUTSIDE
                ? Authorization.outside(cidrs, target.address())
                : identities.identityOf(target.workload());
    services.forEach(
        (service, identity) -> sides.isolateService(identity, blame(service, sides, behind)));
    long[] proxied =
        services(services, sides, ports, behind, open, changed, ingress, egress, cidrs);
    int size = ingress.length + egressSize + proxied.length;
    if (size > MAX_ROWS) {
      if (past.isPresent()) {
        return authorize(cluster, access, steering, rules, diagnostics);
      }
      rows.putAll(egress);
      rows.putAll(proxied);
      diagnostics.error(
          new Position("", 0, 0),
          "",
          (size > MAX_ROWS * 2 ? "more than " : "")
              + size
              + " verdict rows are more than the "
              + MAX_ROWS
              + " a plan has room for; most are of "
              + largest(rows),
          "let policies select whole namespaces or fewer distinct labels");
      return Optional.empty();
    }
    Authorization authorization =
        new Authorization(
            identities(sides, cidrs, services, count),
            same.isPresent() ? same.get().authorization().workloads() : ofWorkloads(),
            services,
            VerdictRows.of(RowTable.merge(RowTable.merge(ingress, egress), proxied)),
            ports.classes(),
            cidrs);
    parts.values().forEach(p -> p.ingress().trim());
    sides.close();
    return Optional.of(
        new Authorized(
            new Past(
                authorization,
                cluster,
                access,
                access.about(),
                steering,
                rules,
                mentions,
                parts,
                fixed,
                identities,
                ports,
                blocks,
                byAddress,
                sides,
                ingress,
                egress,
                egressSize,
                proxied)));
  }

  private List<Integer> ofWorkloads() {
    return IntStream.range(0, cluster.workloads().size())
        .map(identities::identityOf)
        .boxed()
        .toList();
  }

  // What can be taken over.

  private Mentions mentions() {
    Mentions now = past.isPresent() ? past.get().mentions().copy() : new Mentions();
    IdentityHashMap<NetworkPolicy, PolicyParts> known =
        past.isPresent() ? past.get().policies() : new IdentityHashMap<>();
    for (NetworkPolicy policy : policies) {
      if (!known.containsKey(policy)) {
        now.add(policy, cluster);
      }
    }
    if (!known.isEmpty()) {
      IdentityHashMap<NetworkPolicy, Boolean> here = new IdentityHashMap<>();
      policies.forEach(policy -> here.put(policy, true));
      for (NetworkPolicy policy : known.keySet()) {
        if (!here.containsKey(policy)) {
          now.remove(policy, cluster);
        }
      }
    }
    return now;
  }

  /** The classes of workloads: those of the last time, if they are the same. */
  private IdentityPartition partition() {
    if (past.isPresent()
        && past.get().mentions().sameWorkloads(mentions)
        && (past.get().access() == access || past.get().access().isEmpty() && access.isEmpty())
        && (past.get().steering() == steering
            || past.get().steering().proxied().isEmpty() && steering.proxied().isEmpty())
        && past.get().cluster().all(PeerAuthentication.class).isEmpty()
        && cluster.all(PeerAuthentication.class).isEmpty()) {
      return past.get().partition();
    }
    IdentityPartition partition = new IdentityPartition(cluster.workloads().size());
    mentions.sets().forEach(partition::tellApart);
    PortSpace.tellApart(cluster, mentions, partition);
    access.tellApart(partition);
    mutualTls.tellApart(partition);
    tellApartWhatIsProxied(partition);
    partition.cut();
    return past.map(Past::partition).filter(partition::isAs).orElse(partition);
  }

  private PortSpace ports() {
    PortSpace ports = new PortSpace(cluster, mentions, identities);
    access.name(ports);
    nameWhatIsProxied(ports);
    return ports;
  }

  /** Whom policies are about and what they grant, as far as it is not known yet. */
  private IdentityHashMap<NetworkPolicy, PolicyParts> parts(Optional<Past> same, PortSpace ports) {
    boolean sameRanges = same.isPresent() && ports.cutsAs(same.get().ports());
    IdentityHashMap<NetworkPolicy, PolicyParts> parts = new IdentityHashMap<>();
    for (NetworkPolicy policy : policies) {
      PolicyParts known = same.isPresent() ? same.get().policies().get(policy) : null;
      if (known == null
          || !sameRanges && (known.ingress().namesRanges() || known.egress().namesRanges())) {
        known =
            new PolicyParts(
                identities.identitiesOf(
                    cluster.select(policy.meta().namespace(), policy.podSelector())),
                PolicySide.of(policy, true),
                PolicySide.of(policy, false));
      }
      known.ingress().number(rules);
      known.egress().number(rules);
      parts.put(policy, known);
    }
    return parts;
  }

  private Fixed fixed(Optional<Past> same) {
    if (same.isPresent()
        && (same.get().steering() == steering
            || same.get().steering().listeners().isEmpty() && steering.listeners().isEmpty())) {
      return same.get().fixed();
    }
    List<PolicySide> gateways = new ArrayList<>();
    for (int i = 0; i < steering.listeners().size(); i++) {
      gateways.add(
          PolicySide.ports(
              List.of(port(Protocol.TCP, steering.listeners().get(i).port())),
              steering.listenerRules().get(i)));
    }
    cluster
        .mesh()
        .flatMap(Mesh::tunnels)
        .ifPresent(
            t -> gateways.add(PolicySide.ports(List.of(port(Protocol.TCP, t.port().value())), 0)));
    return new Fixed(managed(Direction.INGRESS), managed(Direction.EGRESS), gateways);
  }

  /** Identities whose rows as destinations have to be found anew. */
  private boolean[] changed(Optional<Past> same, Sides sides, int end) {
    boolean[] changed = new boolean[end];
    if (same.isEmpty()) {
      Arrays.fill(changed, true);
      return changed;
    }
    Past before = same.get();
    for (int i = 0; i < end; i++) {
      if (sides.egressIsAs(before.sides(), i)) {
        sides.takeEgress(before.sides(), i);
      } else {
        // What a source may do is part of the rows of all whom it may reach.
        Arrays.fill(changed, true);
        return changed;
      }
    }
    for (int i = 0; i < end; i++) {
      changed[i] =
          !sides.ingressIsAs(before.sides(), i)
              || before.access() != access
                  && (before.about().contains(i) || access.about().contains(i));
    }
    return changed;
  }

  /** Whether the same destinations are open, to the same sources. */
  private static boolean opensTheSame(Past before, Sides sides, int end) {
    for (int i = 0; i < end; i++) {
      if (sides.ingressIsolated(i) != before.sides().ingressIsolated(i)
          || !sides.egressIsAs(before.sides(), i)) {
        return false;
      }
    }
    return true;
  }

  /** Rows that are still valid, with the numbers that their rules have now. */
  private long[] kept(Past before, long[] rows, boolean[] changed) {
    int[] where = rules.whereAre(before.rules());
    long[] kept = new long[rows.length];
    int size = 0;
    for (long row : rows) {
      int destination = RowTable.destination(row);
      if (destination >= changed.length || !changed[destination]) {
        int rule = where[RowTable.rule(row)];
        if (rule < 0) {
          throw new IllegalStateException(
              "a row towards "
                  + destination
                  + " in the name of a rule that has gone: "
                  + before.rules().rules().get(RowTable.rule(row)).describe());
        }
        kept[size++] = RowTable.withRule(row, rule);
      }
    }
    return size == kept.length ? kept : Arrays.copyOf(kept, size);
  }

  private void addIngress(
      Sides sides, PortSpace ports, boolean[] changed, int count, int end, RowTable rows) {
    List<Port> managed = management(Direction.EGRESS).stream().map(Authorizer::port).toList();
    int[] management = managed.isEmpty() ? new int[0] : ports.codes(managed, 0);
    IngressRows ingress =
        new IngressRows(
            sides, access, ports, rows, sources(end), count, management, mesh.hostGoverned());
    for (Reserved destination : List.of(Reserved.UNKNOWN, Reserved.HOST, Reserved.PROXY)) {
      if (changed[destination.index()]) {
        ingress.add(destination.index());
      }
    }
    for (int destination = Identity.FIRST; destination < identities.end(); destination++) {
      if (changed[destination] && tunnels.elsewhere(destination)) {
        RowTable before = new RowTable();
        new IngressRows(
                sides, access, ports, before, sources(end), count, management, mesh.hostGoverned())
            .add(destination);
        tunnels.lead(before, destination, mesh.hostGoverned(), rows);
      } else if (changed[destination]) {
        ingress.add(destination);
        if (rows.size() > MAX_ROWS * 2) {
          break;
        }
      }
    }
  }

  /** Rows about the proxy. */
  private long[] services(
      Map<Integer, Integer> services,
      Sides sides,
      PortSpace ports,
      ToIntFunction<Target> behind,
      Optional<Past> open,
      boolean[] changed,
      long[] ingress,
      long[] egress,
      List<Cidr> cidrs) {
    if (services.isEmpty() && steering.proxied().isEmpty() && tunnels.isEmpty()) {
      return new long[0];
    }
    if (open.isPresent()
        && tunnels.isEmpty()
        && open.get().steering() == steering
        && steering.proxied().keySet().stream()
            .mapToInt(t -> behind.applyAsInt(steering.targets().get(t)))
            .noneMatch(identity -> changed[identity])) {
      return kept(open.get(), open.get().services(), new boolean[0]);
    }
    RowTable known = new RowTable();
    known.putAll(ingress);
    known.putAll(egress);
    RowTable rows = new RowTable();
    int end = changed.length;
    ServiceRows toServices =
        new ServiceRows(
            steering,
            sides,
            behind,
            ports,
            known,
            rows,
            Arrays.stream(sources(end)).filter(this::onThisNode).toArray(),
            mesh.hostGoverned());
    toServices.backends(tunnels::elsewhere);
    tunnels.proxy(cidrs, ports, rows);
    for (VirtualPort port : steering.virtualPorts()) {
      if (port.proxied()) {
        toServices.service(port, services.getOrDefault(port.service(), 0));
      }
    }
    return rows.sorted();
  }

  /** The rules with the most rows, for people. */
  private String largest(RowTable rows) {
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

  /** The proxy may dial backends and nobody else. */
  private void tellApartWhatIsProxied(IdentityPartition partition) {
    Map<Integer, IntList> byPort = new TreeMap<>();
    for (int index : steering.proxied().keySet()) {
      Target target = steering.targets().get(index);
      if (target.workload() != Steering.OUTSIDE) {
        byPort.computeIfAbsent(target.port(), k -> new IntList()).add(target.workload());
      }
    }
    byPort.values().forEach(workloads -> partition.tellApart(workloads.toSet()));
    TunnelRows.tellApart(cluster, partition);
  }

  /** Ports that rows about the proxy name must have classes. */
  private void nameWhatIsProxied(PortSpace ports) {
    for (int index : steering.proxied().keySet()) {
      ports.single(steering.targets().get(index).port());
    }
    for (VirtualPort port : steering.virtualPorts()) {
      if (port.proxied()) {
        ports.single(port.port());
      }
    }
    steering.listeners().forEach(l -> ports.single(l.port()));
    TunnelRows.name(cluster, ports);
    for (ManagementRule rule :
        mesh.hostGoverned() ? mesh.management() : List.<ManagementRule>of()) {
      if (rule.port() != 0) {
        ports.single(rule.port());
      }
    }
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

  private Sides sides(IdentityHashMap<NetworkPolicy, PolicyParts> parts, Fixed fixed, int count) {
    Sides sides = new Sides(count, this::grants);
    boolean hostIsolated = mesh.defaultDeny() && mesh.hostGoverned();
    if (mesh.defaultDeny()) {
      for (int i = Identity.FIRST; i < identities.end(); i++) {
        sides.isolateIngress(i, PolicySide.NOTHING);
        sides.isolateEgress(i, PolicySide.NOTHING);
      }
      byAddress.values().forEach(i -> sides.isolateEgress(i, PolicySide.NOTHING));
      sides.isolateIngress(Reserved.UNKNOWN.index(), PolicySide.NOTHING);
      sides.isolateEgress(Reserved.UNKNOWN.index(), PolicySide.NOTHING);
    }
    if (hostIsolated) {
      sides.isolateIngress(Reserved.HOST.index(), fixed.hostIngress());
      sides.isolateEgress(Reserved.HOST.index(), fixed.hostEgress());
    }
    sides.isolateIngress(Reserved.PROXY.index(), PolicySide.NOTHING);
    fixed.gateways().forEach(g -> sides.isolateIngress(Reserved.PROXY.index(), g));
    sides.isolateEgress(Reserved.PROXY.index(), PolicySide.NOTHING);
    for (NetworkPolicy policy : policies) {
      PolicyParts part = Objects.requireNonNull(parts.get(policy));
      int rule = rules.of(policy);
      for (int identity : part.targets()) {
        if (policy.isolatesIngress()) {
          sides.selectIngress(identity, rule, policy.audit(), part.ingress());
        }
        if (policy.isolatesEgress()) {
          sides.selectEgress(identity, rule, policy.audit(), part.egress());
          if (byAddress.containsKey(identity)) {
            sides.selectEgress(
                byAddress.getOrDefault(identity, 0), rule, policy.audit(), part.egress());
          }
        }
      }
    }
    // Isolated from everybody but the proxy: what goes by a tunnel must not go past it.
    for (int identity : tunnels.elsewhere()) {
      if (!sides.ingressIsolated(identity)) {
        sides.isolateIngress(identity, PolicySide.everything());
      }
    }
    sides.settle();
    return sides;
  }

  /** Finds whom the clauses of a policy mean. */
  private List<Grant> grants(PolicySide side) {
    NetworkPolicy policy = side.policy().orElseThrow();
    String namespace = policy.meta().namespace();
    List<Grant> grants = new ArrayList<>();
    for (int i = 0; i < side.clauses().size(); i++) {
      Clause clause = side.clauses().get(i);
      IntList peers = new IntList();
      for (Peer peer : clause.peers()) {
        switch (peer) {
          case Peer.Addresses block -> {
            for (int identity : blocks.identities(block)) {
              peers.add(identity);
            }
            if (OutsideBlocks.holdsNode(block)) {
              peers.add(Reserved.HOST.index());
              peers.add(Reserved.PROXY.index());
            }
          }
          case Peer.Pods pods -> {
            for (int workload : cluster.select(namespace, pods)) {
              int identity = identities.identityOf(workload);
              peers.add(identity);
              if (byAddress.containsKey(identity)) {
                peers.add(byAddress.getOrDefault(identity, 0));
              }
            }
          }
        }
      }
      grants.add(new Grant(clause.peers().isEmpty(), peers.toSet(), clause.ports(), side, i));
    }
    return grants;
  }

  private List<ManagementRule> management(Direction direction) {
    return mesh.hostGoverned()
        ? mesh.management().stream().filter(m -> m.direction() == direction).toList()
        : List.of();
  }

  private PolicySide managed(Direction direction) {
    return PolicySide.ports(management(direction).stream().map(Authorizer::port).toList(), 0);
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

  // Rows.

  /** Whatever is isolated to destinations that are open. */
  private void egressRows(Sides sides, PortSpace ports, int[] sources, RowTable rows) {
    for (int source : sources) {
      for (Grant grant : sides.egressGrants(source)) {
        if (grant.all()) {
          allow(source, Reserved.ANY.index(), grant.codes(ports, 0), grant.rule(), rows);
          for (int d = Identity.FIRST;
              PortSpace.named(grant.ports()) && d < identities.end();
              d++) {
            if (!sides.ingressIsolated(d)) {
              allow(source, d, grant.codes(ports, d), grant.rule(), rows);
            }
          }
        }
        for (int d : grant.peers()) {
          if (!sides.ingressIsolated(d)) {
            allow(source, d, grant.codes(ports, d), grant.rule(), rows);
          }
        }
      }
    }
  }

  private static void allow(int source, int destination, int[] codes, int rule, RowTable rows) {
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
      Sides sides, List<Cidr> cidrs, Map<Integer, Integer> services, int count) {
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
