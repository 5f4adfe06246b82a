// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.lint;

import dev.weir.policy.cluster.Cluster;
import dev.weir.policy.model.HttpRoute;
import dev.weir.policy.model.L4Route;
import dev.weir.policy.model.Reference;
import dev.weir.policy.plan.ProxyPlan.Match;
import dev.weir.policy.plan.ProxyPlan.PathMatch;
import dev.weir.policy.plan.ProxyPlan.ValueMatch;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** About routes. */
final class RouteLints {

  private final Cluster cluster;
  private final Findings findings;

  /** Who has a match first, by parent, host name and match. */
  private final Map<List<Object>, Owner> taken = new HashMap<>();

  private record Owner(HttpRoute route, int rule) {}

  RouteLints(Cluster cluster, Findings findings) {
    this.cluster = cluster;
    this.findings = findings;
  }

  void run() {
    // Gateway API: of equal matches the oldest route's counts, then by name, then the first rule's.
    List<HttpRoute> routes =
        cluster.all(HttpRoute.class).stream()
            .sorted(
                Comparator.comparing(
                        (HttpRoute r) -> r.meta().created().isEmpty() ? "~" : r.meta().created())
                    .thenComparing(r -> r.meta().namespace())
                    .thenComparing(r -> r.meta().name()))
            .toList();
    for (HttpRoute route : routes) {
      for (int i = 0; i < route.rules().size(); i++) {
        HttpRoute.Rule rule = route.rules().get(i);
        if (!rule.backends().isEmpty() && rule.backends().stream().allMatch(b -> b.weight() == 0)) {
          findings.add(
              Lint.NO_SHARE,
              route,
              rule.at(),
              "spec.rules[" + i + "].backendRefs",
              "weights sum to zero: every request of the rule is answered 500",
              "give one of them a weight");
        }
        for (int m = 0; m < rule.matches().size(); m++) {
          shadowed(route, i, m);
        }
      }
    }
    for (L4Route route : cluster.all(L4Route.class)) {
      if (!route.backends().isEmpty() && route.backends().stream().allMatch(b -> b.weight() == 0)) {
        findings.add(
            Lint.NO_SHARE,
            route,
            route.backends().getFirst().reference().at(),
            "spec.rules[0].backendRefs",
            "weights sum to zero: every connection is refused",
            "give one of them a weight");
      }
    }
  }

  /**
   * By the Gateway API's precedence a match that covers more never goes before one that covers
   * less. So only an equal match can take every request, and it does when it comes first.
   */
  private void shadowed(HttpRoute route, int rule, int match) {
    Object key = canonical(route.rules().get(rule).matches().get(match));
    List<String> hosts = route.hostnames().isEmpty() ? List.of("*") : route.hostnames();
    Owner first = null;
    boolean everywhere = true;
    boolean any = false;
    for (Reference parent : route.parents()) {
      for (String host : hosts) {
        Owner owner = taken.putIfAbsent(place(route, parent, host, key), new Owner(route, rule));
        any = true;
        everywhere &= owner != null && !(owner.route().equals(route) && owner.rule() == rule);
        first = first == null ? owner : first;
      }
    }
    if (any && everywhere && first != null) {
      findings.add(
          Lint.SHADOWED,
          route,
          route.rules().get(rule).at(),
          "spec.rules[" + rule + "].matches[" + match + "]",
          "never takes a request: rule "
              + first.rule()
              + " of "
              + first.route().id()
              + " at "
              + first.route().rules().get(first.rule()).at()
              + " matches the same and goes first",
          "remove it, or let it match something else");
    }
  }

  private static List<Object> place(HttpRoute route, Reference parent, String host, Object match) {
    return List.of(
        route.type(),
        parent.kind(),
        parent.namespace().orElse(route.meta().namespace()),
        parent.name(),
        parent.sectionName().orElse(""),
        parent.port(),
        // A consumer route is only for its own namespace.
        parent.kind().equals("Service") ? route.meta().namespace() : "",
        host,
        match);
  }

  private static Object canonical(Match match) {
    Object path = match.path();
    if (match.path() instanceof PathMatch.Prefix prefix
        && prefix.path().length() > 1
        && prefix.path().endsWith("/")) {
      path = new PathMatch.Prefix(prefix.path().substring(0, prefix.path().length() - 1));
    }
    Comparator<ValueMatch> order = Comparator.comparing(ValueMatch::toString);
    return List.of(
        path,
        match.headers().stream().sorted(order).toList(),
        match.query().stream().sorted(order).toList(),
        match.method());
  }
}
