// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.route;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.ProxyPlan.Route;
import dev.weir.policy.plan.ProxyPlan.RouteRule;
import dev.weir.policy.plan.TrafficPolicy;
import dev.weir.policy.plan.TrafficPolicy.StickyKey;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import net.jqwik.api.constraints.Size;
import org.junit.jupiter.api.Test;

final class StickySplitTest {

  private static final TrafficPolicy.StickySplit COOKIE =
      new TrafficPolicy.StickySplit(StickyKey.COOKIE, "user", 3600);

  private static StickySplit split(String route, List<Integer> weights) {
    return split(COOKIE, route, weights);
  }

  private static StickySplit split(
      TrafficPolicy.StickySplit setting, String route, List<Integer> weights) {
    RouteRule rule = new RouteRule(List.of(), List.of(), List.of(), 0, 0);
    return new StickySplit(
        setting,
        new Route(route, 1, List.of(), List.of(rule)),
        rule,
        0,
        IntStream.range(0, weights.size())
            .mapToObj(i -> new StickySplit.Share("shop/v" + i + ":80", weights.get(i)))
            .toList());
  }

  private static boolean[] only(int index) {
    boolean[] which = new boolean[index + 1];
    which[index] = true;
    return which;
  }

  private static Request request(Map<String, String> headers) {
    return new Request("GET", "shop.example", "/", "", headers);
  }

  /** Binomial: three standard deviations, and one more for what is cut to whole numbers. */
  private static double tolerance(int clients, double share) {
    return 3 * Math.sqrt(clients * share * (1 - share)) + 1;
  }

  @Test
  void clientsAreSplitWithinThreeSigmaOfTheWeights() {
    int clients = 100_000;
    for (List<Integer> weights :
        List.of(
            List.of(99, 1), List.of(90, 10), List.of(1, 1), List.of(5, 3, 2), List.of(999, 1))) {
      int total = weights.stream().mapToInt(Integer::intValue).sum();
      for (String named : List.of("user", "", "tenant-")) {
        StickySplit split = split("shop/cart", weights);
        int[] counts = new int[weights.size()];
        for (int client = 0; client < clients; client++) {
          counts[split.choose(named + client)]++;
        }
        for (int i = 0; i < counts.length; i++) {
          double share = (double) weights.get(i) / total;
          assertThat(Math.abs(counts[i] - clients * share))
              .as("%s of %s for \"%s\"", i, weights, named)
              .isLessThan(tolerance(clients, share));
        }
      }
    }
  }

  @Property(tries = 300)
  void moreForTheCanaryOnlyMovesClientsOfTheStableOne(
      @ForAll @IntRange(max = 100) int before, @ForAll @IntRange(max = 100) int after) {
    int less = Math.min(before, after);
    int more = Math.max(before, after);
    StickySplit old = split("shop/cart", List.of(100 - less, less));
    StickySplit now = split("shop/cart", List.of(100 - more, more));
    for (int client = 0; client < 500; client++) {
      if (old.choose("client" + client) == 1) {
        assertThat(now.choose("client" + client)).isEqualTo(1);
      }
    }
  }

  @Property(tries = 200)
  void aWeightThatGrowsOnlyMovesClientsToItsBackend(
      @ForAll @Size(min = 2, max = 8) List<@IntRange(min = 1, max = 100) Integer> weights,
      @ForAll @IntRange(max = 7) int which,
      @ForAll @IntRange(min = 1, max = 1000) int growth) {
    int grown = which % weights.size();
    List<Integer> later = new ArrayList<>(weights);
    later.set(grown, later.get(grown) + growth);
    StickySplit old = split("shop/cart", weights);
    StickySplit now = split("shop/cart", later);
    for (int client = 0; client < 300; client++) {
      int chosen = now.choose("client" + client);
      if (chosen != grown) {
        assertThat(chosen).isEqualTo(old.choose("client" + client));
      }
    }
  }

  @Property(tries = 200)
  void withoutABackendOnlyItsClientsMove(
      @ForAll @Size(min = 2, max = 8) List<@IntRange(min = 1, max = 100) Integer> weights,
      @ForAll @IntRange(max = 7) int which) {
    int gone = which % weights.size();
    StickySplit split = split("shop/cart", weights);
    for (int client = 0; client < 300; client++) {
      int with = split.choose("client" + client);
      int without = split.choose("client" + client, only(gone));
      assertThat(without).isNotEqualTo(gone);
      if (with != gone) {
        assertThat(without).isEqualTo(with);
      }
    }
  }

  @Test
  void theOrderOfTheBackendsMakesNoDifference() {
    RouteRule rule = new RouteRule(List.of(), List.of(), List.of(), 0, 0);
    Route route = new Route("shop/cart", 1, List.of(), List.of(rule));
    var a = new StickySplit.Share("shop/a:80", 3);
    var b = new StickySplit.Share("shop/b:80", 1);
    StickySplit one = new StickySplit(COOKIE, route, rule, 0, List.of(a, b));
    StickySplit other = new StickySplit(COOKIE, route, rule, 0, List.of(b, a));
    for (int client = 0; client < 1000; client++) {
      assertThat(one.choose("c" + client)).isEqualTo(1 - other.choose("c" + client));
    }
  }

  @Test
  void routesDrawIndependently() {
    StickySplit cart = split("shop/cart", List.of(1, 1));
    StickySplit other = split("shop/orders", List.of(1, 1));
    int clients = 10_000;
    int same = 0;
    for (int client = 0; client < clients; client++) {
      same += cart.choose("user" + client) == other.choose("user" + client) ? 1 : 0;
    }
    assertThat(Math.abs(same - clients / 2.0)).isLessThan(tolerance(clients, 0.5));
  }

  @Test
  void aBackendWithoutWeightGetsNobodyAndNobodyIsNoBackend() {
    for (int client = 0; client < 100; client++) {
      assertThat(split("r", List.of(0, 1)).choose("c" + client)).isEqualTo(1);
    }
    assertThat(split("r", List.of(0, 0)).choose("c")).isEqualTo(-1);
    assertThat(split("r", List.of(0, 1)).choose("c", only(1))).isEqualTo(-1);
  }

  @Test
  void aClientIsToldByItsCookieHeaderOrWorkload() {
    StickySplit cookie = split("r", List.of(1, 1));
    assertThat(cookie.key(request(Map.of("cookie", "a=b; user=7; c=d")), "shop/web"))
        .isEqualTo("7");
    assertThat(cookie.key(request(Map.of("cookie", "user=")), "shop/web")).isNull();
    assertThat(cookie.key(request(Map.of()), "shop/web")).isNull();
    StickySplit header =
        split(new TrafficPolicy.StickySplit(StickyKey.HEADER, "x-user", 0), "r", List.of(1, 1));
    assertThat(header.key(request(Map.of("x-user", "seven")), "")).isEqualTo("seven");
    assertThat(header.key(request(Map.of()), "shop/web")).isNull();
    StickySplit source =
        split(new TrafficPolicy.StickySplit(StickyKey.SOURCE_IDENTITY, "", 0), "r", List.of(1, 1));
    assertThat(source.key(request(Map.of()), "shop/web")).isEqualTo("shop/web");
    assertThat(source.key(request(Map.of()), "")).isNull();
  }
}
