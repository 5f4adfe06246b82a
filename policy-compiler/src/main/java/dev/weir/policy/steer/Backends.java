// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.steer;

import dev.weir.policy.cluster.Cluster;
import dev.weir.policy.model.EndpointSlice;
import dev.weir.policy.model.Located;
import dev.weir.policy.model.PortReference;
import dev.weir.policy.model.Reference;
import dev.weir.policy.model.Resource;
import dev.weir.policy.model.Route;
import dev.weir.policy.model.Service;
import dev.weir.policy.model.Workload;
import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.TrafficPolicy.Level;
import dev.weir.policy.plan.TrafficPolicy.Locality;
import dev.weir.policy.source.Diagnostics;
import dev.weir.policy.source.Lint;
import dev.weir.policy.steer.Steering.Target;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.SortedSet;
import java.util.TreeMap;
import java.util.TreeSet;

/** Who is behind services, and which ports of services references mean. */
final class Backends {

  private final Cluster cluster;
  private final Diagnostics diagnostics;
  private final Grants grants;
  private final List<Service> services;

  /** Filled when a reference is to be resolved. */
  private final Map<String, Integer> serviceIndex = new HashMap<>();

  /** Slices by service. */
  private final Map<String, List<EndpointSlice>> slices = new HashMap<>();

  /** Whose an address is, as far as that is believed. */
  private final Map<Address, Integer> owners = new HashMap<>();

  /** Whose an address is said to be. */
  private final Map<Address, Integer> declared = new HashMap<>();

  private final ServiceSettings settings;

  private final Map<String, Integer> workloadIndex = new HashMap<>();
  private final Map<Backing, List<Target>> dialled = new TreeMap<>();

  Backends(Cluster cluster, Grants grants, Diagnostics diagnostics) {
    this.cluster = cluster;
    this.grants = grants;
    this.diagnostics = diagnostics;
    this.settings = new ServiceSettings(cluster);
    this.services = cluster.all(Service.class);
    for (EndpointSlice slice : cluster.all(EndpointSlice.class)) {
      slices
          .computeIfAbsent(slice.meta().namespace() + "/" + slice.service(), k -> new ArrayList<>())
          .add(slice);
    }
    if (!slices.isEmpty()) {
      for (int w = 0; w < cluster.workloads().size(); w++) {
        Workload workload = cluster.workloads().get(w);
        for (Located<Address> address : cluster.dialledAddresses(workload)) {
          owners.put(address.value(), w);
        }
        for (Located<Address> address : workload.addresses()) {
          declared.putIfAbsent(address.value(), w);
        }
        if (workload.kind().equals("Pod")) {
          workloadIndex.put(workload.meta().qualifiedName(), w);
        }
      }
    }
  }

  List<Service> services() {
    return services;
  }

  Service service(Backing backing) {
    return services.get(backing.service());
  }

  Service.Port port(Backing backing) {
    return service(backing).ports().get(backing.port());
  }

  /** {@code namespace/service:port}. */
  String name(Backing backing) {
    return service(backing).meta().qualifiedName() + ":" + port(backing).port();
  }

  /**
   * Whether a route leads back to what it is attached to. A route of a consumer needs no grant for
   * that: its clients have called this very Service.
   */
  private static boolean parent(Resource owner, String namespace, String name) {
    return owner instanceof Route route
        && route.parents().stream()
            .anyMatch(
                p ->
                    p.kind().equals("Service")
                        && p.group().isEmpty()
                        && p.name().equals(name)
                        && p.namespace().orElse(owner.meta().namespace()).equals(namespace));
  }

  /**
   * The service port that a reference means; empty, and a warning, when it is invalid.
   *
   * @param owner who refers
   * @param consequence what becomes of an invalid one
   */
  Optional<Backing> resolve(Resource owner, Reference reference, String consequence) {
    for (int i = serviceIndex.size(); i < services.size(); i++) {
      serviceIndex.put(services.get(i).meta().qualifiedName(), i);
    }
    String namespace = reference.namespace().orElse(owner.meta().namespace());
    String name = namespace + "/" + reference.name();
    String problem;
    String remedy;
    Lint lint = Lint.MISSING_BACKEND;
    if (!reference.group().isEmpty() || !reference.kind().equals("Service")) {
      problem = "backends of kind " + reference.kind() + " are not known";
      remedy = "a Service";
    } else if (!parent(owner, namespace, reference.name())
        && !grants.allow(
            owner.kind(), owner.meta().namespace(), "Service", namespace, reference.name())) {
      problem = "no ReferenceGrant of namespace " + namespace + " allows Service " + name;
      remedy = "add one there for " + owner.kind() + " of namespace " + owner.meta().namespace();
      lint = Lint.MISSING_GRANT;
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
      problem =
          service.externalName()
              ? "Service " + name + " is only a name for something outside"
              : "Service " + name + " has no TCP port " + reference.port().getAsInt();
      remedy = service.externalName() ? "a Service with addresses" : "name one of its ports";
    }
    diagnostics.lint(
        lint,
        owner.meta().annotations(),
        reference.at(),
        reference.field(),
        problem + ": " + consequence,
        remedy);
    return Optional.empty();
  }

  /** What a route that leads to a port of a service can dial, ascending. */
  List<Target> targets(Backing backing) {
    return dialled.computeIfAbsent(
        backing,
        b -> {
          Service service = service(b);
          Optional<Boolean> v4 =
              service.addresses().stream().findFirst().map(a -> a.value().isV4());
          return targets(service, port(b), v4, false);
        });
  }

  /** What one address of a service leads to, ascending. */
  List<Target> targets(Service service, Service.Port port, boolean v4) {
    return near(service, port, targets(service, port, Optional.of(v4), true));
  }

  /**
   * Those of this node, where the Service says that only they are to be dialled, or a TrafficPolicy
   * that they go first.
   */
  private List<Target> near(Service service, Service.Port port, List<Target> targets) {
    if (!service.localOnly() && !prefersNode(service, port)) {
      return targets;
    }
    List<Target> local =
        targets.stream()
            .filter(
                target ->
                    target.workload() != Steering.OUTSIDE
                        && cluster.workloads().get(target.workload()).onThisNode())
            .toList();
    return local.isEmpty() && !service.localOnly() ? targets : local;
  }

  private boolean prefersNode(Service service, Service.Port port) {
    return settings
        .of(service, port, Locality.class)
        .filter(locality -> locality.prefer().getFirst() == Level.NODE)
        .isPresent();
  }

  /**
   * Who is behind a port of a service.
   *
   * @param v4 family wanted; absent for any
   * @param strict only addresses of that family; else it is but the choice among several
   */
  private List<Target> targets(
      Service service, Service.Port port, Optional<Boolean> v4, boolean strict) {
    if (service.externalName()) {
      return List.of();
    }
    TreeSet<Target> targets = new TreeSet<>();
    for (int w : selected(service)) {
      Workload workload = cluster.workloads().get(w);
      Optional<Address> address = address(workload, v4, strict);
      if (address.isPresent()) {
        for (int number : numbers(workload, port)) {
          targets.add(new Target(address.get(), number, w));
        }
      }
    }
    for (EndpointSlice slice : slices(service, targets.isEmpty())) {
      written(service, port, slice, v4, strict, targets);
    }
    return List.copyOf(targets);
  }

  /** Where a workload is dialled; empty when nothing says where it is. */
  private Optional<Address> address(Workload workload, Optional<Boolean> v4, boolean strict) {
    List<Address> own = cluster.dialledAddresses(workload).stream().map(Located::value).toList();
    if (own.isEmpty()) {
      return workload.onThisNode() && workload.addresses().isEmpty()
          ? Optional.of(v4.orElse(true) ? Address.LOOPBACK4 : Address.LOOPBACK6)
          : Optional.empty();
    }
    Optional<Address> ofFamily =
        own.stream().filter(a -> v4.isEmpty() || a.isV4() == v4.get()).findFirst();
    return ofFamily.isPresent() || strict ? ofFamily : Optional.of(own.getFirst());
  }

  private static List<Integer> numbers(Workload workload, Service.Port port) {
    return switch (port.target()) {
      case PortReference.Numbers numbers -> List.of(numbers.first());
      case PortReference.Named named ->
          workload.ports().stream()
              .filter(own -> own.name().equals(named.name()) && own.protocol() == port.protocol())
              .map(Workload.Port::port)
              .toList();
    };
  }

  private int[] selected(Service service) {
    return service.selector().isEmpty() || service.externalName()
        ? new int[0]
        : cluster.select(service.meta().namespace(), service.selector());
  }

  /**
   * The slices that say who is behind a service.
   *
   * @param unknown whether the files hold nobody whom its selector selects and who can be dialled,
   *     so that what Kubernetes made of the selector is news
   */
  private List<EndpointSlice> slices(Service service, boolean unknown) {
    return slices.getOrDefault(service.meta().qualifiedName(), List.of()).stream()
        .filter(
            slice ->
                service.selector().isEmpty()
                    || (!slice.derived() || unknown) && slice.kind().equals("EndpointSlice"))
        .toList();
  }

  /** Adds the endpoints of a slice that take new connections to a port. */
  private void written(
      Service service,
      Service.Port port,
      EndpointSlice slice,
      Optional<Boolean> v4,
      boolean strict,
      Set<Target> targets) {
    for (EndpointSlice.Subset subset : slice.subsets()) {
      for (EndpointSlice.Port number : subset.ports()) {
        if (!number.name().equals(port.name())
            || number.protocol() != port.protocol()
            || number.port().isEmpty()) {
          continue;
        }
        for (EndpointSlice.Endpoint endpoint : taking(service, subset)) {
          // Several addresses of an endpoint are one backend.
          Address address = endpoint.addresses().getFirst().value();
          boolean wanted =
              strict
                  ? v4.isEmpty() || address.isV4() == v4.get()
                  : address.isV4() == preferred(service, v4);
          if (wanted) {
            targets.add(
                new Target(
                    address,
                    number.port().getAsInt(),
                    owners.getOrDefault(address, Steering.OUTSIDE)));
          }
        }
      }
    }
  }

  /** Whether slices of IPv4 are the ones to dial: backends with two families are in two slices. */
  private boolean preferred(Service service, Optional<Boolean> v4) {
    List<Boolean> families =
        slices.getOrDefault(service.meta().qualifiedName(), List.of()).stream()
            .flatMap(slice -> slice.subsets().stream())
            .flatMap(subset -> subset.endpoints().stream())
            .map(endpoint -> endpoint.addresses().getFirst().value().isV4())
            .distinct()
            .toList();
    boolean wanted = v4.orElse(true);
    return families.contains(wanted) ? wanted : !wanted;
  }

  /** Ready endpoints; without one, those that answer while they end (Kubernetes, KEP-1669). */
  private static List<EndpointSlice.Endpoint> taking(Service service, EndpointSlice.Subset subset) {
    List<EndpointSlice.Endpoint> ready =
        subset.endpoints().stream()
            .filter(e -> e.ready() || service.publishNotReadyAddresses())
            .toList();
    return ready.isEmpty()
        ? subset.endpoints().stream().filter(e -> e.serving() && e.terminating()).toList()
        : ready;
  }

  /** The workloads behind a port of a service, wherever they are; ascending. */
  List<Integer> behind(Backing backing) {
    Service service = service(backing);
    Service.Port port = port(backing);
    TreeSet<Integer> behind = new TreeSet<>();
    for (int w : selected(service)) {
      if (!numbers(cluster.workloads().get(w), port).isEmpty()) {
        behind.add(w);
      }
    }
    for (EndpointSlice slice : slices(service, behind.isEmpty())) {
      for (EndpointSlice.Subset subset : slice.subsets()) {
        boolean mine =
            subset.ports().stream()
                .anyMatch(p -> p.name().equals(port.name()) && p.protocol() == port.protocol());
        if (mine) {
          for (EndpointSlice.Endpoint endpoint : taking(service, subset)) {
            endpoint
                .pod()
                .map(workloadIndex::get)
                .or(
                    () ->
                        endpoint.addresses().stream()
                            .filter(a -> declared.containsKey(a.value()))
                            .map(a -> declared.get(a.value()))
                            .findFirst())
                .ifPresent(behind::add);
          }
        }
      }
    }
    return List.copyOf(behind);
  }

  /** Who gets the connections to a port of a service: workloads with their ports, addresses. */
  SortedSet<Led> led(Backing backing) {
    SortedSet<Led> led = new TreeSet<>();
    Service service = service(backing);
    Service.Port port = port(backing);
    for (int w : selected(service)) {
      Workload workload = cluster.workloads().get(w);
      for (int number : numbers(workload, port)) {
        led.add(new Led(workload.meta().qualifiedName() + "[" + workload.kind() + "]", number));
      }
    }
    for (Target target : targets(service, port, Optional.empty(), false)) {
      if (target.workload() == Steering.OUTSIDE) {
        led.add(new Led(target.address().toString(), target.port()));
      }
    }
    return led;
  }

  /** Finds virtual addresses that cannot be, and services that lead nowhere. */
  void check() {
    Map<Address, String> workloadAddresses = new HashMap<>();
    for (Workload workload : cluster.workloads()) {
      workload.addresses().forEach(a -> workloadAddresses.put(a.value(), workload.id()));
    }
    boolean anybodyHere = cluster.workloads().stream().anyMatch(Workload::onThisNode);
    Map<Address, Service> virtual = new HashMap<>();
    for (int s = 0; s < services.size(); s++) {
      Service service = services.get(s);
      for (Located<Address> address : service.addresses()) {
        Service other = virtual.putIfAbsent(address.value(), service);
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
      check(s, anybodyHere);
    }
  }

  /** Finds what one service lacks. */
  void check(int s, boolean anybodyHere) {
    Service service = services.get(s);
    if (service.addresses().isEmpty()
        && !service.headless()
        && !service.externalName()
        && anybodyHere) {
      diagnostics.lint(
          Lint.NO_ADDRESS,
          service.meta().annotations(),
          service.meta().at(),
          "spec.clusterIP",
          "is missing: " + service.id() + " has no virtual address",
          "give it one; without a cluster nobody else does");
    }
    if (!service.externalName()) {
      checkBackends(s, service);
    }
  }

  private void checkBackends(int index, Service service) {
    if (service.selector().isEmpty() && slices(service, true).isEmpty()) {
      diagnostics.lint(
          Lint.NO_BACKENDS,
          service.meta().annotations(),
          service.meta().at(),
          "spec.selector",
          "is missing: nobody is behind " + service.id(),
          "select workloads by their labels, or write an EndpointSlice");
      return;
    }
    for (int p = 0; p < service.ports().size(); p++) {
      Service.Port port = service.ports().get(p);
      // Manifests of a whole cluster say much about pods that never run on this node.
      if (targets(service, port, Optional.empty(), false).isEmpty()
          && behind(new Backing(index, p)).isEmpty()
          && slices(service, true).isEmpty()) {
        diagnostics.lint(
            Lint.NO_BACKENDS,
            service.meta().annotations(),
            port.at(),
            port.field(),
            "nobody is behind " + service.id() + " port " + port.port(),
            "check its selector and targetPort");
      }
    }
  }
}
