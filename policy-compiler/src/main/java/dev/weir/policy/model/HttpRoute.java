// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import dev.weir.policy.plan.ProxyPlan;
import dev.weir.policy.plan.ProxyPlan.Match;
import dev.weir.policy.plan.ProxyPlan.Retry;
import dev.weir.policy.plan.ProxyPlan.RouteKind;
import dev.weir.policy.plan.ProxyPlan.SessionPersistence;
import dev.weir.policy.source.Position;
import java.util.List;
import java.util.Optional;

/**
 * A {@code gateway.networking.k8s.io HTTPRoute} or {@code GRPCRoute}.
 *
 * @param type which of the two
 * @param meta name and place
 * @param parents what it attaches to
 * @param hostnames it serves, in lower case; empty for all of its listeners'
 * @param rules in file order
 * @param limits what this version does not do
 */
public record HttpRoute(
    RouteKind type,
    Meta meta,
    List<Reference> parents,
    List<String> hostnames,
    List<Rule> rules,
    List<Limit> limits)
    implements Route {
  /** Copies the lists. */
  public HttpRoute {
    parents = List.copyOf(parents);
    hostnames = List.copyOf(hostnames);
    rules = List.copyOf(rules);
    limits = List.copyOf(limits);
  }

  @Override
  public String kind() {
    return type == RouteKind.GRPC ? "GRPCRoute" : "HTTPRoute";
  }

  /**
   * One rule.
   *
   * @param name empty when it has none
   * @param matches any of them; never empty
   * @param filters in file order
   * @param backends with weights
   * @param requestTimeoutMillis 0 for none
   * @param backendTimeoutMillis 0 for none
   * @param retry of tries that failed
   * @param session which requests stay with one backend
   * @param at where it begins
   */
  public record Rule(
      String name,
      List<Match> matches,
      List<Filter> filters,
      List<Backend> backends,
      long requestTimeoutMillis,
      long backendTimeoutMillis,
      Optional<Retry> retry,
      Optional<SessionPersistence> session,
      Position at) {
    /** Copies the lists. */
    public Rule {
      matches = List.copyOf(matches);
      filters = List.copyOf(filters);
      backends = List.copyOf(backends);
    }
  }

  /** A backend with its share. */
  public record Backend(Reference reference, int weight, List<Filter> filters) {
    /** Copies the list. */
    public Backend {
      filters = List.copyOf(filters);
    }
  }

  /** What happens to a request or response on its way. */
  public sealed interface Filter {
    /** One that needs nothing else of the cluster. */
    record Plain(ProxyPlan.Filter filter) implements Filter {}

    /** A copy of {@code numerator} of {@code denominator} requests goes to a backend as well. */
    record Mirror(Reference reference, int numerator, int denominator) implements Filter {}
  }
}
