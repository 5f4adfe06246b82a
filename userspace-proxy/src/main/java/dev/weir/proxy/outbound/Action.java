// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.outbound;

import dev.weir.policy.plan.ProxyPlan.Route;
import dev.weir.policy.plan.ProxyPlan.RouteRule;
import dev.weir.policy.plan.ProxyPlan.WeightedBackend;
import dev.weir.policy.route.RouteAction;
import dev.weir.policy.route.Schedule;
import dev.weir.policy.route.SessionKey;
import dev.weir.policy.route.SessionRule;
import dev.weir.policy.route.StickySplit;
import dev.weir.proxy.resilience.RateLimits;
import dev.weir.proxy.resilience.RoutePolicies;
import dev.weir.proxy.resilience.TrafficSplit;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;

/**
 * What a rule of a route does, with its clusters found.
 *
 * @param route what is done to requests and responses
 * @param clusters one per backend reference, in the order of the rule's schedule; empty when the
 *     reference is invalid
 * @param mirrors who gets copies of requests; those without an endpoint are left out
 * @param sessions when its requests stay with a backend
 * @param split which of the clusters a request gets
 * @param rates of its requests
 */
public record Action(
    RouteAction route,
    List<Optional<Cluster>> clusters,
    List<Mirror> mirrors,
    Optional<Sessions> sessions,
    TrafficSplit split,
    RateLimits rates) {

  /**
   * Who gets copies of some requests.
   *
   * @param cluster of which one endpoint gets one; it has at least one
   * @param share in which backend 0 is getting one, and backend 1 is not
   */
  public record Mirror(Cluster cluster, Schedule share) {}

  /**
   * Of a rule.
   *
   * @param of whose rule it is
   * @param index of the rule
   * @param key of its sessions' tokens; there when it has sessions
   * @param policies what they say of it
   */
  static Action of(
      Route of,
      int index,
      List<Cluster> clusters,
      Optional<SessionKey> key,
      RoutePolicies policies) {
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
        route.mirrors().stream()
            .filter(m -> m.cluster() >= 0 && clusters.get(m.cluster()).size() > 0)
            .map(
                m ->
                    new Mirror(
                        clusters.get(m.cluster()),
                        Schedule.of(List.of(m.numerator(), m.denominator() - m.numerator()))))
            .toList(),
        rule.session()
            .map(
                persistence ->
                    new Sessions(
                        new SessionRule(persistence, of.name(), rule, index),
                        key.orElseThrow(),
                        rule.backends().stream().map(WeightedBackend::weight).toList(),
                        found)),
        policies.split(of, index, shares(route, found)),
        policies.rates(of, rule));
  }

  private static List<StickySplit.Share> shares(RouteAction route, List<Optional<Cluster>> found) {
    return IntStream.range(0, found.size())
        .mapToObj(
            i ->
                new StickySplit.Share(
                    found.get(i).map(Cluster::name).orElse(""), route.choices().get(i).weight()))
        .toList();
  }
}
