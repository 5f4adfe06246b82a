// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.steer;

import dev.weir.policy.cluster.Cluster;
import dev.weir.policy.model.Gateway;
import dev.weir.policy.model.HttpRoute;
import dev.weir.policy.model.L4Route;
import dev.weir.policy.model.Located;
import dev.weir.policy.model.Reference;
import dev.weir.policy.model.Resource;
import dev.weir.policy.model.Route;
import dev.weir.policy.model.Service;
import dev.weir.policy.model.Workload;
import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.ProxyPlan;
import dev.weir.policy.plan.ProxyPlan.ConsumerRoutes;
import dev.weir.policy.plan.ProxyPlan.Match;
import dev.weir.policy.plan.ProxyPlan.PathMatch;
import dev.weir.policy.plan.ProxyPlan.WeightedBackend;
import dev.weir.policy.plan.TlsKeyPair;
import dev.weir.policy.plan.TrafficPolicy.HealthCheck;
import dev.weir.policy.plan.TrafficPolicy.ProxyUnavailable;
import dev.weir.policy.plan.TrafficPolicy.Unavailable;
import dev.weir.policy.source.Diagnostics;
import dev.weir.policy.steer.Attachment.ServiceRoutes;
import dev.weir.policy.steer.Steering.Front;
import dev.weir.policy.steer.Steering.KernelSplit;
import dev.weir.policy.steer.Steering.RouteCluster;
import dev.weir.policy.steer.Steering.Target;
import dev.weir.policy.steer.Steering.VirtualPort;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.ToIntFunction;
import java.util.stream.Stream;

/**
 * Finds out where services and routes lead, and in which tier: {@link Attachment} says which routes
 * are where, {@link Backends} who is behind a service, {@link Listeners} what Gateways listen on,
 * {@link Split} what the kernel can do by itself.
 */
public final class Steerer {

  private static final String NO_TARGET = "its share of requests is answered 500";

  private static final String NO_MIRROR = "nothing is mirrored to it";

  private static final String NO_CONNECTION = "its share of connections is refused";

  private final Cluster cluster;
  private final RuleIndex rules;
  private final Optional<Inspection> inspection;
  private final Diagnostics diagnostics;
  private final Attachment attachment;
  private final Backends backends;
  private final Listeners listeners;
  private final MeshIdentities identities;
  private final BackendTlsPolicies tls;
  private final Split split;
  private final ServiceSettings settings;

  /** Clusters in use, and the lowest rule that leads to each. */
  private final TreeMap<Backing, Integer> used = new TreeMap<>();

  /** Index of each cluster in use. */
  private final Map<Backing, Integer> clusterIndex = new HashMap<>();

  /** Rules by what they stand for. */
  public interface RuleIndex {
    /** The rule that stands for a whole object. */
    int of(Resource resource);

    /** The rule that stands for a listener. */
    int of(Gateway gateway, Gateway.Listener listener);
  }

  /** Which ports of workloads have rules about requests, so that only the proxy can judge. */
  @FunctionalInterface
  public interface Inspection {
    /**
     * The rule that looks at requests.
     *
     * @param workload index in the cluster
     * @param port of the workload
     * @return a rule of the plan, or -1 when requests make no difference there
     */
    int rule(int workload, int port);
  }

  private Steerer(
      Cluster cluster, RuleIndex rules, Optional<Inspection> inspection, Diagnostics diagnostics) {
    this.cluster = cluster;
    this.rules = rules;
    this.inspection = inspection;
    this.diagnostics = diagnostics;
    Grants grants = new Grants(cluster);
    this.attachment = new Attachment(cluster, diagnostics);
    this.backends = new Backends(cluster, grants, diagnostics);
    this.listeners = new Listeners(cluster, grants, diagnostics);
    this.identities = new MeshIdentities(cluster, diagnostics);
    this.tls = new BackendTlsPolicies(cluster, diagnostics);
    this.settings = new ServiceSettings(cluster);
    this.split = new Split(cluster, backends, diagnostics);
  }

  /** Resolves services, routes and Gateways. */
  public static Steering steer(Cluster cluster, RuleIndex rules, Diagnostics diagnostics) {
    return new Steerer(cluster, rules, Optional.empty(), diagnostics).steer();
  }

  /**
   * Resolves services, routes and Gateways.
   *
   * @param inspection a service that leads to a port it names becomes the proxy's
   */
  public static Steering steer(
      Cluster cluster, RuleIndex rules, Inspection inspection, Diagnostics diagnostics) {
    return new Steerer(cluster, rules, Optional.of(inspection), diagnostics).steer();
  }

  /** What the proxy does at a port of a service: attached routes, or the one to itself. */
  private record Work(Optional<ServiceRoutes> routes, int rule, boolean bytes) {
    Work(Optional<ServiceRoutes> routes, int rule) {
      this(routes, rule, false);
    }
  }

  private Steering steer() {
    Map<Backing, Work> work = work();
    collectClusters(work);
    List<Backing> clusterOrder = new ArrayList<>(used.keySet());
    clusterOrder.sort(Comparator.comparing(backends::name));
    for (int i = 0; i < clusterOrder.size(); i++) {
      clusterIndex.put(clusterOrder.get(i), i);
    }

    // Every address a target may be needed at, before any gets its number.
    TreeSet<Target> all = new TreeSet<>();
    List<List<Target>> slots = new ArrayList<>();
    List<Service> services = backends.services();
    for (int s = 0; s < services.size(); s++) {
      Service service = services.get(s);
      for (Located<Address> address : service.addresses()) {
        for (int p = 0; p < service.ports().size(); p++) {
          Backing backing = new Backing(s, p);
          List<Target> here =
              work.containsKey(backing)
                  ? bypassing(backing, address.value().isV4())
                  : split.slots(backing, routes(backing), address.value().isV4());
          slots.add(here);
          all.addAll(here);
        }
      }
    }
    all.remove(Split.NOWHERE);
    for (Backing backing : clusterOrder) {
      all.addAll(backends.targets(backing));
      all.addAll(checked(backing));
    }
    all.addAll(reachedByTunnel());
    List<Target> targets = List.copyOf(all);
    Map<Target, Integer> numbers = new HashMap<>();
    for (int i = 0; i < targets.size(); i++) {
      numbers.put(targets.get(i), i);
    }
    Map<Backing, Front> fronts = new TreeMap<>();
    work.forEach((backing, what) -> fronts.put(backing, front(backing, what)));
    List<RouteCluster> clusters =
        clusterOrder.stream().map(backing -> cluster(backing, numbers)).toList();
    List<VirtualPort> virtualPorts = virtualPorts(fronts, slots, numbers);
    backends.check();
    List<ProxyPlan.Listener> planned = new ArrayList<>();
    List<Integer> listenerRules = new ArrayList<>();
    for (Listeners.Placed placed : listeners.placed()) {
      for (ProxyPlan.Listener listener : listener(placed)) {
        planned.add(listener);
        listenerRules.add(rules.of(placed.gateway(), placed.listener()));
      }
    }
    return new Steering(
        services,
        targets,
        virtualPorts,
        List.copyOf(fronts.values()),
        kernelSplits(work),
        clusters,
        planned,
        listenerRules,
        Stream.concat(listeners.keyPairs().stream(), identities.keyPairs().stream())
            .distinct()
            .toList(),
        identities.keyPairs().stream().map(TlsKeyPair::name).toList(),
        identities.authorities());
  }

  /** Where connections for the proxy are led while it is gone: as without routes, if it is said. */
  private List<Target> bypassing(Backing backing, boolean v4) {
    return settings
            .of(backends.service(backing), backends.port(backing), ProxyUnavailable.class)
            .filter(unavailable -> unavailable.action() == Unavailable.BYPASS)
            .isPresent()
        ? split.slots(backing, Optional.empty(), v4)
        : List.of();
  }

  private List<KernelSplit> kernelSplits(Map<Backing, Work> work) {
    List<KernelSplit> splits = new ArrayList<>();
    new TreeMap<>(attachment.atServices())
        .forEach(
            (backing, routes) -> {
              if (!work.containsKey(backing)) {
                splits.add(split.describe(backing, routes, firstRule(routes)));
              }
            });
    return splits;
  }

  /** Who is behind each port of each address of a service that no route is attached to. */
  static List<VirtualPort> plain(Backends backends, int service, ToIntFunction<Target> number) {
    List<VirtualPort> ports = new ArrayList<>();
    Service of = backends.services().get(service);
    for (Located<Address> address : of.addresses()) {
      for (Service.Port port : of.ports()) {
        List<Integer> targets =
            backends.targets(of, port, address.value().isV4()).stream()
                .map(number::applyAsInt)
                .toList();
        ports.add(
            new VirtualPort(
                service,
                address.value(),
                port.port(),
                port.protocol(),
                of.affinitySeconds(),
                targets,
                targets,
                Optional.empty(),
                Split.whyPlain(targets.isEmpty())));
      }
    }
    return ports;
  }

  private Optional<ServiceRoutes> routes(Backing backing) {
    return Optional.ofNullable(attachment.atServices().get(backing));
  }

  /** Ports of services that only the proxy can serve. */
  private Map<Backing, Work> work() {
    Map<Backing, Work> work = new TreeMap<>();
    attachment
        .atServices()
        .forEach(
            (backing, routes) -> {
              if (!split.inKernel(backing, routes)
                  || inspectedHttp(backing, routes)
                  || tunnelled(backing, routes)) {
                work.put(backing, new Work(Optional.of(routes), firstRule(routes)));
                affinity(backing, routes);
              }
            });
    for (int s = 0; s < backends.services().size(); s++) {
      Service service = backends.services().get(s);
      for (int p = 0; p < service.ports().size(); p++) {
        Backing backing = new Backing(s, p);
        if (service.ports().get(p).protocol() == Protocol.TCP && routes(backing).isEmpty()) {
          int rule = inspected(backing);
          if (rule >= 0) {
            work.put(backing, new Work(Optional.empty(), rule));
          } else if (tunnelled(backing)) {
            work.put(backing, new Work(Optional.empty(), 0, true));
          }
        }
      }
    }
    return work;
  }

  private boolean inspectedHttp(Backing backing, ServiceRoutes routes) {
    return routes.producers().stream().allMatch(a -> a.route() instanceof HttpRoute)
        && inspected(backing) >= 0;
  }

  /**
   * What workloads that are reached by tunnel listen on: whoever dials them is led to the proxy.
   */
  private List<Target> reachedByTunnel() {
    List<Target> reached = new ArrayList<>();
    for (int w = 0; w < cluster.workloads().size(); w++) {
      Workload workload = cluster.workloads().get(w);
      if (cluster.reachedByTunnel(workload)) {
        for (Located<Address> address : workload.addresses()) {
          for (Workload.Port port : workload.ports()) {
            if (port.protocol() == Protocol.TCP) {
              reached.add(new Target(address.value(), port.port(), w));
            }
          }
        }
      }
    }
    return reached;
  }

  /** Whether any of its connections may have to go by a tunnel. */
  private boolean tunnelled(Backing backing, ServiceRoutes routes) {
    return tunnelled(backing)
        || Stream.concat(
                routes.producers().stream(),
                routes.consumers().values().stream().flatMap(List::stream))
            .flatMap(
                attached ->
                    references(attached.route()).entrySet().stream()
                        .map(e -> backends.resolve(attached.route(), e.getKey(), e.getValue())))
            .flatMap(Optional::stream)
            .anyMatch(this::tunnelled);
  }

  private boolean tunnelled(Backing backing) {
    return backends.targets(backing).stream()
        .anyMatch(
            target ->
                target.workload() != Steering.OUTSIDE
                    && cluster.reachedByTunnel(cluster.workloads().get(target.workload())));
  }

  private int inspected(Backing backing) {
    if (inspection.isEmpty() || backends.port(backing).protocol() != Protocol.TCP) {
      return -1;
    }
    for (Target target : backends.targets(backing)) {
      if (target.workload() != Steering.OUTSIDE) {
        int rule = inspection.get().rule(target.workload(), target.port());
        if (rule >= 0) {
          return rule;
        }
      }
    }
    return -1;
  }

  private int firstRule(ServiceRoutes routes) {
    Stream<Attached> all =
        Stream.concat(
            routes.producers().stream(),
            routes.consumers().values().stream().flatMap(List::stream));
    return rules.of(all.findFirst().orElseThrow().route());
  }

  private void affinity(Backing backing, ServiceRoutes routes) {
    Optional<Located<String>> affinity = backends.service(backing).clientIpAffinity();
    if (affinity.isPresent()) {
      String route =
          routes.producers().isEmpty()
              ? "a route of a consumer"
              : routes.producers().getFirst().route().id();
      diagnostics.unserved(
          affinity.get().at(),
          affinity.get().field(),
          "is not honoured for a service with routes, as " + route + " makes it one");
    }
  }

  private void collectClusters(Map<Backing, Work> work) {
    for (Listeners.Placed placed : listeners.placed()) {
      attachment.at(placed.gateway(), placed.listener()).forEach(this::collect);
    }
    work.forEach(
        (backing, what) -> {
          what.routes().ifPresent(routes -> routes.producers().forEach(this::collect));
          what.routes()
              .ifPresent(
                  routes -> routes.consumers().values().forEach(l -> l.forEach(this::collect)));
          if (leadsToItself(what)) {
            used.merge(backing, what.rule(), Math::min);
          }
        });
  }

  /** Without a route for everybody, the service is what it would be without any. */
  private static boolean leadsToItself(Work work) {
    return work.routes().map(routes -> routes.producers().isEmpty()).orElse(true);
  }

  private void collect(Attached attached) {
    int rule = rules.of(attached.route());
    for (Map.Entry<Reference, String> reference : references(attached.route()).entrySet()) {
      backends
          .resolve(attached.route(), reference.getKey(), reference.getValue())
          .ifPresent(backing -> used.merge(backing, rule, Math::min));
    }
  }

  /** What a route refers to, and what becomes of it when the reference is invalid. */
  private static Map<Reference, String> references(Route route) {
    Map<Reference, String> references = new HashMap<>();
    switch (route) {
      case HttpRoute http -> {
        for (HttpRoute.Rule rule : http.rules()) {
          rule.backends().forEach(b -> references.put(b.reference(), NO_TARGET));
          for (HttpRoute.Filter filter : rule.filters()) {
            if (filter instanceof HttpRoute.Filter.Mirror mirror) {
              references.put(mirror.reference(), NO_MIRROR);
            }
          }
        }
      }
      case L4Route l4 -> l4.backends().forEach(b -> references.put(b.reference(), NO_CONNECTION));
    }
    return references;
  }

  private int clusterOf(Route route, Reference reference, String consequence) {
    return backends
        .resolve(route, reference, consequence)
        .map(backing -> clusterIndex.getOrDefault(backing, -1))
        .orElse(-1);
  }

  private RouteCluster cluster(Backing backing, Map<Target, Integer> numbers) {
    Service.Port port = backends.port(backing);
    return new RouteCluster(
        backing.service(),
        port.port(),
        backends.name(backing),
        backends.targets(backing).stream().map(numbers::get).sorted().toList(),
        backends.behind(backing),
        port.appProtocol(),
        tls.of(backends.service(backing), port),
        used.getOrDefault(backing, 0),
        checked(backing).stream().map(numbers::get).sorted().toList());
  }

  /**
   * Another port of the backends, at which a TrafficPolicy has them asked whether they are well.
   */
  private List<Target> checked(Backing backing) {
    return settings
        .of(backends.service(backing), backends.port(backing), HealthCheck.class)
        .filter(check -> check.port() != 0)
        .map(
            check ->
                backends.targets(backing).stream()
                    .map(t -> new Target(t.address(), check.port(), t.workload()))
                    .distinct()
                    .toList())
        .orElse(List.of());
  }

  private List<VirtualPort> virtualPorts(
      Map<Backing, Front> fronts, List<List<Target>> slots, Map<Target, Integer> numbers) {
    List<VirtualPort> result = new ArrayList<>();
    int at = 0;
    List<Service> services = backends.services();
    for (int s = 0; s < services.size(); s++) {
      Service service = services.get(s);
      for (Located<Address> address : service.addresses()) {
        for (int p = 0; p < service.ports().size(); p++) {
          Backing backing = new Backing(s, p);
          Service.Port port = service.ports().get(p);
          List<Integer> here =
              slots.get(at++).stream().map(t -> numbers.getOrDefault(t, Steering.NOWHERE)).toList();
          Optional<Front> front = Optional.ofNullable(fronts.get(backing));
          result.add(
              new VirtualPort(
                  s,
                  address.value(),
                  port.port(),
                  port.protocol(),
                  front.isEmpty() ? service.affinitySeconds() : 0,
                  front.isPresent()
                      ? List.of()
                      : here.stream()
                          .filter(t -> t != Steering.NOWHERE)
                          .sorted()
                          .distinct()
                          .toList(),
                  here,
                  front,
                  front.isPresent()
                      ? whyProxy(backing, routes(backing))
                      : split.why(routes(backing), here.isEmpty())));
        }
      }
    }
    return result;
  }

  private String whyProxy(Backing backing, Optional<ServiceRoutes> routes) {
    if (inspected(backing) < 0 && tunnelled(backing)) {
      return "a workload of it is reached by a tunnel, which only the proxy makes";
    }
    if (routes.isEmpty()) {
      return "an AuthorizationPolicy looks at requests, which only the proxy can";
    }
    if (routes.get().producers().isEmpty()) {
      return "routes of "
          + String.join(", ", routes.get().consumers().keySet())
          + " differ by client, which only the proxy can";
    }
    Route first = routes.get().producers().getFirst().route();
    return first.id()
        + (first instanceof HttpRoute
            ? " chooses by request, which only the proxy can"
            : " chooses by server name, which only the proxy can");
  }

  private Front front(Backing backing, Work work) {
    List<ProxyPlan.Route> routes = new ArrayList<>();
    List<ProxyPlan.L4Route> l4Routes = new ArrayList<>();
    List<ConsumerRoutes> consumers = new ArrayList<>();
    if (leadsToItself(work) && work.bytes()) {
      l4Routes.add(
          new ProxyPlan.L4Route(
              backends.service(backing).meta().qualifiedName(),
              work.rule(),
              List.of(),
              List.of(new WeightedBackend(clusterIndex.getOrDefault(backing, -1), 1, List.of()))));
    } else if (leadsToItself(work)) {
      routes.add(toItself(backing, work.rule()));
    }
    if (work.routes().isPresent()) {
      routes.addAll(requestRoutes(work.routes().get().producers()));
      l4Routes.addAll(connectionRoutes(work.routes().get().producers()));
      work.routes()
          .get()
          .consumers()
          .forEach(
              (namespace, attached) ->
                  consumers.add(
                      new ConsumerRoutes(
                          namespace, requestRoutes(attached), connectionRoutes(attached))));
    }
    TreeSet<Integer> clusters = new TreeSet<>();
    Stream.concat(routes.stream(), consumers.stream().flatMap(c -> c.routes().stream()))
        .flatMap(route -> route.rules().stream())
        .flatMap(rule -> rule.backends().stream())
        .forEach(backend -> clusters.add(backend.cluster()));
    Stream.concat(l4Routes.stream(), consumers.stream().flatMap(c -> c.l4Routes().stream()))
        .flatMap(route -> route.backends().stream())
        .forEach(backend -> clusters.add(backend.cluster()));
    clusters.remove(-1);
    return new Front(
        backing.service(),
        backends.port(backing).port(),
        routes,
        l4Routes,
        consumers,
        List.copyOf(clusters),
        work.rule());
  }

  /** What a service without routes does, said as a route. */
  private ProxyPlan.Route toItself(Backing backing, int rule) {
    Match any = new Match(new PathMatch.Prefix("/"), List.of(), List.of(), Optional.empty());
    return new ProxyPlan.Route(
        backends.service(backing).meta().qualifiedName(),
        rule,
        List.of(),
        List.of(
            new ProxyPlan.RouteRule(
                List.of(any),
                List.of(),
                List.of(new WeightedBackend(clusterIndex.getOrDefault(backing, -1), 1, List.of())),
                0,
                0)));
  }

  private List<ProxyPlan.Route> requestRoutes(List<Attached> attached) {
    List<ProxyPlan.Route> routes = new ArrayList<>();
    for (Attached one : attached) {
      if (one.route() instanceof HttpRoute route) {
        routes.add(
            new ProxyPlan.Route(
                route.type(),
                route.meta().qualifiedName(),
                rules.of(route),
                one.hostnames(),
                route.rules().stream().map(rule -> rule(route, rule)).toList()));
      }
    }
    return routes;
  }

  private ProxyPlan.RouteRule rule(HttpRoute route, HttpRoute.Rule rule) {
    return new ProxyPlan.RouteRule(
        rule.name(),
        rule.matches(),
        filters(route, rule.filters()),
        rule.backends().stream()
            .map(
                b ->
                    new WeightedBackend(
                        clusterOf(route, b.reference(), NO_TARGET),
                        b.weight(),
                        filters(route, b.filters())))
            .toList(),
        rule.requestTimeoutMillis(),
        rule.backendTimeoutMillis(),
        rule.retry(),
        rule.session());
  }

  private List<ProxyPlan.Filter> filters(HttpRoute route, List<HttpRoute.Filter> filters) {
    List<ProxyPlan.Filter> result = new ArrayList<>();
    for (HttpRoute.Filter filter : filters) {
      switch (filter) {
        case HttpRoute.Filter.Plain plain -> result.add(plain.filter());
        case HttpRoute.Filter.Mirror mirror ->
            result.add(
                new ProxyPlan.Filter.Mirror(
                    clusterOf(route, mirror.reference(), NO_MIRROR),
                    mirror.numerator(),
                    mirror.denominator()));
      }
    }
    return result;
  }

  private List<ProxyPlan.L4Route> connectionRoutes(List<Attached> attached) {
    List<ProxyPlan.L4Route> routes = new ArrayList<>();
    for (Attached one : attached) {
      if (one.route() instanceof L4Route route) {
        routes.add(
            new ProxyPlan.L4Route(
                route.meta().qualifiedName(),
                rules.of(route),
                one.hostnames(),
                route.backends().stream()
                    .map(
                        b ->
                            new WeightedBackend(
                                clusterOf(route, b.reference(), NO_CONNECTION),
                                b.weight(),
                                List.of()))
                    .toList()));
      }
    }
    return routes;
  }

  /** A listener once for each address it is bound to. */
  private List<ProxyPlan.Listener> listener(Listeners.Placed placed) {
    Gateway gateway = placed.gateway();
    Gateway.Listener listener = placed.listener();
    List<Attached> attached = attachment.at(gateway, listener);
    Optional<ProxyPlan.Tls> certificates =
        switch (listener.protocol()) {
          case HTTPS, TLS_TERMINATE ->
              Optional.of(
                  new ProxyPlan.Tls(listeners.certificates(placed), listeners.clients(placed)));
          case HTTP, TLS_PASSTHROUGH, TCP -> Optional.empty();
        };
    List<ProxyPlan.Route> routes = requestRoutes(attached);
    List<ProxyPlan.L4Route> l4Routes = connectionRoutes(attached);
    List<Optional<Address>> addresses =
        gateway.addresses().isEmpty()
            ? List.of(Optional.empty())
            : gateway.addresses().stream().map(a -> Optional.of(a.value())).toList();
    return addresses.stream()
        .map(
            address ->
                new ProxyPlan.Listener(
                    gateway.meta().qualifiedName(),
                    listener.name().value(),
                    address,
                    listener.port(),
                    listener.hostname(),
                    listener.protocol(),
                    certificates,
                    routes,
                    l4Routes))
        .toList();
  }
}
