// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy;

import dev.weir.policy.access.AccessPlanner;
import dev.weir.policy.authorize.Authorization;
import dev.weir.policy.authorize.RuleTable;
import dev.weir.policy.cluster.Cluster;
import dev.weir.policy.model.Gateway;
import dev.weir.policy.model.Located;
import dev.weir.policy.model.Mesh;
import dev.weir.policy.model.Resource;
import dev.weir.policy.model.Workload.Port;
import dev.weir.policy.plan.AccessPlan;
import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Backend;
import dev.weir.policy.plan.Endpoint;
import dev.weir.policy.plan.Hbone;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.PortOwner;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.ProxyPlan;
import dev.weir.policy.plan.Reserved;
import dev.weir.policy.plan.Service;
import dev.weir.policy.plan.Settings;
import dev.weir.policy.plan.TrafficPolicy;
import dev.weir.policy.plan.Workload;
import dev.weir.policy.source.Diagnostics;
import dev.weir.policy.source.Position;
import dev.weir.policy.steer.Steering;
import dev.weir.policy.steer.Steering.Target;
import dev.weir.policy.steer.Steering.VirtualPort;
import dev.weir.policy.traffic.TrafficResolver;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.Collections;
import java.util.Comparator;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;
import java.util.TreeMap;

/** Puts the parts together: indexes of cluster and steering become indexes of the plan. */
@SuppressWarnings("ReferenceEquality") // what is the very same need not be compared
final class Planner {

  /** When more services than so have changed, all are made anew. */
  private static final int MOST_EXCHANGED = 500;

  private final Cluster cluster;
  private final Steering steering;
  private final Authorization authorization;
  private final RuleTable rules;
  private final Diagnostics diagnostics;
  private final Mesh mesh;

  /** Port owners, by network namespace, protocol and port. */
  private final Map<Long, Owner> owners = new TreeMap<>();

  /** A build with as many services and workloads, in the same order, and the same Mesh. */
  private final Optional<Build> near;

  /** The same, if workloads, services and addresses also have the same identities. */
  private final Optional<Build> alike;

  /** Whether every workload lives where it did, and listens on the same ports. */
  private final boolean unmoved;

  private List<TrafficPolicy> traffic = List.of();

  private record Owner(
      Protocol protocol, int port, int workload, boolean apart, String name, Position at) {}

  Planner(
      Cluster cluster,
      Steering steering,
      Authorization authorization,
      RuleTable rules,
      Optional<Build> before,
      Diagnostics diagnostics) {
    this.cluster = cluster;
    this.steering = steering;
    this.authorization = authorization;
    this.rules = rules;
    this.diagnostics = diagnostics;
    this.mesh = cluster.mesh().orElseGet(Mesh::defaults);
    this.near =
        before.filter(
            b ->
                b.steering().services().size() == steering.services().size()
                    && b.cluster().workloads().size() == cluster.workloads().size()
                    && b.cluster().mesh().equals(cluster.mesh()));
    this.alike = near.filter(this::hasTheSameIdentities);
    this.unmoved = near.map(b -> liveAs(b.cluster().workloads())).orElse(false);
  }

  private boolean liveAs(List<dev.weir.policy.model.Workload> others) {
    for (int w = 0; w < others.size(); w++) {
      dev.weir.policy.model.Workload one = cluster.workloads().get(w);
      dev.weir.policy.model.Workload other = others.get(w);
      if (one != other && !(Cluster.livesAs(one, other) && listensAs(one, other))) {
        return false;
      }
    }
    return true;
  }

  private static boolean listensAs(
      dev.weir.policy.model.Workload one, dev.weir.policy.model.Workload other) {
    if (one.ports().size() != other.ports().size()) {
      return false;
    }
    for (int i = 0; i < one.ports().size(); i++) {
      if (one.ports().get(i).port() != other.ports().get(i).port()
          || one.ports().get(i).protocol() != other.ports().get(i).protocol()) {
        return false;
      }
    }
    return true;
  }

  private boolean hasTheSameIdentities(Build before) {
    Authorization other = before.authorized().authorization();
    return other.workloads().equals(authorization.workloads())
        && other.services().equals(authorization.services())
        && other.cidrs().equals(authorization.cidrs());
  }

  /** Index of a service in the plan: its kind sorts before {@code Workload}. */
  private static int servicePlace(int service) {
    return Workload.RESERVED + service;
  }

  private int workloadPlace(int workload) {
    return workload == Steering.OUTSIDE
        ? Reserved.OUTSIDE.index()
        : Workload.RESERVED + steering.services().size() + workload;
  }

  private boolean hasTheSamePorts() {
    return unmoved && near.filter(b -> b.cluster().hasAllOf(Gateway.class, cluster)).isPresent();
  }

  /** Finds who alone may hold which port, and who else wants it. */
  void checkPorts() {
    if (hasTheSamePorts()) {
      return;
    }
    // The proxy waits there in the network namespaces of pods as well.
    final Owner capture = own(mesh.outboundPort(), Reserved.PROXY, "the proxy's capture port");
    own(mesh.metricsPort(), Reserved.HOST, "the metrics port");
    own(mesh.healthPort(), Reserved.HOST, "the health port");
    mesh.tunnels().ifPresent(t -> own(t.port(), Reserved.PROXY, "the port of tunnels"));
    for (Gateway gateway : cluster.all(Gateway.class)) {
      if (gateway.ours()) {
        for (Gateway.Listener listener : gateway.listeners()) {
          Owner owner =
              new Owner(
                  Protocol.TCP,
                  listener.port(),
                  Reserved.PROXY.index(),
                  false,
                  "a listener of " + gateway.id(),
                  listener.name().at());
          Owner other = owners.putIfAbsent(key(owner), owner);
          if (other != null && !other.name().startsWith("a listener of")) {
            conflict(owner, other, listener.name().field());
          }
        }
      }
    }
    for (int w = 0; w < cluster.workloads().size(); w++) {
      dev.weir.policy.model.Workload workload = cluster.workloads().get(w);
      if (workload.onThisNode()) {
        // Whoever has an address has it in a network namespace of its own, and all ports there.
        boolean apart = workload.address().isPresent();
        for (Port port : workload.ports()) {
          Owner owner =
              new Owner(
                  port.protocol(), port.port(), workloadPlace(w), apart, workload.id(), port.at());
          if (apart && owner.protocol() == Protocol.TCP && owner.port() == capture.port()) {
            conflict(owner, capture, "spec.ports");
            continue;
          }
          Owner other = owners.putIfAbsent(key(owner), owner);
          if (other != null) {
            conflict(owner, other, "spec.ports");
          }
        }
      }
    }
  }

  private Owner own(Located<Integer> port, Reserved reserved, String name) {
    Owner owner = new Owner(Protocol.TCP, port.value(), reserved.index(), false, name, port.at());
    Owner other = owners.putIfAbsent(key(owner), owner);
    if (other != null) {
      conflict(owner, other, port.field());
    }
    return owner;
  }

  private void conflict(Owner owner, Owner other, String field) {
    diagnostics.error(
        owner.at(),
        field,
        owner.protocol()
            + " "
            + owner.port()
            + (owner.apart() ? " of its own network namespace" : " of this node")
            + " also belongs to "
            + other.name()
            + (other.at().file().isEmpty() ? "" : " at " + other.at()),
        owner.apart()
            ? "use another port"
            : "use another port, or give the workload an address of its own");
  }

  private static long key(Owner owner) {
    return (owner.apart() ? (long) owner.workload() << 32 : 0)
        | (long) owner.protocol().ordinal() << 16
        | owner.port();
  }

  /** Finds what TrafficPolicies are about. */
  void resolveTraffic() {
    if (cluster.all(dev.weir.policy.model.TrafficPolicy.class).isEmpty()) {
      return;
    }
    IdentityHashMap<Resource, Integer> serviceIndex = new IdentityHashMap<>();
    for (int s = 0; s < steering.services().size(); s++) {
      serviceIndex.put(steering.services().get(s), servicePlace(s));
    }
    IdentityHashMap<Resource, Integer> workloadIndex = new IdentityHashMap<>();
    for (int w = 0; w < cluster.workloads().size(); w++) {
      workloadIndex.put(cluster.workloads().get(w), workloadPlace(w));
    }
    traffic =
        TrafficResolver.resolve(
            cluster,
            new TrafficResolver.Places() {
              @Override
              public int service(dev.weir.policy.model.Service service) {
                return serviceIndex.getOrDefault(service, 0);
              }

              @Override
              public boolean byKernel(dev.weir.policy.model.Service service, OptionalInt port) {
                int place = serviceIndex.getOrDefault(service, 0);
                return steering.virtualPorts().stream()
                    .filter(p -> servicePlace(p.service()) == place)
                    .filter(p -> port.isEmpty() || port.getAsInt() == p.port())
                    .anyMatch(p -> !p.proxied());
              }

              @Override
              public boolean byProxy(dev.weir.policy.model.Service service, OptionalInt port) {
                int place = serviceIndex.getOrDefault(service, 0);
                return steering.clusters().stream()
                    .filter(c -> servicePlace(c.service()) == place)
                    .anyMatch(c -> port.isEmpty() || port.getAsInt() == c.port());
              }

              @Override
              public boolean byConnection(Resource route) {
                return steering.kernelSplits().stream()
                    .anyMatch(split -> split.route().equals(route.id()));
              }

              @Override
              public int workload(dev.weir.policy.model.Workload workload) {
                return workloadIndex.getOrDefault(workload, 0);
              }

              @Override
              public int rule(Resource resource) {
                return rules.of(resource);
              }

              @Override
              public int rule(Gateway gateway, Gateway.Listener listener) {
                return rules.of(gateway, listener);
              }
            },
            diagnostics);
  }

  Plan plan() {
    return new Plan(
        settings(),
        near.isPresent() ? workloads(near.get()) : workloads(),
        authorization.identities(),
        rules.rules(),
        authorization.verdicts(),
        authorization.portClasses(),
        alike.isPresent() ? services(alike.get()) : services(),
        alike
            .filter(b -> b.steering().targets() == steering.targets())
            .map(b -> b.plan().backends())
            .orElseGet(this::backends),
        near.filter(b -> unmoved).map(b -> b.plan().endpoints()).orElseGet(this::endpoints),
        authorization.cidrs(),
        near.filter(b -> hasTheSamePorts()).map(b -> b.plan().ports()).orElseGet(this::ports),
        proxy(),
        traffic);
  }

  private List<Backend> backends() {
    List<Backend> backends = new ArrayList<>();
    backends.add(new Backend(new Address(0, 0), 0, 0, 0));
    for (Target target : steering.targets()) {
      backends.add(
          new Backend(
              target.address(),
              target.port(),
              workloadPlace(target.workload()),
              target.workload() == Steering.OUTSIDE
                  ? authorization.outside(target.address())
                  : authorization.workloads().get(target.workload())));
    }
    return backends;
  }

  private List<PortOwner> ports() {
    return owners.values().stream()
        .map(o -> new PortOwner(o.protocol(), o.port(), o.workload(), o.apart()))
        .toList();
  }

  private Settings settings() {
    return new Settings(
        cluster.mesh().map(m -> m.meta().qualifiedName()).orElse("(default)"),
        mesh.defaultDeny(),
        mesh.hostGoverned(),
        mesh.management(),
        mesh.governedCgroups().stream().map(Located::value).sorted().distinct().toList(),
        mesh.audit(),
        mesh.refuseWithEperm(),
        mesh.outboundPort().value(),
        mesh.metricsPort().value(),
        mesh.healthPort().value(),
        mesh.proxyCgroup().value(),
        mesh.budget().mapBytes().map(Located::value).orElse(Settings.MAP_BYTES),
        mesh.icmp(),
        mesh.trustDomain(),
        mesh.telemetry(),
        mesh.trustedProxies());
  }

  private List<Workload> workloads() {
    List<Workload> result = new ArrayList<>();
    for (Reserved reserved : Reserved.values()) {
      result.add(
          new Workload(
              "",
              reserved.name().toLowerCase(Locale.ROOT),
              "Reserved",
              reserved.index(),
              reserved == Reserved.PROXY ? List.of(mesh.proxyCgroup().value()) : List.of(),
              false,
              "",
              "",
              ""));
    }
    for (int s = 0; s < steering.services().size(); s++) {
      result.add(workloadOfService(s));
    }
    for (int w = 0; w < cluster.workloads().size(); w++) {
      result.add(workload(w));
    }
    return result;
  }

  /** The same, with what a build has of those who have not changed. */
  private List<Workload> workloads(Build before) {
    List<Workload> known = before.plan().workloads();
    List<Workload> result = new ArrayList<>(known);
    boolean same = true;
    for (int s = 0; s < steering.services().size(); s++) {
      int place = servicePlace(s);
      if (steering.services().get(s) != before.steering().services().get(s)
          || known.get(place).identity() != authorization.services().getOrDefault(s, 0)) {
        result.set(place, workloadOfService(s));
        same = false;
      }
    }
    for (int w = 0; w < cluster.workloads().size(); w++) {
      int place = workloadPlace(w);
      if (cluster.workloads().get(w) != before.cluster().workloads().get(w)
          || known.get(place).identity() != authorization.workloads().get(w)) {
        result.set(place, workload(w));
        same = false;
      }
    }
    return same ? known : result;
  }

  private Workload workloadOfService(int s) {
    dev.weir.policy.model.Service service = steering.services().get(s);
    return new Workload(
        service.meta().namespace(),
        service.meta().name(),
        "Service",
        authorization.services().getOrDefault(s, 0),
        List.of(),
        false,
        "",
        label(service.meta().labels(), "app"),
        label(service.meta().labels(), "version"));
  }

  private Workload workload(int w) {
    dev.weir.policy.model.Workload workload = cluster.workloads().get(w);
    return new Workload(
        workload.meta().namespace(),
        workload.meta().name(),
        workload.kind(),
        authorization.workloads().get(w),
        workload.cgroups().stream().map(Located::value).toList(),
        workload.handsOutSockets(),
        workload.serviceAccount(),
        label(workload.meta().labels(), "app"),
        label(workload.meta().labels(), "version"));
  }

  private static String label(Map<String, String> labels, String name) {
    return labels.getOrDefault(
        name, labels.getOrDefault("app.kubernetes.io/" + (name.equals("app") ? "name" : name), ""));
  }

  private static final Comparator<Service> BY_ADDRESS =
      Comparator.comparing(Service::address)
          .thenComparingInt(Service::port)
          .thenComparing(Service::protocol);

  private List<Service> services() {
    List<Service> result = new ArrayList<>();
    for (VirtualPort port : steering.virtualPorts()) {
      result.add(service(port));
    }
    result.sort(BY_ADDRESS);
    return result;
  }

  private Service service(VirtualPort port) {
    return new Service(
        servicePlace(port.service()),
        port.address(),
        port.port(),
        port.protocol(),
        port.proxied() ? Service.Tier.PROXY : Service.Tier.KERNEL,
        port.proxied() ? authorization.services().getOrDefault(port.service(), 0) : 0,
        port.affinitySeconds(),
        // A share that leads nowhere is slot 0: the kernel finds no backend and refuses.
        port.slots().stream().map(t -> t + 1).toList());
  }

  /** The same, with those of a build that lead where they did. */
  private List<Service> services(Build before) {
    if (before.steering() == steering) {
      return before.plan().services();
    }
    Set<VirtualPort> gone = Collections.newSetFromMap(new IdentityHashMap<>());
    gone.addAll(before.steering().virtualPorts());
    List<VirtualPort> come = new ArrayList<>();
    for (VirtualPort port : steering.virtualPorts()) {
      if (!gone.remove(port)) {
        come.add(port);
      }
    }
    if (come.size() + gone.size() > MOST_EXCHANGED) {
      return services();
    }
    List<Service> result = new ArrayList<>(before.plan().services());
    for (VirtualPort port : gone) {
      result.remove(Collections.binarySearch(result, service(port), BY_ADDRESS));
    }
    for (VirtualPort port : come) {
      Service service = service(port);
      result.add(-Collections.binarySearch(result, service, BY_ADDRESS) - 1, service);
    }
    return result;
  }

  private List<Endpoint> endpoints() {
    List<Endpoint> result = new ArrayList<>();
    for (int w = 0; w < cluster.workloads().size(); w++) {
      dev.weir.policy.model.Workload workload = cluster.workloads().get(w);
      for (Located<Address> address : cluster.dialledAddresses(workload)) {
        result.add(new Endpoint(address.value(), workloadPlace(w), !workload.onThisNode()));
      }
    }
    result.sort(Comparator.comparing(Endpoint::address));
    return result;
  }

  private ProxyPlan proxy() {
    List<ProxyPlan.VirtualService> virtualServices = new ArrayList<>();
    for (Steering.Front front : steering.fronts()) {
      virtualServices.add(
          new ProxyPlan.VirtualService(
              servicePlace(front.service()),
              steering.services().get(front.service()).addresses().stream()
                  .map(Located::value)
                  .sorted()
                  .toList(),
              front.port(),
              front.routes(),
              front.l4Routes(),
              front.consumers()));
    }
    virtualServices.sort(
        Comparator.comparingInt(ProxyPlan.VirtualService::workload)
            .thenComparingInt(ProxyPlan.VirtualService::port));
    return new ProxyPlan(
        steering.listeners(),
        virtualServices,
        steering.clusters().stream()
            .map(
                c ->
                    new ProxyPlan.Cluster(
                        servicePlace(c.service()),
                        c.port(),
                        c.name(),
                        c.targets().stream().map(t -> t + 1).toList(),
                        c.workloads().stream().map(this::workloadPlace).toList(),
                        c.appProtocol(),
                        c.tls(),
                        c.targets().stream().filter(this::isNear).map(t -> t + 1).toList()))
            .toList(),
        access(),
        mesh.tunnels().map(this::hbone));
  }

  private Hbone hbone(Mesh.Tunnels tunnels) {
    List<Hbone.Peer> peers = new ArrayList<>();
    for (Mesh.Peer peer : tunnels.peers()) {
      peers.add(new Hbone.Peer(peer.name(), peer.address(), peer.port(), peer.account()));
    }
    List<Hbone.Through> through = new ArrayList<>();
    for (int w = 0; w < cluster.workloads().size(); w++) {
      dev.weir.policy.model.Workload workload = cluster.workloads().get(w);
      OptionalInt listed = cluster.peer(workload);
      if (listed.isPresent()) {
        through.add(new Hbone.Through(workloadPlace(w), listed.getAsInt()));
      } else if (cluster.discovered(workload)) {
        for (Located<Address> address : workload.addresses()) {
          through.add(new Hbone.Through(workloadPlace(w), peers.size()));
          peers.add(
              new Hbone.Peer(workload.meta().qualifiedName(), address.value(), Hbone.PORT, ""));
        }
      }
    }
    return new Hbone(
        tunnels.port().value(),
        tunnels.account(),
        peers,
        through,
        steering.identities(),
        steering.authorities());
  }

  /** Whether a target is a workload of this node. */
  private boolean isNear(int target) {
    int workload = steering.targets().get(target).workload();
    return workload != Steering.OUTSIDE && cluster.workloads().get(workload).onThisNode();
  }

  private AccessPlan access() {
    BitSet targets = new BitSet();
    for (Target target : steering.targets()) {
      if (target.workload() >= 0) {
        targets.set(target.workload());
      }
    }
    if (mesh.tunnels().isPresent()) {
      // Whoever lives here may be asked for by a tunnel.
      for (int w = 0; w < cluster.workloads().size(); w++) {
        if (cluster.workloads().get(w).onThisNode()) {
          targets.set(w);
        }
      }
    }
    return AccessPlanner.plan(cluster, rules, targets, this::workloadPlace);
  }
}
