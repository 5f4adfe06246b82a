// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.steer;

import dev.weir.policy.cluster.Cluster;
import dev.weir.policy.cluster.Selectors;
import dev.weir.policy.model.EndpointSlice;
import dev.weir.policy.model.Gateway;
import dev.weir.policy.model.Gateway.AllowedRoutes;
import dev.weir.policy.model.HttpRoute;
import dev.weir.policy.model.Located;
import dev.weir.policy.model.PortReference;
import dev.weir.policy.model.Reference;
import dev.weir.policy.model.ReferenceGrant;
import dev.weir.policy.model.Resource;
import dev.weir.policy.model.Secret;
import dev.weir.policy.model.Service;
import dev.weir.policy.model.Workload;
import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.ProxyPlan;
import dev.weir.policy.plan.ProxyPlan.WeightedBackend;
import dev.weir.policy.plan.TlsKeyPair;
import dev.weir.policy.source.Diagnostics;
import dev.weir.policy.source.Purpose;
import dev.weir.policy.steer.Steering.RouteCluster;
import dev.weir.policy.steer.Steering.Target;
import dev.weir.policy.steer.Steering.VirtualPort;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;

/** Finds out where services and routes lead. */
public final class Steerer {

  /** The class of Gateways that are ours. */
  public static final String GATEWAY_CLASS = "weir";

  private static final String GATEWAY_GROUP = "gateway.networking.k8s.io";

  private final Cluster cluster;
  private final Diagnostics diagnostics;
  private final RuleIndex rules;
  private final List<Service> services;
  private final Map<String, Integer> serviceIndex = new HashMap<>();
  private final List<HttpRoute> routes;
  private final List<ReferenceGrant> grants;

  /** Targets by service index and port index, for the family of the service's first address. */
  private final Map<Backing, List<Target>> backings = new TreeMap<>();

  /** Clusters in use, and the lowest rule that leads to each. */
  private final TreeMap<Backing, Integer> used = new TreeMap<>();

  /** Rules by what they stand for. */
  public interface RuleIndex {
    /** The rule that stands for a whole object. */
    int of(Resource resource);

    /** The rule that stands for a listener. */
    int of(Gateway gateway, Gateway.Listener listener);
  }

  /** A port of a service. */
  private record Backing(int service, int port) implements Comparable<Backing> {
    @Override
    public int compareTo(Backing other) {
      int byService = Integer.compare(service, other.service);
      return byService != 0 ? byService : Integer.compare(port, other.port);
    }
  }

  /** A route on its way to a parent, with backends by name until clusters have numbers. */
  private record Attached(HttpRoute route, List<String> hostnames) {}

  private Steerer(Cluster cluster, RuleIndex rules, Diagnostics diagnostics) {
    this.cluster = cluster;
    this.rules = rules;
    this.diagnostics = diagnostics;
    this.services = cluster.all(Service.class);
    for (int i = 0; i < services.size(); i++) {
      serviceIndex.put(services.get(i).meta().qualifiedName(), i);
    }
    // Gateway API: the oldest route goes first, then by name.
    this.routes =
        cluster.all(HttpRoute.class).stream()
            .sorted(
                Comparator.comparing(
                        (HttpRoute r) -> r.meta().created().isEmpty() ? "~" : r.meta().created())
                    .thenComparing(r -> r.meta().namespace())
                    .thenComparing(r -> r.meta().name()))
            .toList();
    this.grants = cluster.all(ReferenceGrant.class);
  }

  /** Resolves services, routes and Gateways. */
  public static Steering steer(Cluster cluster, RuleIndex rules, Diagnostics diagnostics) {
    return new Steerer(cluster, rules, diagnostics).steer();
  }

  private Steering steer() {
    Map<Backing, List<Attached>> attached = new TreeMap<>();
    List<Gateway> gateways = gateways();
    Map<String, List<Attached>> byListener = new HashMap<>();
    for (HttpRoute route : routes) {
      for (Reference parent : route.parents()) {
        attach(route, parent, gateways, attached, byListener);
      }
    }
    collectClusters(attached.values());
    collectClusters(byListener.values());
    List<Backing> clusterOrder = new ArrayList<>(used.keySet());
    clusterOrder.sort(Comparator.comparing(this::name));

    // Every address a target may be needed at, before any gets its number.
    TreeSet<Target> all = new TreeSet<>();
    List<Target[]> perVirtualPort = new ArrayList<>();
    for (int s = 0; s < services.size(); s++) {
      Service service = services.get(s);
      for (Located<Address> address : service.addresses()) {
        for (Service.Port port : service.ports()) {
          List<Target> targets =
              attached.containsKey(new Backing(s, service.ports().indexOf(port)))
                  ? List.of()
                  : targets(service, port, Optional.of(address.value().isV4()), true);
          perVirtualPort.add(targets.toArray(Target[]::new));
          all.addAll(targets);
        }
      }
    }
    for (Backing backing : clusterOrder) {
      all.addAll(backing(backing));
    }
    List<Target> targets = List.copyOf(all);
    Map<Target, Integer> numbers = new HashMap<>();
    for (int i = 0; i < targets.size(); i++) {
      numbers.put(targets.get(i), i);
    }
    List<RouteCluster> clusters = new ArrayList<>();
    for (Backing backing : clusterOrder) {
      clusters.add(
          new RouteCluster(
              backing.service(),
              services.get(backing.service()).ports().get(backing.port()).port(),
              name(backing),
              backing(backing).stream().map(numbers::get).sorted().toList(),
              behind(backing),
              used.getOrDefault(backing, 0)));
    }
    List<VirtualPort> virtualPorts = new ArrayList<>();
    int at = 0;
    for (int s = 0; s < services.size(); s++) {
      Service service = services.get(s);
      for (Located<Address> address : service.addresses()) {
        for (int p = 0; p < service.ports().size(); p++) {
          Service.Port port = service.ports().get(p);
          List<Attached> mine = attached.getOrDefault(new Backing(s, p), List.of());
          List<Integer> slots = new ArrayList<>();
          for (Target target : perVirtualPort.get(at++)) {
            slots.add(numbers.getOrDefault(target, 0));
          }
          virtualPorts.add(
              new VirtualPort(
                  s,
                  address.value(),
                  port.port(),
                  port.protocol(),
                  service.clientIpAffinity().isPresent(),
                  slots.stream().sorted().toList(),
                  mine.stream().map(a -> route(a, clusterOrder)).toList()));
        }
      }
    }
    checkVirtualPorts();
    return listeners(gateways, byListener, clusterOrder, targets, virtualPorts, clusters);
  }

  private Steering listeners(
      List<Gateway> gateways,
      Map<String, List<Attached>> byListener,
      List<Backing> clusterOrder,
      List<Target> targets,
      List<VirtualPort> virtualPorts,
      List<RouteCluster> clusters) {
    List<ProxyPlan.Listener> listeners = new ArrayList<>();
    List<Integer> listenerRules = new ArrayList<>();
    Map<String, TlsKeyPair> keyPairs = new TreeMap<>();
    Map<String, String> taken = new HashMap<>();
    Map<Integer, Boolean> tlsByPort = new HashMap<>();
    for (Gateway gateway : gateways) {
      for (Gateway.Listener listener : gateway.listeners()) {
        String id = gateway.meta().qualifiedName() + "/" + listener.name().value();
        String place = listener.port() + " " + listener.hostname();
        String other = taken.putIfAbsent(place, id);
        if (other != null) {
          diagnostics.error(
              listener.name().at(),
              listener.name().field(),
              "port and hostname are also those of listener " + other,
              "change one of them");
        }
        boolean tls = listener.tls().isPresent();
        Boolean others = tlsByPort.putIfAbsent(listener.port(), tls);
        if (others != null && others != tls) {
          diagnostics.error(
              listener.name().at(),
              listener.name().field(),
              "port " + listener.port() + " has both HTTP and HTTPS listeners",
              "use two ports");
        }
        Optional<ProxyPlan.Tls> certificates =
            listener.tls().map(refs -> certificates(gateway, listener, refs, keyPairs));
        List<Optional<Address>> addresses =
            gateway.addresses().isEmpty()
                ? List.of(Optional.empty())
                : gateway.addresses().stream().map(a -> Optional.of(a.value())).toList();
        for (Optional<Address> address : addresses) {
          listeners.add(
              new ProxyPlan.Listener(
                  gateway.meta().qualifiedName(),
                  listener.name().value(),
                  address,
                  listener.port(),
                  listener.hostname(),
                  certificates,
                  byListener.getOrDefault(id, List.of()).stream()
                      .map(a -> route(a, clusterOrder))
                      .toList()));
          listenerRules.add(rules.of(gateway, listener));
        }
      }
    }
    return new Steering(
        services,
        targets,
        virtualPorts,
        clusters,
        listeners,
        listenerRules,
        List.copyOf(keyPairs.values()));
  }

  private List<Gateway> gateways() {
    List<Gateway> ours = new ArrayList<>();
    for (Gateway gateway : cluster.all(Gateway.class)) {
      if (gateway.className().equals(GATEWAY_CLASS)) {
        ours.add(gateway);
      } else {
        diagnostics.warning(
            gateway.meta().at(),
            "spec.gatewayClassName",
            "is \"" + gateway.className() + "\": the Gateway is somebody else's and passed over",
            "\"" + GATEWAY_CLASS + "\" for a Gateway of Weir");
      }
    }
    return ours;
  }

  private ProxyPlan.Tls certificates(
      Gateway gateway,
      Gateway.Listener listener,
      List<Reference> references,
      Map<String, TlsKeyPair> keyPairs) {
    List<String> names = new ArrayList<>();
    for (Reference reference : references) {
      String namespace = reference.namespace().orElse(gateway.meta().namespace());
      String name = namespace + "/" + reference.name();
      if (!granted(
          "Gateway", gateway.meta().namespace(), "", "Secret", namespace, reference.name())) {
        diagnostics.error(
            reference.at(),
            reference.field(),
            "no ReferenceGrant of namespace " + namespace + " allows Secret " + name,
            "add one, or move the Secret");
        continue;
      }
      Optional<Secret> secret =
          cluster.all(Secret.class).stream()
              .filter(s -> s.meta().qualifiedName().equals(name))
              .findFirst();
      if (secret.isPresent()) {
        keyPairs.put(
            name, new TlsKeyPair(name, secret.get().certificatePem(), secret.get().keyPem()));
      } else {
        String message =
            "Secret "
                + name
                + " of type kubernetes.io/tls is not among the files: listener "
                + listener.name().value()
                + " has no certificate";
        String remedy =
            "add it: kubectl create secret tls "
                + reference.name()
                + " -n "
                + namespace
                + " --cert=CHAIN --key=KEY --dry-run=client -o yaml";
        if (diagnostics.purpose() == Purpose.ASK) {
          diagnostics.warning(reference.at(), reference.field(), message, remedy);
        } else {
          diagnostics.error(reference.at(), reference.field(), message, remedy);
        }
      }
      names.add(name);
    }
    return new ProxyPlan.Tls(names);
  }

  private boolean granted(
      String fromKind,
      String fromNamespace,
      String toGroup,
      String toKind,
      String toNamespace,
      String toName) {
    if (fromNamespace.equals(toNamespace)) {
      return true;
    }
    for (ReferenceGrant grant : grants) {
      if (grant.meta().namespace().equals(toNamespace)
          && grant.from().contains(new ReferenceGrant.From(GATEWAY_GROUP, fromKind, fromNamespace))
          && grant.to().stream()
              .anyMatch(
                  t ->
                      t.group().equals(toGroup)
                          && t.kind().equals(toKind)
                          && t.name().map(toName::equals).orElse(true))) {
        return true;
      }
    }
    return false;
  }

  private void attach(
      HttpRoute route,
      Reference parent,
      List<Gateway> gateways,
      Map<Backing, List<Attached>> byService,
      Map<String, List<Attached>> byListener) {
    String namespace = parent.namespace().orElse(route.meta().namespace());
    if (parent.kind().equals("Service")) {
      if (!parent.group().isEmpty()) {
        diagnostics.error(
            parent.at(),
            parent.field(),
            "Service is not a kind of " + parent.group(),
            "write group: \"\" beside kind: Service");
        return;
      }
      attachToService(route, parent, namespace, byService);
    } else if (parent.kind().equals("Gateway") && parent.group().equals(GATEWAY_GROUP)) {
      attachToGateway(route, parent, namespace, gateways, byListener);
    } else {
      diagnostics.error(
          parent.at(),
          parent.field(),
          "parents of kind " + parent.kind() + " are not honoured yet",
          "Gateway, or Service with group \"\"");
    }
  }

  private void attachToService(
      HttpRoute route, Reference parent, String namespace, Map<Backing, List<Attached>> byService) {
    Integer index = serviceIndex.get(namespace + "/" + parent.name());
    if (index == null) {
      diagnostics.warning(
          parent.at(),
          parent.field(),
          "there is no Service " + namespace + "/" + parent.name() + ": the route does not attach",
          "add the Service");
      return;
    }
    if (!namespace.equals(route.meta().namespace())) {
      diagnostics.error(
          parent.at(),
          parent.field(),
          "routes for Services of another namespace (consumer routes) are not honoured yet",
          "put the route into namespace " + namespace);
      return;
    }
    Service service = services.get(index);
    if (service.clientIpAffinity().isPresent()) {
      diagnostics.error(
          service.clientIpAffinity().get().at(),
          service.clientIpAffinity().get().field(),
          "is not honoured for a service with routes, as " + route.id() + " makes it one",
          "remove it, or the route");
    }
    if (service.addresses().isEmpty()) {
      diagnostics.warning(
          parent.at(),
          parent.field(),
          service.id() + " has no virtual address: the route attaches to nothing",
          "give it spec.clusterIP");
    }
    boolean any = false;
    for (int p = 0; p < service.ports().size(); p++) {
      Service.Port port = service.ports().get(p);
      if (port.protocol() == Protocol.TCP
          && (parent.port().isEmpty() || parent.port().getAsInt() == port.port())
          && (parent.sectionName().isEmpty() || parent.sectionName().get().equals(port.name()))) {
        any = true;
        // Host names select among listeners of a Gateway; a Service is found by its address.
        add(
            byService.computeIfAbsent(new Backing(index, p), k -> new ArrayList<>()),
            new Attached(route, List.of()));
      }
    }
    if (!any) {
      diagnostics.warning(
          parent.at(),
          parent.field(),
          service.id() + " has no such TCP port: the route does not attach",
          "name one of its ports");
    }
  }

  private void attachToGateway(
      HttpRoute route,
      Reference parent,
      String namespace,
      List<Gateway> gateways,
      Map<String, List<Attached>> byListener) {
    String name = namespace + "/" + parent.name();
    Optional<Gateway> gateway =
        gateways.stream().filter(g -> g.meta().qualifiedName().equals(name)).findFirst();
    if (gateway.isEmpty()) {
      boolean known =
          cluster.all(Gateway.class).stream().anyMatch(g -> g.meta().qualifiedName().equals(name));
      if (!known) {
        diagnostics.warning(
            parent.at(),
            parent.field(),
            "there is no Gateway " + name + ": the route does not attach",
            "add the Gateway");
      }
      return;
    }
    boolean found = false;
    boolean attached = false;
    for (Gateway.Listener listener : gateway.get().listeners()) {
      if (parent.sectionName().isPresent()
              && !parent.sectionName().get().equals(listener.name().value())
          || parent.port().isPresent() && parent.port().getAsInt() != listener.port()) {
        continue;
      }
      found = true;
      if (!admitted(gateway.get(), listener, route.meta().namespace())) {
        continue;
      }
      Optional<List<String>> hostnames = Hostnames.cut(listener.hostname(), route.hostnames());
      if (hostnames.isPresent()) {
        attached = true;
        add(
            byListener.computeIfAbsent(
                name + "/" + listener.name().value(), k -> new ArrayList<>()),
            new Attached(route, hostnames.get()));
      }
    }
    if (!attached) {
      diagnostics.warning(
          parent.at(),
          parent.field(),
          found
              ? "no listener of Gateway " + name + " admits the route's namespace and host names"
              : "Gateway " + name + " has no such listener",
          found ? "check allowedRoutes and hostnames" : "check sectionName and port");
    }
  }

  /** Two references of a route may lead to the same place. */
  private static void add(List<Attached> list, Attached attached) {
    if (list.stream().noneMatch(a -> a.route().id().equals(attached.route().id()))) {
      list.add(attached);
    }
  }

  private boolean admitted(Gateway gateway, Gateway.Listener listener, String namespace) {
    return switch (listener.allowed()) {
      case AllowedRoutes.Same same -> gateway.meta().namespace().equals(namespace);
      case AllowedRoutes.All all -> true;
      case AllowedRoutes.Selected selected ->
          Selectors.matches(selected.selector(), cluster.namespaceLabels(namespace));
    };
  }

  private void collectClusters(Iterable<List<Attached>> lists) {
    for (List<Attached> list : lists) {
      for (Attached attached : list) {
        for (HttpRoute.Rule rule : attached.route().rules()) {
          for (HttpRoute.Backend backend : rule.backends()) {
            resolve(attached.route(), backend.reference(), true)
                .ifPresent(b -> used.merge(b, rules.of(attached.route()), Math::min));
          }
        }
      }
    }
  }

  /** The service port that a backend means; empty when the reference is invalid. */
  private Optional<Backing> resolve(HttpRoute route, Reference reference, boolean report) {
    String namespace = reference.namespace().orElse(route.meta().namespace());
    String name = namespace + "/" + reference.name();
    String problem = "";
    String remedy = "";
    if (!reference.group().isEmpty() || !reference.kind().equals("Service")) {
      problem = "backends of kind " + reference.kind() + " are not known";
      remedy = "a Service";
    } else if (!granted(
        "HTTPRoute", route.meta().namespace(), "", "Service", namespace, reference.name())) {
      problem = "no ReferenceGrant of namespace " + namespace + " allows Service " + name;
      remedy = "add one";
    } else if (!serviceIndex.containsKey(name)) {
      problem = "there is no Service " + name;
      remedy = "add it";
    } else if (reference.port().isEmpty()) {
      problem = "names no port";
      remedy = "a backend that is a Service needs a port";
    } else {
      int index = serviceIndex.getOrDefault(name, 0);
      Service service = services.get(index);
      for (int p = 0; p < service.ports().size(); p++) {
        if (service.ports().get(p).port() == reference.port().getAsInt()
            && service.ports().get(p).protocol() == Protocol.TCP
            && !service.externalName()) {
          return Optional.of(new Backing(index, p));
        }
      }
      problem = "Service " + name + " has no TCP port " + reference.port().getAsInt();
      remedy = "name one of its ports";
    }
    if (report) {
      diagnostics.warning(
          reference.at(),
          reference.field(),
          problem + ": its share of requests is answered 500",
          remedy);
    }
    return Optional.empty();
  }

  private ProxyPlan.Route route(Attached attached, List<Backing> clusterOrder) {
    HttpRoute route = attached.route();
    List<ProxyPlan.RouteRule> routeRules = new ArrayList<>();
    for (HttpRoute.Rule rule : route.rules()) {
      List<WeightedBackend> backends = new ArrayList<>();
      for (HttpRoute.Backend backend : rule.backends()) {
        int index =
            resolve(route, backend.reference(), false).map(clusterOrder::indexOf).orElse(-1);
        backends.add(new WeightedBackend(index, backend.weight(), backend.filters()));
      }
      routeRules.add(
          new ProxyPlan.RouteRule(
              rule.matches(),
              rule.filters(),
              backends,
              rule.requestTimeoutMillis(),
              rule.backendTimeoutMillis()));
    }
    return new ProxyPlan.Route(
        route.meta().qualifiedName(), rules.of(route), attached.hostnames(), routeRules);
  }

  private String name(Backing backing) {
    Service service = services.get(backing.service());
    return service.meta().qualifiedName() + ":" + service.ports().get(backing.port()).port();
  }

  /** The workloads behind a port of a service, wherever they are. */
  private List<Integer> behind(Backing backing) {
    Service service = services.get(backing.service());
    if (service.selector().isEmpty() || service.externalName()) {
      return List.of();
    }
    return Arrays.stream(cluster.select(service.meta().namespace(), service.selector()))
        .boxed()
        .toList();
  }

  private List<Target> backing(Backing backing) {
    return backings.computeIfAbsent(
        backing,
        b -> {
          Service service = services.get(b.service());
          Optional<Boolean> v4 =
              service.addresses().stream().findFirst().map(a -> a.value().isV4());
          return targets(service, service.ports().get(b.port()), v4, false);
        });
  }

  /**
   * Who is behind a port of a service.
   *
   * @param v4 family wanted; absent for any
   * @param strict only addresses of that family; else it is but the choice among loopbacks
   */
  private List<Target> targets(
      Service service, Service.Port port, Optional<Boolean> v4, boolean strict) {
    if (service.selector().isEmpty() || service.externalName()) {
      return List.of();
    }
    TreeSet<Target> targets = new TreeSet<>();
    for (int w : cluster.select(service.meta().namespace(), service.selector())) {
      Workload workload = cluster.workloads().get(w);
      if (!workload.onThisNode()) {
        continue;
      }
      Address loopback = v4.orElse(true) ? Address.LOOPBACK4 : Address.LOOPBACK6;
      List<Address> ownAddresses = workload.addresses().stream().map(Located::value).toList();
      Optional<Address> ofFamily =
          ownAddresses.stream().filter(a -> v4.isEmpty() || a.isV4() == v4.get()).findFirst();
      if (strict && !ownAddresses.isEmpty() && ofFamily.isEmpty()) {
        continue;
      }
      Address address =
          ofFamily.orElse(ownAddresses.isEmpty() ? loopback : ownAddresses.getFirst());
      switch (port.target()) {
        case PortReference.Numbers numbers -> targets.add(new Target(address, numbers.first(), w));
        case PortReference.Named named -> {
          for (Workload.Port own : workload.ports()) {
            if (own.name().equals(named.name()) && own.protocol() == port.protocol()) {
              targets.add(new Target(address, own.port(), w));
            }
          }
        }
      }
    }
    return List.copyOf(targets);
  }

  private void checkVirtualPorts() {
    Map<Address, String> workloadAddresses = new HashMap<>();
    for (Workload workload : cluster.workloads()) {
      workload.addresses().forEach(a -> workloadAddresses.put(a.value(), workload.id()));
    }
    boolean anybodyHere = cluster.workloads().stream().anyMatch(Workload::onThisNode);
    Set<String> withEndpoints = new HashSet<>();
    for (EndpointSlice slice : cluster.all(EndpointSlice.class)) {
      withEndpoints.add(slice.meta().namespace() + "/" + slice.service());
    }
    Map<Address, Service> owners = new HashMap<>();
    for (Service service : services) {
      for (Located<Address> address : service.addresses()) {
        Service other = owners.putIfAbsent(address.value(), service);
        if (other != null) {
          diagnostics.error(
              address.at(),
              address.field(),
              address.value()
                  + " is also the address of "
                  + other.id()
                  + " at "
                  + other.meta().at(),
              "give each Service an address of its own");
        }
        String workload = workloadAddresses.get(address.value());
        if (workload != null) {
          diagnostics.error(
              address.at(),
              address.field(),
              address.value() + " is also the address of " + workload,
              "give the Service an address of its own");
        }
      }
      if (service.addresses().isEmpty()
          && !service.headless()
          && !service.externalName()
          && anybodyHere) {
        diagnostics.warning(
            service.meta().at(),
            "spec.clusterIP",
            "is missing: " + service.id() + " has no virtual address",
            "give it one; without a cluster nobody else does");
      }
      boolean written = withEndpoints.contains(service.meta().qualifiedName());
      if (service.selector().isEmpty() && !service.externalName() && !written) {
        diagnostics.warning(
            service.meta().at(),
            "spec.selector",
            "is missing: nobody is behind " + service.id(),
            "select workloads by their labels");
        continue;
      }
      for (Service.Port port : service.ports()) {
        if (!service.externalName() && !written && !anybodyBehind(service, port)) {
          diagnostics.warning(
              port.at(),
              port.field(),
              "nobody is behind " + service.id() + " port " + port.port(),
              "check its selector and targetPort");
        }
      }
    }
  }

  /**
   * Whether the files know of a backend, here or elsewhere: manifests of a whole cluster say much
   * about pods that never run on this node.
   */
  private boolean anybodyBehind(Service service, Service.Port port) {
    for (int w : cluster.select(service.meta().namespace(), service.selector())) {
      if (!(port.target() instanceof PortReference.Named named)
          || cluster.workloads().get(w).ports().stream()
              .anyMatch(p -> p.name().equals(named.name()) && p.protocol() == port.protocol())) {
        return true;
      }
    }
    return false;
  }
}
