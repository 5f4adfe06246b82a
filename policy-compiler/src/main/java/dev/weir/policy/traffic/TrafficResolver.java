// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.traffic;

import dev.weir.policy.cluster.Cluster;
import dev.weir.policy.cluster.Selectors;
import dev.weir.policy.model.AuthorizationPolicy;
import dev.weir.policy.model.Gateway;
import dev.weir.policy.model.HttpRoute;
import dev.weir.policy.model.Located;
import dev.weir.policy.model.Mesh;
import dev.weir.policy.model.Reference;
import dev.weir.policy.model.Resource;
import dev.weir.policy.model.Service;
import dev.weir.policy.model.TrafficPolicy;
import dev.weir.policy.model.Workload;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.TrafficPolicy.CanaryRollback;
import dev.weir.policy.plan.TrafficPolicy.CircuitLimits;
import dev.weir.policy.plan.TrafficPolicy.ConnectionRate;
import dev.weir.policy.plan.TrafficPolicy.HealthCheck;
import dev.weir.policy.plan.TrafficPolicy.Level;
import dev.weir.policy.plan.TrafficPolicy.Locality;
import dev.weir.policy.plan.TrafficPolicy.OutlierEjection;
import dev.weir.policy.plan.TrafficPolicy.PacketRate;
import dev.weir.policy.plan.TrafficPolicy.ProxyUnavailable;
import dev.weir.policy.plan.TrafficPolicy.RequestRates;
import dev.weir.policy.plan.TrafficPolicy.Setting;
import dev.weir.policy.plan.TrafficPolicy.SlowStart;
import dev.weir.policy.plan.TrafficPolicy.StickySplit;
import dev.weir.policy.plan.TrafficPolicy.Target;
import dev.weir.policy.plan.TrafficPolicy.TargetKind;
import dev.weir.policy.plan.TrafficPolicy.Unavailable;
import dev.weir.policy.source.Diagnostics;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.stream.Stream;

/** Finds what TrafficPolicies are about. */
public final class TrafficResolver {

  private final Cluster cluster;
  private final Places places;
  private final Diagnostics diagnostics;
  private final Map<String, Resource> byId = new HashMap<>();

  /** Who has said what about which target first. */
  private final Map<List<Object>, TrafficPolicy> said = new HashMap<>();

  /** Indexes in the plan. */
  public interface Places {
    /** Of a Service, in the plan's workloads. */
    int service(Service service);

    /**
     * Whether the kernel chooses backends of a Service.
     *
     * @param port of it; empty for any
     */
    boolean byKernel(Service service, OptionalInt port);

    /**
     * Whether routes that the proxy serves lead to a Service.
     *
     * @param port of it; empty for any
     */
    boolean byProxy(Service service, OptionalInt port);

    /** Whether the kernel splits the connections of a route, so that nobody sees its requests. */
    boolean byConnection(Resource route);

    /** Of a workload, in the plan's workloads. */
    int workload(Workload workload);

    /** Of the rule that stands for an object. */
    int rule(Resource resource);

    /** Of the rule that stands for a listener. */
    int rule(Gateway gateway, Gateway.Listener listener);
  }

  private TrafficResolver(Cluster cluster, Places places, Diagnostics diagnostics) {
    this.cluster = cluster;
    this.places = places;
    this.diagnostics = diagnostics;
    for (Resource resource : cluster.all(Resource.class)) {
      byId.put(resource.id(), resource);
    }
  }

  /** The policies of a plan, by namespace and name. */
  public static List<dev.weir.policy.plan.TrafficPolicy> resolve(
      Cluster cluster, Places places, Diagnostics diagnostics) {
    List<TrafficPolicy> policies = cluster.all(TrafficPolicy.class);
    if (policies.isEmpty()) {
      return List.of();
    }
    TrafficResolver resolver = new TrafficResolver(cluster, places, diagnostics);
    return policies.stream().map(resolver::resolve).toList();
  }

  private dev.weir.policy.plan.TrafficPolicy resolve(TrafficPolicy policy) {
    List<Target> targets = new ArrayList<>();
    List<Setting> settings = policy.settings().stream().map(s -> named(policy, s)).toList();
    for (Reference reference : policy.targets()) {
      String id = reference.kind() + " " + policy.meta().namespace() + "/" + reference.name();
      Resource resource = byId.get(id);
      if (resource == null) {
        diagnostics.warning(
            reference.at(),
            reference.field(),
            "there is no " + id + ": nothing of the policy holds for it",
            "add it, or name what is there");
        continue;
      }
      target(reference, resource).ifPresent(targets::add);
      for (Located<Setting> setting : policy.settings()) {
        conflicts(policy, reference, setting);
        check(policy, resource, setting);
        rate(reference, resource, setting);
      }
    }
    for (Located<Setting> setting : policy.settings()) {
      if (!isEnforced(policy, setting.value())) {
        diagnostics.unserved(setting.at(), setting.field(), "is not enforced yet");
      } else if (setting.value() instanceof CircuitLimits || setting.value() instanceof SlowStart) {
        partly(policy, setting);
      }
    }
    return new dev.weir.policy.plan.TrafficPolicy(places.rule(policy), targets, settings);
  }

  private boolean isEnforced(TrafficPolicy policy, Setting setting) {
    return switch (setting) {
      case ConnectionRate rate -> true;
      case PacketRate rate -> true;
      case ProxyUnavailable unavailable -> true;
      // Of a Service, what comes to its virtual address: where the kernel leads that, nobody sees
      // requests.
      case RequestRates rates ->
          routes(policy).noneMatch(places::byConnection)
              && services(policy).noneMatch(led -> places.byKernel(led.service, led.port));
      case CircuitLimits limits -> throughProxy(policy);
      case SlowStart slow -> throughProxy(policy);
      case HealthCheck check -> throughProxy(policy);
      case CanaryRollback canary -> routes(policy).noneMatch(places::byConnection);
      case StickySplit sticky -> routes(policy).noneMatch(places::byConnection);
      // The kernel knows no names of ports.
      case OutlierEjection ejection ->
          services(policy)
              .allMatch(
                  led ->
                      led.reference.sectionName().isEmpty()
                          || !places.byKernel(led.service, led.port));
      // The kernel knows no names of ports; what is in which zone nobody says.
      case Locality locality ->
          locality.prefer().equals(List.of(Level.NODE))
              && services(policy)
                  .allMatch(
                      led ->
                          led.reference.sectionName().isEmpty()
                              || !places.byKernel(led.service, led.port));
      default -> false;
    };
  }

  /** Whether what the proxy alone can do holds for anything. */
  private boolean throughProxy(TrafficPolicy policy) {
    return services(policy)
        .allMatch(
            led ->
                places.byProxy(led.service, led.port) || !places.byKernel(led.service, led.port));
  }

  /** What holds only for what routes lead to a Service is said, where there is anything else. */
  private void partly(TrafficPolicy policy, Located<Setting> setting) {
    services(policy)
        .filter(
            led -> places.byProxy(led.service, led.port) && places.byKernel(led.service, led.port))
        .forEach(
            led ->
                diagnostics.warning(
                    setting.at(),
                    setting.field(),
                    "holds for what routes lead to "
                        + led.service.id()
                        + ", not for connections to its own virtual address, which the kernel"
                        + " leads",
                    "attach a route to it, if they are to meet it"));
  }

  /**
   * A Service that a policy is about.
   *
   * @param port number of the one that is named, if one is
   */
  private record Led(Reference reference, Service service, OptionalInt port) {}

  /** The Services that a policy is about, as far as they exist. */
  private Stream<Led> services(TrafficPolicy policy) {
    return policy.targets().stream()
        .flatMap(
            reference ->
                find(policy, reference)
                    .filter(Service.class::isInstance)
                    .map(Service.class::cast)
                    .map(service -> new Led(reference, service, port(service, reference)))
                    .stream());
  }

  /** The routes that a policy is about, as far as they exist. */
  private Stream<Resource> routes(TrafficPolicy policy) {
    return policy.targets().stream()
        .filter(reference -> reference.kind().endsWith("Route"))
        .flatMap(reference -> find(policy, reference).stream());
  }

  private Optional<Resource> find(TrafficPolicy policy, Reference reference) {
    String id = reference.kind() + " " + policy.meta().namespace() + "/" + reference.name();
    return Optional.ofNullable(byId.get(id));
  }

  private static OptionalInt port(Service service, Reference reference) {
    return service.ports().stream()
        .filter(port -> reference.sectionName().map(port.name()::equals).orElse(false))
        .mapToInt(Service.Port::port)
        .findFirst();
  }

  /** A backend without a namespace is one of the policy's own. */
  private static Setting named(TrafficPolicy policy, Located<Setting> setting) {
    return setting.value() instanceof CanaryRollback canary && !canary.service().contains("/")
        ? new CanaryRollback(
            policy.meta().namespace() + "/" + canary.service(),
            canary.errorMarginPercent(),
            canary.p99MarginPercent(),
            canary.windowSeconds(),
            canary.minimumRequests())
        : setting.value();
  }

  private Optional<Target> target(Reference reference, Resource resource) {
    String section = reference.sectionName().orElse("");
    return switch (resource) {
      case Service service -> {
        if (section.isEmpty()) {
          yield Optional.of(new Target(TargetKind.SERVICE, places.service(service), ""));
        }
        Optional<Service.Port> port =
            service.ports().stream().filter(p -> p.name().equals(section)).findFirst();
        if (port.isEmpty()) {
          noSection(reference, resource, "port");
        }
        yield port.map(
            p -> new Target(TargetKind.SERVICE, places.service(service), section, p.port()));
      }
      case Workload workload ->
          Optional.of(new Target(TargetKind.WORKLOAD, places.workload(workload), ""));
      case Gateway gateway -> {
        if (section.isEmpty()) {
          yield Optional.of(new Target(TargetKind.GATEWAY, places.rule(gateway), ""));
        }
        Optional<Gateway.Listener> listener =
            gateway.listeners().stream().filter(l -> l.name().value().equals(section)).findFirst();
        if (listener.isEmpty()) {
          noSection(reference, resource, "listener");
        }
        yield listener.map(l -> new Target(TargetKind.GATEWAY, places.rule(gateway, l), section));
      }
      case HttpRoute route -> {
        if (!section.isEmpty() && route.rules().stream().noneMatch(r -> r.name().equals(section))) {
          noSection(reference, resource, "rule");
          yield Optional.empty();
        }
        yield Optional.of(new Target(TargetKind.ROUTE, places.rule(route), section));
      }
      default -> Optional.of(new Target(TargetKind.ROUTE, places.rule(resource), section));
    };
  }

  private void noSection(Reference reference, Resource resource, String what) {
    diagnostics.error(
        reference.at(),
        reference.field() + ".sectionName",
        resource.id() + " has no " + what + " \"" + reference.sectionName().orElse("") + "\"",
        "name one of its " + what + "s, or leave it out for all");
  }

  private void conflicts(TrafficPolicy policy, Reference reference, Located<Setting> setting) {
    List<Object> key =
        List.of(
            reference.kind(),
            policy.meta().namespace(),
            reference.name(),
            reference.sectionName().orElse(""),
            setting.value().getClass());
    TrafficPolicy other = said.putIfAbsent(key, policy);
    if (other != null && !other.id().equals(policy.id())) {
      diagnostics.error(
          setting.at(),
          setting.field(),
          other.id()
              + " at "
              + other.meta().at()
              + " says it as well for "
              + reference.kind()
              + " "
              + policy.meta().namespace()
              + "/"
              + reference.name(),
          "say it in one of the two");
    }
  }

  /**
   * A rate is counted at a virtual address and of one protocol; where there is none, of nothing.
   */
  private void rate(Reference reference, Resource resource, Located<Setting> setting) {
    Optional<Protocol> protocol =
        switch (setting.value()) {
          case ConnectionRate rate -> Optional.of(Protocol.TCP);
          case PacketRate rate -> Optional.of(Protocol.UDP);
          default -> Optional.empty();
        };
    if (protocol.isEmpty() || !(resource instanceof Service service)) {
      return;
    }
    if (service.addresses().isEmpty()) {
      diagnostics.warning(
          setting.at(),
          setting.field(),
          "nothing is counted for " + service.id() + ", which has no virtual address",
          "name the Workloads behind it");
    } else if (service.ports().stream()
        .noneMatch(
            port ->
                port.protocol() == protocol.get()
                    && reference.sectionName().map(port.name()::equals).orElse(true))) {
      diagnostics.warning(
          setting.at(),
          setting.field(),
          "is about " + protocol.get() + ", and no such port of " + service.id() + " is",
          "remove it");
    }
  }

  private void check(TrafficPolicy policy, Resource resource, Located<Setting> setting) {
    switch (setting.value()) {
      case ProxyUnavailable unavailable -> {
        if (unavailable.action() == Unavailable.BYPASS && resource instanceof Service service) {
          bypass(service, setting);
        }
      }
      case CanaryRollback canary -> {
        if (resource instanceof HttpRoute route) {
          onTrial(policy, route, canary, setting);
        }
      }
      default -> {}
    }
  }

  /** Past the proxy nobody would ask what only it can see. */
  private void bypass(Service service, Located<Setting> setting) {
    for (AuthorizationPolicy policy : cluster.all(AuthorizationPolicy.class)) {
      if (policy.rules().stream().noneMatch(AuthorizationPolicy.Rule::needsRequest)
          || !isAbout(policy, service)) {
        continue;
      }
      diagnostics.error(
          setting.at(),
          setting.field(),
          "Bypass would lead past "
              + policy.id()
              + " at "
              + policy.meta().at()
              + ", which protects "
              + service.id()
              + " by what only the proxy sees",
          "Refuse");
      return;
    }
  }

  private boolean isAbout(AuthorizationPolicy policy, Service service) {
    String namespace = service.meta().namespace();
    boolean own = policy.meta().namespace().equals(namespace);
    boolean root =
        policy
            .meta()
            .namespace()
            .equals(cluster.mesh().map(Mesh::rootNamespace).orElse(Mesh.ROOT_NAMESPACE));
    if (!own && !root) {
      return false;
    }
    if (!policy.targets().isEmpty()) {
      return own
          && policy.targets().stream()
              .anyMatch(t -> t.kind().equals("Service") && t.name().equals(service.meta().name()));
    }
    if (policy.selector().isEmpty()) {
      return true;
    }
    for (int w : cluster.select(namespace, service.selector())) {
      if (Selectors.matches(policy.selector().get(), cluster.workloads().get(w).meta().labels())) {
        return true;
      }
    }
    return false;
  }

  private void onTrial(
      TrafficPolicy policy, HttpRoute route, CanaryRollback canary, Located<Setting> setting) {
    String wanted =
        canary.service().contains("/")
            ? canary.service()
            : policy.meta().namespace() + "/" + canary.service();
    boolean split =
        route.rules().stream()
            .anyMatch(
                rule ->
                    rule.backends().size() > 1
                        && rule.backends().stream()
                            .anyMatch(
                                b ->
                                    wanted.equals(
                                        b.reference().namespace().orElse(route.meta().namespace())
                                            + "/"
                                            + b.reference().name())));
    if (!split) {
      diagnostics.error(
          setting.at(),
          setting.field() + ".backend",
          "no rule of "
              + route.id()
              + " splits its requests between Service "
              + wanted
              + " and others",
          "name one of several backends of a rule");
    }
  }
}
