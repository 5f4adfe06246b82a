// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.route;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.ProxyPlan.Match;
import dev.weir.policy.plan.ProxyPlan.PathMatch;
import dev.weir.policy.plan.ProxyPlan.Route;
import dev.weir.policy.plan.ProxyPlan.RouteRule;
import dev.weir.policy.plan.ProxyPlan.ValueMatch;
import dev.weir.policy.plan.ProxyPlan.WeightedBackend;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import net.jqwik.api.Arbitraries;
import net.jqwik.api.Arbitrary;
import net.jqwik.api.Combinators;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.Provide;
import org.junit.jupiter.api.Test;

final class RouteTableTest {

  /** A match with where it stands, for the slow matcher. */
  private record Placed(String hostname, Match match, int route, int rule, int index) {}

  @Property(tries = 3000)
  void findsWhatASlowMatcherFinds(
      @ForAll("routes") List<Route> routes, @ForAll("requests") Request request) {
    Optional<RouteMatch> found = RouteTable.compile(routes).match(request);
    Optional<Placed> expected = slow(routes, request);
    assertThat(found.map(m -> m.match())).isEqualTo(expected.map(Placed::match));
    assertThat(found.map(m -> m.route().name() + "/" + m.ruleIndex() + "/" + m.matchIndex()))
        .isEqualTo(expected.map(p -> "r" + p.route + "/" + p.rule + "/" + p.index));
  }

  /** Every match of every route that holds, the best one last standing. */
  private static Optional<Placed> slow(List<Route> routes, Request request) {
    Optional<Placed> best = Optional.empty();
    for (int r = 0; r < routes.size(); r++) {
      Route route = routes.get(r);
      List<String> hostnames = route.hostnames().isEmpty() ? List.of("") : route.hostnames();
      for (int rule = 0; rule < route.rules().size(); rule++) {
        for (String hostname : hostnames) {
          List<Match> matches = route.rules().get(rule).matches();
          for (int m = 0; m < matches.size(); m++) {
            Placed placed = new Placed(hostname, matches.get(m), r, rule, m);
            if (holds(placed, request) && (best.isEmpty() || better(placed, best.get()))) {
              best = Optional.of(placed);
            }
          }
        }
      }
    }
    return best;
  }

  private static boolean better(Placed a, Placed b) {
    int[] left = rank(a);
    int[] right = rank(b);
    for (int i = 0; i < left.length; i++) {
      if (left[i] != right[i]) {
        return left[i] > right[i];
      }
    }
    return false;
  }

  private static int[] rank(Placed placed) {
    boolean exactHost = !placed.hostname.isEmpty() && !placed.hostname.startsWith("*");
    int kind =
        switch (placed.match.path()) {
          case PathMatch.Exact exact -> 2;
          case PathMatch.Regex regex -> 1;
          case PathMatch.Prefix prefix -> 0;
          case PathMatch.Grpc grpc -> throw new IllegalStateException("never made here");
        };
    int length =
        switch (placed.match.path()) {
          case PathMatch.Exact(String path) -> path.length();
          case PathMatch.Regex(String path) -> path.length();
          case PathMatch.Grpc grpc -> throw new IllegalStateException("never made here");
          case PathMatch.Prefix(String path) ->
              path.endsWith("/") ? path.length() - 1 : path.length();
        };
    return new int[] {
      exactHost ? 1 : 0,
      placed.hostname.length(),
      kind,
      length,
      placed.match.method().isPresent() ? 1 : 0,
      placed.match.headers().size(),
      placed.match.query().size()
    };
  }

  private static boolean holds(Placed placed, Request request) {
    Match match = placed.match;
    String host = placed.hostname;
    boolean hostHolds =
        host.isEmpty()
            || (host.startsWith("*")
                ? request.host().endsWith(host.substring(1))
                    && request.host().length() > host.length() - 1
                : host.equals(request.host()));
    boolean pathHolds =
        switch (match.path()) {
          case PathMatch.Exact(String path) -> path.equals(request.path());
          case PathMatch.Regex(String path) -> request.path().matches(path);
          case PathMatch.Grpc grpc -> throw new IllegalStateException("never made here");
          case PathMatch.Prefix(String path) -> {
            String prefix = path.endsWith("/") ? path.substring(0, path.length() - 1) : path;
            yield request.path().equals(prefix) || request.path().startsWith(prefix + "/");
          }
        };
    boolean headersHold =
        match.headers().stream().allMatch(h -> h.value().equals(request.headers().get(h.name())));
    boolean queryHolds =
        match.query().stream()
            .allMatch(
                q -> List.of(request.query().split("&", -1)).contains(q.name() + "=" + q.value()));
    return hostHolds
        && pathHolds
        && headersHold
        && queryHolds
        && match.method().map(request.method()::equals).orElse(true);
  }

  private static Arbitrary<String> path() {
    return Arbitraries.of("/", "/a", "/a/", "/a/b", "/ab", "/a/b/c", "/b", "/a/bc");
  }

  private static Arbitrary<String> host() {
    return Arbitraries.of("x.test", "y.test", "a.x.test", "test", "other");
  }

  @Provide
  Arbitrary<Request> requests() {
    return Combinators.combine(
            Arbitraries.of("GET", "POST"),
            host(),
            path(),
            Arbitraries.of("", "v=1", "v=2", "v=1&w=1"),
            Arbitraries.maps(Arbitraries.of("one", "two"), Arbitraries.of("1", "2")))
        .as(Request::new);
  }

  @Provide
  Arbitrary<List<Route>> routes() {
    Arbitrary<PathMatch> paths =
        Arbitraries.oneOf(
            path().map(PathMatch.Exact::new),
            path().map(PathMatch.Prefix::new),
            Arbitraries.of("/a.*", "/[ab]", "/.*/c").map(PathMatch.Regex::new));
    Arbitrary<List<ValueMatch>> headers =
        Combinators.combine(Arbitraries.of("one", "two"), Arbitraries.of("1", "2"))
            .as((name, value) -> new ValueMatch(name, value, false))
            .list()
            .ofMaxSize(2);
    Arbitrary<List<ValueMatch>> query =
        Combinators.combine(Arbitraries.of("v", "w"), Arbitraries.of("1", "2"))
            .as((name, value) -> new ValueMatch(name, value, false))
            .list()
            .ofMaxSize(2);
    Arbitrary<Match> match =
        Combinators.combine(paths, headers, query, Arbitraries.of("GET", "POST").optional())
            .as(Match::new);
    Arbitrary<RouteRule> rule =
        match
            .list()
            .ofMinSize(1)
            .ofMaxSize(3)
            .map(matches -> new RouteRule(matches, List.of(), List.of(), 0, 0));
    Arbitrary<List<String>> hostnames =
        Arbitraries.oneOf(host(), Arbitraries.of("*.test", "*.x.test"))
            .list()
            .uniqueElements()
            .ofMaxSize(2);
    Arbitrary<List<Route>> routes =
        Combinators.combine(hostnames, rule.list().ofMinSize(1).ofMaxSize(3))
            .as((names, rules) -> new Route("r", 0, names, rules))
            .list()
            .ofMaxSize(4);
    return routes.map(
        list -> {
          List<Route> named = new ArrayList<>();
          for (Route route : list) {
            named.add(new Route("r" + named.size(), 0, route.hostnames(), route.rules()));
          }
          return named;
        });
  }

  private static Route route(String hostname, PathMatch path) {
    return new Route(
        hostname + path,
        0,
        hostname.isEmpty() ? List.of() : List.of(hostname),
        List.of(
            new RouteRule(
                List.of(new Match(path, List.of(), List.of(), Optional.empty())),
                List.of(),
                List.of(),
                0,
                0)));
  }

  private static Request get(String host, String path) {
    return new Request("GET", host, path, "", Map.of());
  }

  @Test
  void aPrefixMatchesWholeElementsOnly() {
    RouteTable table = RouteTable.compile(List.of(route("", new PathMatch.Prefix("/abc"))));
    assertThat(table.match(get("h", "/abc"))).isPresent();
    assertThat(table.match(get("h", "/abc/"))).isPresent();
    assertThat(table.match(get("h", "/abc/d"))).isPresent();
    assertThat(table.match(get("h", "/abcd"))).isEmpty();
  }

  @Test
  void aStarStandsForAtLeastOneLabel() {
    RouteTable table = RouteTable.compile(List.of(route("*.shop.test", new PathMatch.Prefix("/"))));
    assertThat(table.match(get("a.shop.test", "/"))).isPresent();
    assertThat(table.match(get("a.b.shop.test", "/"))).isPresent();
    assertThat(table.match(get("shop.test", "/"))).isEmpty();
  }

  @Test
  void queryParametersAreDecodedBeforeTheyAreCompared() {
    Match match =
        new Match(
            new PathMatch.Prefix("/"),
            List.of(),
            List.of(new ValueMatch("na me", "a&b", false)),
            Optional.empty());
    RouteTable table =
        RouteTable.compile(
            List.of(
                new Route(
                    "q",
                    0,
                    List.of(),
                    List.of(new RouteRule(List.of(match), List.of(), List.of(), 0, 0)))));
    assertThat(table.match(new Request("GET", "h", "/", "x=1&na+me=a%26b", Map.of()))).isPresent();
    assertThat(table.match(new Request("GET", "h", "/", "na+me=a&b", Map.of()))).isEmpty();
  }

  @Test
  void aRecompiledTableGoesOnWithTheTurns() {
    Route half =
        new Route(
            "half",
            0,
            List.of(),
            List.of(
                new RouteRule(
                    List.of(
                        new Match(
                            new PathMatch.Prefix("/"), List.of(), List.of(), Optional.empty())),
                    List.of(),
                    List.of(
                        new WeightedBackend(0, 1, List.of()), new WeightedBackend(1, 1, List.of())),
                    0,
                    0)));
    RouteTable table = RouteTable.compile(List.of(half));
    List<Integer> picks = new ArrayList<>();
    for (int i = 0; i < 10; i++) {
      picks.add(table.match(get("h", "/")).orElseThrow().schedule().next());
      table = RouteTable.compile(List.of(half), Optional.of(table));
    }
    assertThat(picks.stream().filter(pick -> pick == 0).count()).isEqualTo(5);
  }
}
