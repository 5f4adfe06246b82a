// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.route;

import dev.weir.policy.plan.ProxyPlan.Filter;
import dev.weir.policy.plan.ProxyPlan.HeaderEdit;
import dev.weir.policy.plan.ProxyPlan.RouteRule;
import dev.weir.policy.plan.ProxyPlan.WeightedBackend;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * What a rule of a route does to a request and its response.
 *
 * @param redirect instead of asking a backend
 * @param rewrite of the request target
 * @param cors what browsers are told
 * @param request changes of its headers
 * @param response changes of its headers
 * @param mirrors who gets a copy
 * @param choices one per backend reference, in the order of the rule's schedule
 * @param requestTimeoutMillis 0 for none
 * @param backendTimeoutMillis 0 for none
 * @param retry of tries that failed; empty when the rule asks for none
 */
public record RouteAction(
    Optional<Filter.Redirect> redirect,
    Optional<Filter.Rewrite> rewrite,
    Optional<Cors> cors,
    HeaderEdits request,
    HeaderEdits response,
    List<Filter.Mirror> mirrors,
    List<Choice> choices,
    long requestTimeoutMillis,
    long backendTimeoutMillis,
    Optional<RetryPolicy> retry) {

  /** Copies the lists. */
  public RouteAction {
    mirrors = List.copyOf(mirrors);
    choices = List.copyOf(choices);
  }

  /**
   * One backend reference.
   *
   * @param cluster index in the plan; -1 when the reference is invalid
   * @param weight as the rule gives it
   * @param request changes of headers for this backend only, after the rule's
   * @param response changes of headers of this backend only, after the rule's
   */
  public record Choice(int cluster, int weight, HeaderEdits request, HeaderEdits response) {}

  /** Of a rule. */
  public static RouteAction of(RouteRule rule) {
    return new RouteAction(
        all(rule.filters(), Filter.Redirect.class).stream().findFirst(),
        all(rule.filters(), Filter.Rewrite.class).stream().findFirst(),
        all(rule.filters(), Filter.Cors.class).stream().findFirst().map(Cors::new),
        requestEdits(rule.filters()),
        responseEdits(rule.filters()),
        all(rule.filters(), Filter.Mirror.class),
        rule.backends().stream().map(RouteAction::choice).toList(),
        rule.requestTimeoutMillis(),
        rule.backendTimeoutMillis(),
        rule.retry().map(RetryPolicy::new));
  }

  private static Choice choice(WeightedBackend backend) {
    return new Choice(
        backend.cluster(),
        backend.weight(),
        requestEdits(backend.filters()),
        responseEdits(backend.filters()));
  }

  private static <T extends Filter> List<T> all(List<Filter> filters, Class<T> type) {
    return filters.stream().filter(type::isInstance).map(type::cast).toList();
  }

  private static HeaderEdits requestEdits(List<Filter> filters) {
    List<HeaderEdit> edits = new ArrayList<>();
    all(filters, Filter.RequestHeaders.class).forEach(filter -> edits.add(filter.edit()));
    return HeaderEdits.of(edits);
  }

  private static HeaderEdits responseEdits(List<Filter> filters) {
    List<HeaderEdit> edits = new ArrayList<>();
    all(filters, Filter.ResponseHeaders.class).forEach(filter -> edits.add(filter.edit()));
    return HeaderEdits.of(edits);
  }

  /** The request target that a backend gets. */
  public RequestTarget target(RequestTarget target, RouteMatch match) {
    return rewrite.isPresent() && rewrite.get().path().isPresent()
        ? Rewrites.rewrite(target, rewrite.get().path().get(), match)
        : target;
  }

  /** The host that a backend is told instead of the request's, if another one. */
  public Optional<String> host() {
    return rewrite.isPresent() ? rewrite.get().hostname() : Optional.empty();
  }

  /** Makes the changes of a request's headers for one backend. */
  public <H> void editRequest(H headers, HeaderEditor<H> editor, Choice choice) {
    request.apply(headers, editor);
    choice.request().apply(headers, editor);
    if (host().isPresent()) {
      editor.set(headers, "host", host().get());
    }
  }

  /** Makes the changes of a request's headers for a mirror, which no backend's own are for. */
  public <H> void editMirrored(H headers, HeaderEditor<H> editor) {
    request.apply(headers, editor);
    if (host().isPresent()) {
      editor.set(headers, "host", host().get());
    }
  }

  /** Makes the changes of a response's headers that came from a backend. */
  public <H> void editResponse(H headers, HeaderEditor<H> editor, Choice choice) {
    response.apply(headers, editor);
    choice.response().apply(headers, editor);
  }
}
