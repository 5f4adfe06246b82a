// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.route;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.ProxyPlan.Filter;
import dev.weir.policy.plan.ProxyPlan.Match;
import dev.weir.policy.plan.ProxyPlan.PathEdit;
import dev.weir.policy.plan.ProxyPlan.PathMatch;
import dev.weir.policy.plan.ProxyPlan.Route;
import dev.weir.policy.plan.ProxyPlan.RouteRule;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

final class RewritesTest {

  private static RouteMatch match(String prefix, String path) {
    Route route =
        new Route(
            "r",
            0,
            List.of(),
            List.of(
                new RouteRule(
                    List.of(
                        new Match(
                            new PathMatch.Prefix(prefix), List.of(), List.of(), Optional.empty())),
                    List.of(),
                    List.of(),
                    0,
                    0)));
    return RouteTable.compile(List.of(route))
        .match(new Request("GET", "h", path, "", Map.of()))
        .orElseThrow();
  }

  /** The table of the Gateway API's HTTPPathModifier.replacePrefixMatch. */
  @ParameterizedTest
  @CsvSource({
    "/foo/bar, /foo, /xyz, /xyz/bar",
    "/foo/bar, /foo, /xyz/, /xyz/bar",
    "/foo/bar, /foo/, /xyz, /xyz/bar",
    "/foo/bar, /foo/, /xyz/, /xyz/bar",
    "/foo, /foo, /xyz, /xyz",
    "/foo/, /foo, /xyz, /xyz/",
    "/foo/bar, /foo, '', /bar",
    "/foo/, /foo, '', /",
    "/foo, /foo, '', /",
    "/foo/, /foo, /, /",
    "/foo, /foo, /, /",
    "/bar, /, /xyz, /xyz/bar"
  })
  void aPrefixIsReplaced(String path, String prefix, String replacement, String result) {
    RequestTarget target = RequestTarget.parse(path).orElseThrow();
    assertThat(
            Rewrites.rewrite(target, new PathEdit.Prefix(replacement), match(prefix, path)).path())
        .isEqualTo(result);
  }

  @Test
  void aRedirectKeepsWhatItDoesNotName() {
    RequestTarget target = RequestTarget.parse("/a?q=1").orElseThrow();
    RouteMatch match = match("/", "/a");
    assertThat(
            Rewrites.location(
                    new Filter.Redirect(
                        Optional.of("https"),
                        Optional.empty(),
                        Optional.empty(),
                        Optional.empty(),
                        301),
                    "http",
                    "shop.test",
                    8080,
                    target,
                    match)
                .text())
        .isEqualTo("https://shop.test/a?q=1");
    assertThat(
            Rewrites.location(
                    new Filter.Redirect(
                        Optional.empty(),
                        Optional.of("other.test"),
                        Optional.of(new PathEdit.Full("/b")),
                        Optional.empty(),
                        302),
                    "http",
                    "shop.test",
                    8080,
                    target,
                    match)
                .text())
        .isEqualTo("http://other.test:8080/b?q=1");
    assertThat(
            Rewrites.location(
                    new Filter.Redirect(
                        Optional.empty(), Optional.empty(), Optional.empty(), Optional.of(81), 302),
                    "http",
                    "shop.test",
                    80,
                    target,
                    match)
                .text())
        .isEqualTo("http://shop.test:81/a?q=1");
  }
}
