// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.route;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.ProxyPlan.Match;
import dev.weir.policy.plan.ProxyPlan.PathMatch;
import dev.weir.policy.plan.ProxyPlan.Route;
import dev.weir.policy.plan.ProxyPlan.RouteKind;
import dev.weir.policy.plan.ProxyPlan.RouteRule;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Calls of gRPC: the longer service decides, then the longer method. */
class GrpcMatchTest {

  private record Call(String path) implements RequestView {
    @Override
    public String method() {
      return "POST";
    }

    @Override
    public String host() {
      return "x";
    }

    @Override
    public String query() {
      return "";
    }

    @Override
    public @Nullable String header(String name) {
      return null;
    }
  }

  private static final List<PathMatch> MATCHES =
      List.of(
          new PathMatch.Prefix("/"),
          new PathMatch.Grpc("", "Get", false),
          new PathMatch.Grpc("shop.Cart", "", false),
          new PathMatch.Grpc("shop.Cart", "Get", false),
          new PathMatch.Grpc("shop\\.[A-Z].*", "", true),
          new PathMatch.Grpc("a+b", "", false));

  private static final RouteTable TABLE = RouteTable.compile(List.of(route()));

  private static Route route() {
    List<RouteRule> rules = new ArrayList<>();
    for (PathMatch path : MATCHES) {
      rules.add(
          new RouteRule(
              List.of(new Match(path, List.of(), List.of(), Optional.empty())),
              List.of(),
              List.of(),
              0,
              0));
    }
    return new Route(RouteKind.GRPC, "shop/r", 1, List.of(), rules);
  }

  @ParameterizedTest
  @CsvSource({
    "/shop.Cart/Get, 3",
    "/shop.Cart/Set, 4",
    "/shop.Order/Set, 4",
    "/other/Get, 1",
    "/other/Set, 0",
    "/shopXCart/Set, 0",
    "/a+b/X, 5",
    "/aab/X, 0",
    "/shop.Cart/Get/More, 0"
  })
  void meetsTheMostSpecificRule(String path, int rule) {
    assertThat(TABLE.match(new Call(path)).orElseThrow().ruleIndex()).isEqualTo(rule);
  }
}
