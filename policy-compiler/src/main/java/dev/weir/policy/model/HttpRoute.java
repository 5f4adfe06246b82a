// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import dev.weir.policy.plan.ProxyPlan.Filter;
import dev.weir.policy.plan.ProxyPlan.Match;
import dev.weir.policy.source.Position;
import java.util.List;

/**
 * A {@code gateway.networking.k8s.io HTTPRoute}.
 *
 * @param meta name and place
 * @param parents what it attaches to
 * @param hostnames it serves, in lower case; empty for all of its listeners'
 * @param rules in file order
 */
public record HttpRoute(
    Meta meta, List<Reference> parents, List<String> hostnames, List<Rule> rules)
    implements Resource {
  /** Copies the lists. */
  public HttpRoute {
    parents = List.copyOf(parents);
    hostnames = List.copyOf(hostnames);
    rules = List.copyOf(rules);
  }

  @Override
  public String kind() {
    return "HTTPRoute";
  }

  /**
   * One rule.
   *
   * @param matches any of them; never empty
   * @param filters in file order
   * @param backends with weights
   * @param requestTimeoutMillis 0 for none
   * @param backendTimeoutMillis 0 for none
   * @param at where it begins
   */
  public record Rule(
      List<Match> matches,
      List<Filter> filters,
      List<Backend> backends,
      long requestTimeoutMillis,
      long backendTimeoutMillis,
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
}
