// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.lint;

import dev.weir.policy.cluster.Cluster;
import dev.weir.policy.model.HttpRoute;
import dev.weir.policy.model.L4Route;
import dev.weir.policy.model.Reference;
import dev.weir.policy.model.Route;
import dev.weir.policy.plan.ProxyPlan.Match;
import dev.weir.policy.plan.ProxyPlan.PathMatch;
import dev.weir.policy.plan.ProxyPlan.ValueMatch;
import dev.weir.policy.source.Lint;
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

  /** Which route has the connections of a parent and server name. */
  private final Map<List<Object>, L4Route> connections = new HashMap<>();

  private record Owner(HttpRoute route, int rule) {}

  RouteLints(Cluster cluster, Findings findings) {
    this.cluster = cluster;
    this.findings = findings;
  }

  void run() {
    for (HttpRoute route : byPrecedence(cluster.all(HttpRoute.class))) {
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
    for (L4Route route : byPrecedence(cluster.all(L4Route.class))) {
      shadowed(route);
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

  /** Gateway API: of equal matches the oldest route's counts, then by name. */
  private static <T extends Route> List<T> byPrecedence(List<T> routes) {
    return routes.stream()
        .sorted(
            Comparator.comparing((T r) -> r.meta().created().isEmpty() ? "~" : r.meta().created())
                .thenComparing(r -> r.meta().namespace())
                .thenComparing(r -> r.meta().name()))
        .toList();
  }

  /** Of connections, a listener gives those of one server name to one route. */
  private void shadowed(L4Route route) {
    L4Route first = null;
    boolean everywhere = !route.parents().isEmpty();
    for (Reference parent : route.parents()) {
      for (String host : route.hostnames().isEmpty() ? List.of("*") : route.hostnames()) {
        L4Route owner = connections.putIfAbsent(place(route, route.kind(), parent, host), route);
        // Of several routes at a Service, steering keeps one and says so.
        everywhere &= owner != null && !parent.kind().equals("Service");
        first = first == null ? owner : first;
      }
    }
    if (everywhere && first != null) {
      findings.add(
          Lint.SHADOWED,
          route,
          route.meta().at(),
          "spec.parentRefs",
          "never takes a connection: "
              + first.id()
              + " at "
              + first.meta().at()
              + " has the same parents and server names and goes first",
          "remove one of the two");
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
        Owner owner = taken.putIfAbsent(place(route, key, parent, host), new Owner(route, rule));
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

  private static List<Object> place(Route route, Object match, Reference parent, String host) {
    return List.of(
        route.kind(),
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
