// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.outbound;

import dev.weir.policy.plan.ProxyPlan.RouteRule;
import dev.weir.policy.route.RouteAction;
import java.util.List;
import java.util.Optional;

/**
 * What a rule of a route does, with its clusters found.
 *
 * @param route what is done to requests and responses
 * @param clusters one per backend reference, in the order of the rule's schedule; empty when the
 *     reference is invalid
 */
public record Action(RouteAction route, List<Optional<Cluster>> clusters) {

  static Action of(RouteRule rule, List<Cluster> clusters) {
    RouteAction route = RouteAction.of(rule);
    return new Action(
        route,
        route.choices().stream()
            .map(
                choice ->
                    choice.cluster() < 0
                        ? Optional.<Cluster>empty()
                        : Optional.of(clusters.get(choice.cluster())))
            .toList());
  }
}
