// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.outbound;

import dev.weir.policy.plan.ProxyPlan.Filter;
import dev.weir.policy.plan.ProxyPlan.RouteRule;
import dev.weir.policy.plan.ProxyPlan.WeightedBackend;
import java.util.List;
import java.util.Optional;

/**
 * What a rule of a route does, with its clusters found.
 *
 * @param redirect instead of asking a backend
 * @param rewrite of the request target
 * @param request changes of its headers
 * @param response changes of its headers
 * @param choices one per backend reference, in the order of the rule's schedule
 * @param requestTimeoutMillis 0 for none
 * @param backendTimeoutMillis 0 for none
 */
public record Action(
    Optional<Filter.Redirect> redirect,
    Optional<Filter.Rewrite> rewrite,
    HeaderEdits request,
    HeaderEdits response,
    List<Choice> choices,
    long requestTimeoutMillis,
    long backendTimeoutMillis) {

  /**
   * One backend reference.
   *
   * @param cluster empty when the reference is invalid
   * @param request changes of headers for this backend only
   * @param response changes of headers for this backend only
   */
  public record Choice(Optional<Cluster> cluster, HeaderEdits request, HeaderEdits response) {}

  static Action of(RouteRule rule, List<Cluster> clusters) {
    return new Action(
        first(rule.filters(), Filter.Redirect.class),
        first(rule.filters(), Filter.Rewrite.class),
        requestEdits(rule.filters()),
        responseEdits(rule.filters()),
        rule.backends().stream().map(backend -> choice(backend, clusters)).toList(),
        rule.requestTimeoutMillis(),
        rule.backendTimeoutMillis());
  }

  private static Choice choice(WeightedBackend backend, List<Cluster> clusters) {
    return new Choice(
        backend.cluster() < 0 ? Optional.empty() : Optional.of(clusters.get(backend.cluster())),
        requestEdits(backend.filters()),
        responseEdits(backend.filters()));
  }

  private static <T extends Filter> Optional<T> first(List<Filter> filters, Class<T> type) {
    return filters.stream().filter(type::isInstance).map(type::cast).findFirst();
  }

  private static HeaderEdits requestEdits(List<Filter> filters) {
    return HeaderEdits.of(
        filters.stream()
            .filter(Filter.RequestHeaders.class::isInstance)
            .map(filter -> ((Filter.RequestHeaders) filter).edit())
            .toList());
  }

  private static HeaderEdits responseEdits(List<Filter> filters) {
    return HeaderEdits.of(
        filters.stream()
            .filter(Filter.ResponseHeaders.class::isInstance)
            .map(filter -> ((Filter.ResponseHeaders) filter).edit())
            .toList());
  }
}
