// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.outbound;

import dev.weir.policy.plan.ProxyPlan.L4Route;
import dev.weir.policy.plan.ProxyPlan.ListenerProtocol;
import dev.weir.policy.plan.ProxyPlan.Route;
import dev.weir.policy.plan.ProxyPlan.RouteRule;
import dev.weir.policy.rbac.AccessRules;
import dev.weir.policy.route.L4Table;
import dev.weir.policy.route.RouteMatch;
import dev.weir.policy.route.RouteTable;
import dev.weir.policy.route.SessionKey;
import dev.weir.proxy.observe.Peer;
import dev.weir.proxy.resilience.RateLimits;
import dev.weir.proxy.resilience.RoutePolicies;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/** What a connection came in for: a service or a gateway's port, in one generation. */
public final class Entrance {

  private final String name;
  private final List<Route> routes;
  private final List<L4Route> l4Routes;
  private final Cluster.ServiceName service;
  private final Peer servicePeer;
  private final List<AccessRules> guards;
  private final RateLimits rates;
  private final ListenerProtocol protocol;
  private final RouteTable table;
  private final IdentityHashMap<RouteRule, Action> actions = new IdentityHashMap<>();
  private final L4Table streams;
  private final IdentityHashMap<L4Route, List<Optional<Cluster>>> streamClusters =
      new IdentityHashMap<>();

  /**
   * Compiles routes.
   *
   * @param name for people, as what routes name for a parent: {@code Service namespace/name:port};
   *     empty for one that is no parent of routes
   * @param protocol which kind of them counts
   * @param clusters of the plan
   * @param policies what they say of routes
   * @param rates of all requests that come in here
   */
  Entrance(
      String name,
      Cluster.ServiceName service,
      ListenerProtocol protocol,
      List<Route> routes,
      List<L4Route> l4Routes,
      List<Cluster> clusters,
      List<AccessRules> guards,
      Optional<SessionKey> sessionKey,
      RoutePolicies policies,
      RateLimits rates,
      Optional<Entrance> previous) {
    this.name = name;
    this.routes = routes;
    this.l4Routes = l4Routes;
    this.service = service;
    this.protocol = protocol;
    this.guards = List.copyOf(guards);
    this.rates = rates;
    this.servicePeer = service.peer();
    this.table = RouteTable.compile(routes, previous.map(entrance -> entrance.table));
    for (Route route : routes) {
      for (int i = 0; i < route.rules().size(); i++) {
        actions.put(route.rules().get(i), Action.of(route, i, clusters, sessionKey, policies));
      }
    }
    this.streams = L4Table.compile(l4Routes, previous.map(entrance -> entrance.streams));
    for (L4Route route : l4Routes) {
      streamClusters.put(
          route,
          route.backends().stream()
              .map(
                  backend ->
                      backend.cluster() < 0
                          ? Optional.<Cluster>empty()
                          : Optional.of(clusters.get(backend.cluster())))
              .toList());
    }
  }

  /** As metrics name what was asked for. */
  public Cluster.ServiceName service() {
    return service;
  }

  /** As metrics name the destination when no backend was chosen. */
  public Peer servicePeer() {
    return servicePeer;
  }

  /** AuthorizationPolicies about requests through a gateway; all of them must let one pass. */
  public List<AccessRules> guards() {
    return guards;
  }

  /** Rates of the requests that come in here. */
  public RateLimits rates() {
    return rates;
  }

  /** What is spoken with its clients; of a service, HTTP, TLS_PASSTHROUGH or TCP. */
  public ListenerProtocol protocol() {
    return protocol;
  }

  /** Whether requests are looked at, else only connections. */
  public boolean requests() {
    return protocol.requests();
  }

  /** Its routes of connections. */
  public L4Table streams() {
    return streams;
  }

  /** Where a route of connections leads, in the order of its schedule; empty when invalid. */
  public List<Optional<Cluster>> clusters(L4Table.Match match) {
    List<Optional<Cluster>> found = streamClusters.get(match.route());
    if (found == null) {
      throw new IllegalArgumentException("not a route of this entrance: " + match.route().name());
    }
    return found;
  }

  /** Its routes of requests. */
  public RouteTable table() {
    return table;
  }

  /** What a rule of this entrance's routes does. */
  public Action action(RouteMatch match) {
    Action action = actions.get(match.rule());
    if (action == null) {
      throw new IllegalArgumentException("not a rule of this entrance: " + match.route().name());
    }
    return action;
  }

  // ---- for people

  /** Its routes, if it is a parent of any. */
  Stream<RouteStatus.Key> routes() {
    return name.isEmpty()
        ? Stream.empty()
        : Stream.concat(routes.stream().map(Entrance::key), l4Routes.stream().map(Entrance::key));
  }

  private static RouteStatus.Key key(Route route) {
    return new RouteStatus.Key(route.rule(), route.name());
  }

  private static RouteStatus.Key key(L4Route route) {
    return new RouteStatus.Key(route.rule(), route.name());
  }

  /** How a route is attached here. */
  Stream<RouteStatus.Parent> parents(RouteStatus.Key wanted) {
    return Stream.concat(
        routes.stream()
            .filter(route -> key(route).equals(wanted))
            .map(route -> new RouteStatus.Parent(name, route.hostnames())),
        l4Routes.stream()
            .filter(route -> key(route).equals(wanted))
            .map(route -> new RouteStatus.Parent(name, route.hostnames())));
  }

  /** What a route of this entrance does, and with which weights at the moment. */
  List<RouteStatus.RuleStatus> rules(RouteStatus.Key wanted) {
    return Stream.concat(
            routes.stream()
                .filter(route -> key(route).equals(wanted))
                .limit(1)
                .flatMap(route -> route.rules().stream())
                .map(this::status),
            l4Routes.stream().filter(route -> key(route).equals(wanted)).limit(1).map(this::status))
        .toList();
  }

  private RouteStatus.RuleStatus status(RouteRule rule) {
    Action action = actions.get(rule);
    if (action == null) {
      throw new IllegalArgumentException("not a rule of this entrance: " + rule.name());
    }
    return new RouteStatus.RuleStatus(
        rule.name(),
        rule.matches().stream().map(RouteStatus::describe).toList(),
        IntStream.range(0, action.clusters().size())
            .mapToObj(
                i -> {
                  int weight = action.route().choices().get(i).weight();
                  return new RouteStatus.BackendStatus(
                      action.clusters().get(i).map(Cluster::name).orElse(""),
                      weight,
                      action.split().isOut(i) ? 0 : weight);
                })
            .toList());
  }

  private RouteStatus.RuleStatus status(L4Route route) {
    List<Optional<Cluster>> clusters = streamClusters.getOrDefault(route, List.of());
    return new RouteStatus.RuleStatus(
        "",
        List.of(),
        IntStream.range(0, clusters.size())
            .mapToObj(
                i -> {
                  int weight = route.backends().get(i).weight();
                  return new RouteStatus.BackendStatus(
                      clusters.get(i).map(Cluster::name).orElse(""), weight, weight);
                })
            .toList());
  }
}
