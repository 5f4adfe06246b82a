// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.steer;

import dev.weir.policy.cluster.Cluster;
import dev.weir.policy.cluster.Selectors;
import dev.weir.policy.model.Gateway;
import dev.weir.policy.model.Gateway.AllowedRoutes;
import dev.weir.policy.model.HttpRoute;
import dev.weir.policy.model.L4Route;
import dev.weir.policy.model.Limit;
import dev.weir.policy.model.Reference;
import dev.weir.policy.model.Resource;
import dev.weir.policy.model.Route;
import dev.weir.policy.model.Service;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.source.Diagnostics;
import dev.weir.policy.source.Lint;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SortedMap;
import java.util.TreeMap;

/**
 * Which routes attach to which listeners and services. A parent that does not take a route is, as
 * in the API, no reason to refuse anything: the route is not there, and a warning says why.
 */
final class Attachment {

  private final Cluster cluster;
  private final Diagnostics diagnostics;
  private final Map<String, Gateway> gateways = new HashMap<>();
  private final Map<String, List<Attached>> listeners = new HashMap<>();
  private final Map<Backing, ServiceRoutes> services = new TreeMap<>();
  private final List<Service> allServices;
  private final Map<String, Integer> serviceIndex = new HashMap<>();

  /**
   * The routes at one port of a service.
   *
   * @param producers of the service's own namespace, for every client, in order of precedence
   * @param consumers of other namespaces, for the clients there, in order of precedence
   */
  record ServiceRoutes(List<Attached> producers, SortedMap<String, List<Attached>> consumers) {}

  Attachment(Cluster cluster, Diagnostics diagnostics) {
    this.cluster = cluster;
    this.diagnostics = diagnostics;
    this.allServices = cluster.all(Service.class);
    for (int i = 0; i < allServices.size(); i++) {
      serviceIndex.put(allServices.get(i).meta().qualifiedName(), i);
    }
    for (Gateway gateway : cluster.all(Gateway.class)) {
      gateways.put(gateway.meta().qualifiedName(), gateway);
    }
    for (Route route : byPrecedence(cluster)) {
      boolean attached = false;
      for (Reference parent : route.parents()) {
        attached |= attach(route, parent);
      }
      if (attached) {
        report(route.limits(), diagnostics);
      }
    }
    services.values().forEach(this::keepMostSpecific);
    services.values().removeIf(s -> s.producers().isEmpty() && s.consumers().isEmpty());
  }

  /** Gateway API: the oldest route goes first, then by namespace and name. */
  private static List<Route> byPrecedence(Cluster cluster) {
    List<Route> routes = new ArrayList<>(cluster.all(HttpRoute.class));
    routes.addAll(cluster.all(L4Route.class));
    routes.sort(
        Comparator.comparing((Route r) -> r.meta().created().isEmpty() ? "~" : r.meta().created())
            .thenComparing(r -> r.meta().namespace())
            .thenComparing(r -> r.meta().name())
            .thenComparing(Resource::kind));
    return routes;
  }

  /** Says what of an object that is in use is not done. */
  static void report(List<Limit> limits, Diagnostics diagnostics) {
    for (Limit limit : limits) {
      if (limit.never()) {
        diagnostics.error(limit.at(), limit.field(), limit.message(), limit.remedy());
      } else {
        diagnostics.unserved(limit.at(), limit.field(), limit.message());
      }
    }
  }

  /** Routes at a listener, in order of precedence. */
  List<Attached> at(Gateway gateway, Gateway.Listener listener) {
    return listeners.getOrDefault(id(gateway, listener), List.of());
  }

  /** Every route at any listener. */
  Iterable<List<Attached>> atListeners() {
    return listeners.values();
  }

  /** Routes at ports of services; only ports that have some. */
  Map<Backing, ServiceRoutes> atServices() {
    return services;
  }

  static String id(Gateway gateway, Gateway.Listener listener) {
    return gateway.meta().qualifiedName() + "/" + listener.name().value();
  }

  private boolean attach(Route route, Reference parent) {
    String namespace = parent.namespace().orElse(route.meta().namespace());
    if (parent.kind().equals("Service") && parent.group().isEmpty()) {
      return attachToService(route, parent, namespace);
    }
    if (parent.kind().equals("Gateway") && parent.group().equals(Grants.GATEWAY_GROUP)) {
      return attachToGateway(route, parent, namespace);
    }
    if (parent.kind().equals("Service") && parent.group().equals(Grants.GATEWAY_GROUP)) {
      // There can be no such thing; nobody but who forgot the group writes it.
      diagnostics.error(
          parent.at(),
          parent.field(),
          "Service is not a kind of " + parent.group(),
          "write group: \"\" beside kind: Service");
      return false;
    }
    notAttached(
        route,
        parent,
        "a parent of kind "
            + (parent.group().isEmpty() ? "" : parent.group() + "/")
            + parent.kind()
            + " is nothing that Weir serves",
        "Gateway, or Service with group \"\"");
    return false;
  }

  private void notAttached(Route route, Reference parent, String why, String remedy) {
    diagnostics.lint(
        Lint.NOT_ATTACHED,
        route.meta().annotations(),
        parent.at(),
        parent.field(),
        why + ": the route does not attach to it",
        remedy);
  }

  private boolean attachToService(Route route, Reference parent, String namespace) {
    Integer index = serviceIndex.get(namespace + "/" + parent.name());
    if (index == null) {
      notAttached(
          route,
          parent,
          "there is no Service " + namespace + "/" + parent.name(),
          "add the Service");
      return false;
    }
    Service service = allServices.get(index);
    if (service.externalName()) {
      notAttached(route, parent, service.id() + " is only a name for something outside", "");
      return false;
    }
    if (service.addresses().isEmpty()) {
      diagnostics.lint(
          Lint.NO_ADDRESS,
          route.meta().annotations(),
          parent.at(),
          parent.field(),
          service.id() + " has no virtual address: nobody can dial what the route is attached to",
          "give it spec.clusterIP");
    }
    boolean consumer = !namespace.equals(route.meta().namespace());
    boolean any = false;
    for (int p = 0; p < service.ports().size(); p++) {
      Service.Port port = service.ports().get(p);
      if (port.protocol() == Protocol.TCP
          && (parent.port().isEmpty() || parent.port().getAsInt() == port.port())
          && (parent.sectionName().isEmpty() || parent.sectionName().get().equals(port.name()))) {
        any = true;
        ServiceRoutes routes =
            services.computeIfAbsent(
                new Backing(index, p), k -> new ServiceRoutes(new ArrayList<>(), new TreeMap<>()));
        // Host names of requests select among listeners of a Gateway; a Service is found by its
        // address. Server names of a TLSRoute select the route itself.
        Attached attached =
            new Attached(route, route instanceof L4Route ? route.hostnames() : List.of());
        add(
            consumer
                ? routes
                    .consumers()
                    .computeIfAbsent(route.meta().namespace(), k -> new ArrayList<>())
                : routes.producers(),
            attached);
      }
    }
    if (!any) {
      notAttached(route, parent, service.id() + " has no such TCP port", "name one of its ports");
    }
    return any;
  }

  private boolean attachToGateway(Route route, Reference parent, String namespace) {
    String name = namespace + "/" + parent.name();
    Gateway gateway = gateways.get(name);
    if (gateway == null) {
      notAttached(route, parent, "there is no Gateway " + name, "add the Gateway");
      return false;
    }
    if (!gateway.ours()) {
      return false;
    }
    boolean found = false;
    boolean kind = false;
    boolean admitted = false;
    boolean attached = false;
    for (Gateway.Listener listener : gateway.listeners()) {
      if (parent.sectionName().isPresent()
              && !parent.sectionName().get().equals(listener.name().value())
          || parent.port().isPresent() && parent.port().getAsInt() != listener.port()) {
        continue;
      }
      found = true;
      if (!listener.kinds().contains(route.kind())) {
        continue;
      }
      kind = true;
      if (!admitted(gateway, listener, route.meta().namespace())) {
        continue;
      }
      admitted = true;
      Optional<List<String>> hostnames = Hostnames.cut(listener.hostname(), route.hostnames());
      if (hostnames.isPresent()) {
        attached |= attachToListener(gateway, listener, parent, route, hostnames.get());
      }
    }
    if (!found) {
      notAttached(
          route, parent, "Gateway " + name + " has no such listener", "check sectionName and port");
    } else if (!kind) {
      notAttached(
          route,
          parent,
          "no listener of Gateway " + name + " takes a " + route.kind(),
          "check their protocol and allowedRoutes.kinds");
    } else if (!admitted) {
      notAttached(
          route,
          parent,
          "no listener of Gateway "
              + name
              + " admits routes of namespace "
              + route.meta().namespace(),
          "check allowedRoutes.namespaces");
    } else if (!attached) {
      notAttached(
          route,
          parent,
          "no listener of Gateway " + name + " serves a host name of the route",
          "check hostname and hostnames");
    }
    return attached;
  }

  private boolean attachToListener(
      Gateway gateway,
      Gateway.Listener listener,
      Reference parent,
      Route route,
      List<String> hostnames) {
    List<Attached> there = listeners.computeIfAbsent(id(gateway, listener), k -> new ArrayList<>());
    if (route instanceof HttpRoute mine) {
      for (Attached other : there) {
        if (other.route() instanceof HttpRoute theirs
            && mine.type() != theirs.type()
            && Hostnames.meet(hostnames, other.hostnames())) {
          // GRPCRouteSpec.hostnames: of the two kinds one name has the one that came first.
          notAttached(
              route,
              parent,
              other.route().id()
                  + " serves the same host names at listener "
                  + listener.name().value()
                  + ", and one name is either for HTTPRoutes or for GRPCRoutes",
              "give them different hostnames");
          return true;
        }
      }
    }
    add(there, new Attached(route, hostnames));
    return true;
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

  private void keepMostSpecific(ServiceRoutes routes) {
    keepMostSpecific(routes.producers());
    routes.consumers().values().forEach(this::keepMostSpecific);
  }

  private void keepMostSpecific(List<Attached> list) {
    int most = list.stream().mapToInt(Attached::specificity).max().orElse(0);
    Optional<Attached> winner = list.stream().filter(a -> a.specificity() == most).findFirst();
    list.removeIf(
        attached -> {
          // A TCPRoute has no matches: of several, the first has every connection.
          boolean keep =
              attached.specificity() == most && (most > 0 || attached.equals(winner.get()));
          if (!keep) {
            diagnostics.lint(
                Lint.SHADOWED,
                attached.route().meta().annotations(),
                attached.route().meta().at(),
                "spec.parentRefs",
                "is never met: " + winner.get().route().id() + " is attached to the same port",
                "remove one of the two");
          }
          return !keep;
        });
  }
}
