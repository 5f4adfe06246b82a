// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.route;

import com.google.re2j.Pattern;
import dev.weir.policy.plan.ProxyPlan.Match;
import dev.weir.policy.plan.ProxyPlan.PathMatch;
import dev.weir.policy.plan.ProxyPlan.Route;
import dev.weir.policy.plan.ProxyPlan.RouteRule;
import dev.weir.policy.plan.ProxyPlan.ValueMatch;
import dev.weir.policy.plan.ProxyPlan.WeightedBackend;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;

/**
 * The routes of one listener or service, ordered and indexed. Immutable but for the turns of its
 * schedules; safe for any number of threads. A look-up allocates nothing unless several prefixes
 * are in use.
 */
public final class RouteTable {

  private final List<Host> hosts;
  private final Map<RuleKey, AtomicLong> turns;

  private RouteTable(List<Host> hosts, Map<RuleKey, AtomicLong> turns) {
    this.hosts = hosts;
    this.turns = turns;
  }

  /**
   * Compiles routes.
   *
   * @param routes in order of precedence
   * @throws com.google.re2j.PatternSyntaxException when a pattern is not one
   */
  public static RouteTable compile(List<Route> routes) {
    return compile(routes, Optional.empty());
  }

  /**
   * Compiles routes; rules that the previous table has too (same route, same index) go on with its
   * turns.
   */
  public static RouteTable compile(List<Route> routes, Optional<RouteTable> previous) {
    Map<RuleKey, AtomicLong> turns = new HashMap<>();
    Map<String, List<Candidate>> byHost = new HashMap<>();
    int order = 0;
    for (Route route : routes) {
      for (int ruleIndex = 0; ruleIndex < route.rules().size(); ruleIndex++) {
        RouteRule rule = route.rules().get(ruleIndex);
        RuleKey key = new RuleKey(route.name(), ruleIndex);
        AtomicLong turn =
            turns.computeIfAbsent(
                key, k -> previous.map(table -> table.turns.get(k)).orElseGet(AtomicLong::new));
        Schedule schedule =
            Schedule.of(rule.backends().stream().map(WeightedBackend::weight).toList(), turn);
        List<String> hostnames = route.hostnames().isEmpty() ? List.of("") : route.hostnames();
        for (String hostname : hostnames) {
          String host = hostname.toLowerCase(Locale.ROOT);
          for (int matchIndex = 0; matchIndex < rule.matches().size(); matchIndex++) {
            Match match = rule.matches().get(matchIndex);
            RouteMatch result =
                new RouteMatch(route, host, ruleIndex, matchIndex, rule, match, schedule);
            byHost.computeIfAbsent(host, h -> new ArrayList<>()).add(Candidate.of(result, order++));
          }
        }
      }
    }
    List<Host> hosts = new ArrayList<>();
    byHost.forEach((hostname, candidates) -> hosts.add(Host.of(hostname, candidates)));
    hosts.sort(
        Comparator.comparing(Host::exact)
            .thenComparingInt((Host host) -> host.hostname.length())
            .reversed()
            .thenComparing((Host host) -> host.hostname));
    return new RouteTable(List.copyOf(hosts), Map.copyOf(turns));
  }

  /** The rule a request meets; empty when it meets none. */
  public Optional<RouteMatch> match(RequestView request) {
    for (int i = 0; i < hosts.size(); i++) {
      Host host = hosts.get(i);
      if (host.serves(request.host())) {
        Candidate found = host.find(request);
        if (found != null) {
          return found.result;
        }
      }
    }
    return Optional.empty();
  }

  static String withoutTrailingSlash(String path) {
    return path.endsWith("/") ? path.substring(0, path.length() - 1) : path;
  }

  private record RuleKey(String route, int rule) {}

  /** All matches of one hostname. */
  private record Host(
      String hostname,
      Map<String, List<Candidate>> exactPaths,
      List<Candidate> patterns,
      Map<String, List<Candidate>> prefixes,
      List<Candidate> root) {

    static Host of(String hostname, List<Candidate> candidates) {
      candidates.sort(Candidate.PRECEDENCE);
      Map<String, List<Candidate>> exact = new HashMap<>();
      Map<String, List<Candidate>> prefixes = new HashMap<>();
      List<Candidate> patterns = new ArrayList<>();
      List<Candidate> root = new ArrayList<>();
      for (Candidate candidate : candidates) {
        switch (candidate.match.path()) {
          case PathMatch.Exact(String path) ->
              exact.computeIfAbsent(path, p -> new ArrayList<>()).add(candidate);
          case PathMatch.Regex regex -> patterns.add(candidate);
          case PathMatch.Grpc(String service, String method, boolean regex) -> {
            if (regex || service.isEmpty() || method.isEmpty()) {
              patterns.add(candidate);
            } else {
              exact
                  .computeIfAbsent("/" + service + "/" + method, p -> new ArrayList<>())
                  .add(candidate);
            }
          }
          case PathMatch.Prefix(String path) -> {
            String prefix = withoutTrailingSlash(path);
            if (prefix.isEmpty()) {
              root.add(candidate);
            } else {
              prefixes.computeIfAbsent(prefix, p -> new ArrayList<>()).add(candidate);
            }
          }
        }
      }
      return new Host(
          hostname, lists(exact), List.copyOf(patterns), lists(prefixes), List.copyOf(root));
    }

    private static Map<String, List<Candidate>> lists(Map<String, List<Candidate>> lists) {
      Map<String, List<Candidate>> copies = new HashMap<>();
      lists.forEach((path, list) -> copies.put(path, List.copyOf(list)));
      return Map.copyOf(copies);
    }

    boolean exact() {
      return !hostname.isEmpty() && !hostname.startsWith("*.");
    }

    boolean serves(String host) {
      return Hostnames.serves(hostname, host);
    }

    @Nullable Candidate find(RequestView request) {
      String path = request.path();
      if (!exactPaths.isEmpty()) {
        Candidate found = first(exactPaths.get(path), request);
        if (found != null) {
          return found;
        }
      }
      for (int i = 0; i < patterns.size(); i++) {
        Candidate candidate = patterns.get(i);
        if (candidate.pathMatches(path) && candidate.restMatches(request)) {
          return candidate;
        }
      }
      if (!path.startsWith("/")) {
        return null;
      }
      if (!prefixes.isEmpty()) {
        int end = path.length();
        while (end > 0) {
          Candidate found = first(prefixes.get(path.substring(0, end)), request);
          if (found != null) {
            return found;
          }
          end = path.lastIndexOf('/', end - 1);
        }
      }
      return first(root, request);
    }

    private static @Nullable Candidate first(
        @Nullable List<Candidate> candidates, RequestView request) {
      if (candidates != null) {
        for (int i = 0; i < candidates.size(); i++) {
          Candidate candidate = candidates.get(i);
          if (candidate.restMatches(request)) {
            return candidate;
          }
        }
      }
      return null;
    }
  }

  /** One match, ready to be tried. */
  private record Candidate(
      Optional<RouteMatch> result,
      Match match,
      int order,
      @Nullable Pattern path,
      List<Value> headers,
      List<Value> query) {

    /** Within one hostname. Regular expressions come before prefixes; the API leaves it open. */
    static final Comparator<Candidate> PRECEDENCE =
        Comparator.comparingInt((Candidate c) -> rank(c.match.path()))
            .thenComparingInt(c -> -length(c.match.path()))
            .thenComparing(c -> c.match.method().isEmpty())
            .thenComparingInt(c -> -c.headers.size())
            .thenComparingInt(c -> -c.query.size())
            .thenComparingInt(Candidate::order);

    static Candidate of(RouteMatch result, int order) {
      Match match = result.match();
      return new Candidate(
          Optional.of(result),
          match,
          order,
          pattern(match.path()),
          match.headers().stream().map(Value::of).toList(),
          match.query().stream().map(Value::of).toList());
    }

    private static @Nullable Pattern pattern(PathMatch path) {
      return switch (path) {
        case PathMatch.Exact exact -> null;
        case PathMatch.Prefix prefix -> null;
        case PathMatch.Regex(String pattern) -> RegularExpression.compile(pattern);
        case PathMatch.Grpc(String service, String method, boolean regex) ->
            RegularExpression.compile("/" + part(service, regex) + "/" + part(method, regex));
      };
    }

    /** An element of a path: any, a pattern, or a text. */
    private static String part(String text, boolean regex) {
      return text.isEmpty() ? "[^/]+" : regex ? "(?:" + text + ")" : Pattern.quote(text);
    }

    private static int rank(PathMatch path) {
      return switch (path) {
        case PathMatch.Exact exact -> 0;
        case PathMatch.Regex regex -> 1;
        case PathMatch.Grpc grpc -> 1;
        case PathMatch.Prefix prefix -> 2;
      };
    }

    private static int length(PathMatch path) {
      return switch (path) {
        case PathMatch.Exact(String text) -> text.length();
        case PathMatch.Regex(String text) -> text.length();
        case PathMatch.Prefix(String text) -> withoutTrailingSlash(text).length();
        // The longer service decides, then the longer method (GRPCRouteSpec.rules); a name has at
        // most 1024 characters.
        case PathMatch.Grpc(String service, String method, boolean regex) ->
            service.length() * 2048 + method.length();
      };
    }

    boolean pathMatches(String text) {
      // Neither a service nor a method has a slash, whatever their patterns would take.
      boolean possible =
          !(match.path() instanceof PathMatch.Grpc)
              || text.indexOf('/', 1) == text.lastIndexOf('/');
      return possible && path != null && path.matcher(text).matches();
    }

    boolean restMatches(RequestView request) {
      if (match.method().isPresent() && !match.method().get().equals(request.method())) {
        return false;
      }
      for (int i = 0; i < headers.size(); i++) {
        Value header = headers.get(i);
        String value = request.header(header.name);
        if (value == null || !header.holds(value)) {
          return false;
        }
      }
      for (int i = 0; i < query.size(); i++) {
        Value parameter = query.get(i);
        String value = Query.first(request.query(), parameter.name);
        if (value == null || !parameter.holds(value)) {
          return false;
        }
      }
      return true;
    }
  }

  private record Value(String name, String exact, @Nullable Pattern pattern) {
    static Value of(ValueMatch match) {
      return new Value(
          match.name(),
          match.value(),
          match.regex() ? RegularExpression.compile(match.value()) : null);
    }

    boolean holds(String value) {
      return pattern == null ? exact.equals(value) : pattern.matcher(value).matches();
    }
  }
}
