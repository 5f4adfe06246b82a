// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.steer;

import dev.weir.policy.model.HttpRoute;
import dev.weir.policy.model.L4Route;
import dev.weir.policy.model.Route;
import dev.weir.policy.plan.ProxyPlan.RouteKind;
import java.util.List;

/**
 * A route at one parent.
 *
 * @param route that attached
 * @param hostnames it serves there; empty for all
 */
record Attached(Route route, List<String> hostnames) {
  Attached {
    hostnames = List.copyOf(hostnames);
  }

  /** Of several kinds at one port of a service only the most specific counts (GEP-1294). */
  int specificity() {
    return switch (route) {
      case HttpRoute http -> http.type() == RouteKind.GRPC ? 3 : 2;
      case L4Route l4 -> l4.type() == L4Route.Type.TLS ? 1 : 0;
    };
  }
}
