// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.outbound;

import dev.weir.policy.plan.ProxyPlan.Route;
import dev.weir.policy.plan.ProxyPlan.RouteRule;
import dev.weir.policy.plan.ProxyPlan.WeightedBackend;
import dev.weir.policy.route.RouteAction;
import dev.weir.policy.route.SessionKey;
import dev.weir.policy.route.SessionRule;
import java.util.List;
import java.util.Optional;

/**
 * What a rule of a route does, with its clusters found.
 *
 * @param route what is done to requests and responses
 * @param clusters one per backend reference, in the order of the rule's schedule; empty when the
 *     reference is invalid
 * @param sessions when its requests stay with a backend
 */
public record Action(
    RouteAction route, List<Optional<Cluster>> clusters, Optional<Sessions> sessions) {

  /**
   * Of a rule.
   *
   * @param of whose rule it is
   * @param index of the rule
   * @param key of its sessions' tokens; there when it has sessions
   */
  static Action of(Route of, int index, List<Cluster> clusters, Optional<SessionKey> key) {
    RouteRule rule = of.rules().get(index);
    RouteAction route = RouteAction.of(rule);
    List<Optional<Cluster>> found =
        route.choices().stream()
            .map(
                choice ->
                    choice.cluster() < 0
                        ? Optional.<Cluster>empty()
                        : Optional.of(clusters.get(choice.cluster())))
            .toList();
    return new Action(
        route,
        found,
        rule.session()
            .map(
                persistence ->
                    new Sessions(
                        new SessionRule(persistence, of.name(), rule, index),
                        key.orElseThrow(),
                        rule.backends().stream().map(WeightedBackend::weight).toList(),
                        found)));
  }
}
