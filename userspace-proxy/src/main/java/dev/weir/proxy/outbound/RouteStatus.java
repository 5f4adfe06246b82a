// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.outbound;

import dev.weir.policy.plan.ProxyPlan.Match;
import dev.weir.policy.plan.ProxyPlan.PathMatch;
import dev.weir.policy.plan.Rule;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;

/**
 * A route that is served, as the status tells it.
 *
 * @param kind of the object, as {@code HTTPRoute}; {@code Service} for what one does without routes
 * @param name {@code namespace/name}
 * @param source file and line; empty when it is of no file
 * @param parents where its requests or connections come in, with the hostnames that count there
 * @param rules of it; of connections there is one
 */
public record RouteStatus(
    String kind, String name, String source, List<Parent> parents, List<RuleStatus> rules) {

  /** Copies the lists. */
  public RouteStatus {
    parents = List.copyOf(parents);
    rules = List.copyOf(rules);
  }

  /**
   * Where a route is attached.
   *
   * @param name {@code Service namespace/name:port} or {@code Gateway namespace/name/listener}
   * @param hostnames of the route there; empty for all
   */
  public record Parent(String name, List<String> hostnames) {
    /** Copies the list. */
    public Parent {
      hostnames = List.copyOf(hostnames);
    }
  }

  /**
   * One rule.
   *
   * @param name as the route gives it; empty when it gives none
   * @param matches for people, any of them; empty for all connections
   * @param backends in their order
   */
  public record RuleStatus(String name, List<String> matches, List<BackendStatus> backends) {
    /** Copies the lists. */
    public RuleStatus {
      matches = List.copyOf(matches);
      backends = List.copyOf(backends);
    }
  }

  /**
   * A backend of a rule.
   *
   * @param cluster {@code namespace/service:port}; empty when the reference is invalid
   * @param weight as the route says
   * @param weightNow 0 while the backend is a canary that is rolled back
   */
  public record BackendStatus(String cluster, int weight, int weightNow) {}

  /**
   * Routes that are served.
   *
   * @param routes by name, as many as were asked for
   * @param total how many there are
   */
  public record Listing(List<RouteStatus> routes, int total) {
    /** Copies the list. */
    public Listing {
      routes = List.copyOf(routes);
    }
  }

  /**
   * Which route it is, wherever it is attached. What a Service does without routes is one by the
   * Service's name, for a rule of whatever led it to the proxy.
   *
   * @param rule of the plan
   */
  record Key(int rule, String name) {}

  private static final Comparator<Key> ORDER =
      Comparator.comparing(Key::name).thenComparingInt(Key::rule);

  /**
   * The routes of entrances.
   *
   * @param rules of the plan
   * @param most how many of them
   */
  static Listing of(Collection<Entrance> entrances, List<Rule> rules, int most) {
    Map<Key, List<Entrance>> attached = new TreeMap<>(ORDER);
    for (Entrance entrance : entrances) {
      entrance
          .routes()
          .distinct()
          .forEach(key -> attached.computeIfAbsent(key, k -> new ArrayList<>()).add(entrance));
    }
    return new Listing(
        attached.entrySet().stream()
            .limit(most)
            .map(entry -> of(entry.getKey(), rules.get(entry.getKey().rule()), entry.getValue()))
            .toList(),
        attached.size());
  }

  private static RouteStatus of(Key key, Rule rule, List<Entrance> at) {
    boolean written = key.name().equals(rule.namespace() + "/" + rule.name());
    return new RouteStatus(
        written ? rule.kind() : "Service",
        key.name(),
        written && !rule.file().isEmpty() ? rule.file() + ":" + rule.line() : "",
        // A service has an entrance for each of its addresses.
        at.stream().flatMap(entrance -> entrance.parents(key)).distinct().toList(),
        at.getFirst().rules(key));
  }

  /** A match in words: {@code GET PathPrefix /cart, 1 header}. */
  static String describe(Match match) {
    return match.method().map(m -> m + " ").orElse("")
        + switch (match.path()) {
          case PathMatch.Exact(String path) -> "Exact " + path;
          case PathMatch.Prefix(String path) -> "PathPrefix " + path;
          case PathMatch.Regex(String pattern) -> "RegularExpression " + pattern;
          case PathMatch.Grpc(String service, String method, boolean regex) ->
              "call of " + or(service) + "/" + or(method) + (regex ? " (patterns)" : "");
        }
        + match.headers().stream()
            .map(h -> ", header " + h.name() + (h.regex() ? "~" : "=") + h.value())
            .collect(Collectors.joining())
        + match.query().stream()
            .map(q -> ", query " + q.name() + (q.regex() ? "~" : "=") + q.value())
            .collect(Collectors.joining());
  }

  private static String or(String part) {
    return part.isEmpty() ? "*" : part;
  }
}
