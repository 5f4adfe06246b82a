// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.outbound;

import dev.weir.policy.plan.ProxyPlan.Route;
import dev.weir.policy.plan.ProxyPlan.RouteRule;
import dev.weir.policy.rbac.AccessRules;
import dev.weir.policy.route.RouteMatch;
import dev.weir.policy.route.RouteTable;
import dev.weir.policy.route.SessionKey;
import dev.weir.proxy.observe.Peer;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Optional;

/** What a connection came in for: a service or a gateway's port, in one generation. */
public final class Entrance {

  private final Cluster.ServiceName service;
  private final Peer servicePeer;
  private final List<AccessRules> guards;
  private final RouteTable table;
  private final IdentityHashMap<RouteRule, Action> actions = new IdentityHashMap<>();

  Entrance(
      Cluster.ServiceName service,
      List<Route> routes,
      List<Cluster> clusters,
      List<AccessRules> guards,
      Optional<SessionKey> sessionKey,
      Optional<Entrance> previous) {
    this.service = service;
    this.guards = List.copyOf(guards);
    this.servicePeer = service.peer();
    this.table = RouteTable.compile(routes, previous.map(entrance -> entrance.table));
    for (Route route : routes) {
      for (int i = 0; i < route.rules().size(); i++) {
        actions.put(route.rules().get(i), Action.of(route, i, clusters, sessionKey));
      }
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

  /** Its routes. */
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
}
