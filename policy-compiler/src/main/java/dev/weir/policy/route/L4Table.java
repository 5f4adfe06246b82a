// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.route;

import dev.weir.policy.plan.ProxyPlan.L4Route;
import dev.weir.policy.plan.ProxyPlan.WeightedBackend;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicLong;

/**
 * Routes of connections: which of them has a connection, and whose turn it is there. Immutable but
 * for the turns of its schedules; safe for any number of threads.
 */
public final class L4Table {

  private final List<L4Route> routes;
  private final Map<String, Schedule> schedules;

  private L4Table(List<L4Route> routes, Map<String, Schedule> schedules) {
    this.routes = routes;
    this.schedules = schedules;
  }

  /**
   * A route that has a connection.
   *
   * @param route it
   * @param schedule of its backends
   */
  public record Match(L4Route route, Schedule schedule) {}

  /**
   * Compiles routes; those that the previous table has too, by name, go on with its turns.
   *
   * @param routes in order of precedence
   */
  public static L4Table compile(List<L4Route> routes, Optional<L4Table> previous) {
    Map<String, Schedule> schedules = new HashMap<>();
    for (L4Route route : routes) {
      AtomicLong turns =
          previous
              .flatMap(table -> Optional.ofNullable(table.schedules.get(route.name())))
              .map(Schedule::turns)
              .orElseGet(AtomicLong::new);
      schedules.put(
          route.name(),
          Schedule.of(route.backends().stream().map(WeightedBackend::weight).toList(), turns));
    }
    return new L4Table(List.copyOf(routes), Map.copyOf(schedules));
  }

  /** Whether a server name has to be known to choose among them. */
  public boolean byServerName() {
    return routes.stream().anyMatch(route -> !route.hostnames().isEmpty());
  }

  /** Whether there is none. */
  public boolean isEmpty() {
    return routes.isEmpty();
  }

  /**
   * The route of a connection ({@link #find}).
   *
   * @param serverName in lower case; empty when none was sent, or none was looked for
   */
  public Optional<Match> match(String serverName) {
    return find(routes, serverName)
        .flatMap(
            route ->
                Optional.ofNullable(schedules.get(route.name())).map(s -> new Match(route, s)));
  }

  /**
   * The route with the most specific host name that serves a server name; of several, the first.
   *
   * @param routes in order of precedence
   * @param serverName as the client sent it (SNI), in lower case; empty when it sent none
   */
  public static Optional<L4Route> find(List<L4Route> routes, String serverName) {
    Optional<L4Route> best = Optional.empty();
    String bestName = "";
    for (L4Route route : routes) {
      List<String> hostnames = route.hostnames().isEmpty() ? List.of("") : route.hostnames();
      for (String hostname : hostnames) {
        if (Hostnames.serves(hostname, serverName)
            && (best.isEmpty() || Hostnames.MOST_SPECIFIC.compare(hostname, bestName) < 0)) {
          best = Optional.of(route);
          bestName = hostname;
        }
      }
    }
    return best;
  }
}
