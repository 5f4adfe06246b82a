// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.route;

import dev.weir.policy.plan.ProxyPlan.L4Route;
import java.util.List;
import java.util.Optional;

/** Routes of connections: which of them has a connection. */
public final class L4Table {

  private L4Table() {}

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
