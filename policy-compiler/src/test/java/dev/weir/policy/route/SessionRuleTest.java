// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.route;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.ProxyPlan.Match;
import dev.weir.policy.plan.ProxyPlan.PathMatch;
import dev.weir.policy.plan.ProxyPlan.Route;
import dev.weir.policy.plan.ProxyPlan.RouteRule;
import dev.weir.policy.plan.ProxyPlan.SessionPersistence;
import dev.weir.policy.route.SessionKey.Session;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

final class SessionRuleTest {

  private static final SessionKey KEY = new SessionKey(secret(1));

  private static byte[] secret(int seed) {
    byte[] secret = new byte[SessionKey.SECRET_BYTES];
    new Random(seed).nextBytes(secret);
    return secret;
  }

  private static RouteRule rule(String name, PathMatch path) {
    return new RouteRule(
        name,
        List.of(new Match(path, List.of(), List.of(), Optional.empty())),
        List.of(),
        List.of(),
        0,
        0,
        Optional.empty(),
        Optional.empty());
  }

  private static SessionRule session(SessionPersistence.Type type, long absolute, long idle) {
    return new SessionRule(
        new SessionPersistence(type, "sid", absolute, idle, false),
        "shop/cart",
        rule("", new PathMatch.Prefix("/")),
        0);
  }

  private static RequestView with(String name, String value) {
    return new Request("GET", "", "/", "", Map.of(name, value));
  }

  private static final HeaderEditor<List<String>> EDITOR =
      new HeaderEditor<>() {
        @Override
        public void set(List<String> headers, String name, String value) {
          headers.add(name + ": " + value);
        }

        @Override
        public void add(List<String> headers, String name, String value) {
          headers.add(name + ": " + value);
        }

        @Override
        public void remove(List<String> headers, String name) {
          headers.removeIf(header -> header.startsWith(name + ":"));
        }
      };

  @Test
  void aTokenTellsItsSessionToWhoHasTheKey() {
    SessionRule rule = session(SessionPersistence.Type.COOKIE, 0, 0);
    Session session =
        new Session(KEY.tag(rule.scope(), "10.0.0.7:8080"), 1_800_000_000_123L, 1_800_000_009_456L);
    String token = KEY.token(rule.scope(), session);
    assertThat(token).hasSize(48).matches("[-_A-Za-z0-9]+");
    assertThat(rule.of(with("cookie", "a=b; sid=" + token + "; c=d"), KEY, 0)).contains(session);
    assertThat(rule.of(with("cookie", "sid=stale; sid=" + token), KEY, 0)).contains(session);
    assertThat(rule.of(with("cookie", "xsid=" + token), KEY, 0)).isEmpty();
    assertThat(rule.of(with("cookie", "sid=" + token), new SessionKey(secret(2)), 0)).isEmpty();
  }

  @Test
  void nothingOfTheAddressIsInAToken() {
    SessionRule rule = session(SessionPersistence.Type.COOKIE, 0, 0);
    String tag = KEY.tag(rule.scope(), "10.0.0.7:8080");
    String bytes = new String(Base64.getUrlDecoder().decode(tag), StandardCharsets.ISO_8859_1);
    assertThat(bytes).doesNotContain("10.0").doesNotContain("\n\0\0\7");
    // And it cannot be told by trying addresses without the key.
    assertThat(new SessionKey(secret(2)).tag(rule.scope(), "10.0.0.7:8080")).isNotEqualTo(tag);
  }

  @Test
  void whateverIsChangedMakesItNoToken() {
    SessionRule rule = session(SessionPersistence.Type.HEADER, 0, 0);
    String token =
        KEY.token(rule.scope(), new Session(KEY.tag(rule.scope(), "10.0.0.7:8080"), 1, 2));
    for (int i = 0; i < token.length(); i++) {
      char other = token.charAt(i) == 'A' ? 'B' : 'A';
      String changed = token.substring(0, i) + other + token.substring(i + 1);
      assertThat(rule.of(with("sid", changed), KEY, 0)).isEmpty();
    }
    assertThat(rule.of(with("sid", token + "A"), KEY, 0)).isEmpty();
    assertThat(rule.of(with("sid", ""), KEY, 0)).isEmpty();
    assertThat(rule.of(with("sid", token), KEY, 0)).isPresent();
  }

  @Test
  void rulesDoNotShareSessions() {
    SessionPersistence named =
        new SessionPersistence(SessionPersistence.Type.HEADER, "sid", 0, 0, false);
    RouteRule anonymous = rule("", new PathMatch.Prefix("/"));
    SessionRule first = new SessionRule(named, "shop/cart", anonymous, 0);
    SessionRule second = new SessionRule(named, "shop/cart", anonymous, 1);
    String token = KEY.token(first.scope(), new Session(KEY.tag(first.scope(), "a:1"), 1, 1));
    assertThat(second.of(with("sid", token), KEY, 0)).isEmpty();
    SessionPersistence unnamed =
        new SessionPersistence(SessionPersistence.Type.COOKIE, "", 0, 0, false);
    assertThat(new SessionRule(unnamed, "shop/cart", anonymous, 0).name())
        .startsWith("weir-session-")
        .isNotEqualTo(new SessionRule(unnamed, "shop/cart", anonymous, 1).name());
    // A rule's name stays when the rule moves.
    RouteRule checkout = rule("checkout", new PathMatch.Prefix("/"));
    assertThat(new SessionRule(unnamed, "shop/cart", checkout, 0).scope())
        .isEqualTo(new SessionRule(unnamed, "shop/cart", checkout, 3).scope());
  }

  @Test
  void aSessionEndsWithEitherTimeout() {
    SessionRule rule = session(SessionPersistence.Type.HEADER, 1_000, 300);
    String tag = KEY.tag(rule.scope(), "a:1");
    String fresh = KEY.token(rule.scope(), new Session(tag, 10_000, 10_000));
    assertThat(rule.of(with("sid", fresh), KEY, 10_299)).isPresent();
    assertThat(rule.of(with("sid", fresh), KEY, 10_300)).isEmpty();
    String used = KEY.token(rule.scope(), new Session(tag, 10_000, 10_900));
    assertThat(rule.of(with("sid", used), KEY, 10_999)).isPresent();
    assertThat(rule.of(with("sid", used), KEY, 11_000)).isEmpty();
  }

  @ParameterizedTest
  @CsvSource({
    "Prefix, /, /",
    "Prefix, /shop, /shop",
    "Prefix, /shop;v=1/x, /",
    "Prefix, /a/shop;v=1/x, /a",
    "Exact, /shop/cart, /shop/cart",
    "Regex, /p1/p2/*/p3, /p1/p2",
    "Regex, /v[0-9]+/cart, /",
    "Regex, /shop/cart, /shop/cart",
    "Regex, /shop/a|/b, /",
  })
  void theCookieIsForThePathOfTheMatch(String kind, String path, String expected) {
    PathMatch match =
        switch (kind) {
          case "Exact" -> new PathMatch.Exact(path);
          case "Regex" -> new PathMatch.Regex(path);
          default -> new PathMatch.Prefix(path.equals("/") ? "/" : path);
        };
    RouteRule rule = rule("", match);
    RouteMatch met =
        new RouteMatch(
            new Route("shop/cart", 0, List.of(), List.of(rule)),
            "",
            0,
            0,
            rule,
            rule.matches().getFirst(),
            Schedule.of(List.of()));
    assertThat(SessionRule.path(met)).isEqualTo(expected);
  }

  @Test
  void aPermanentCookieLastsAsLongAsTheSession() {
    RouteRule rule = rule("", new PathMatch.Prefix("/shop"));
    SessionRule session =
        new SessionRule(
            new SessionPersistence(SessionPersistence.Type.COOKIE, "sid", 60_000, 0, true),
            "shop/cart",
            rule,
            0);
    RouteMatch met =
        new RouteMatch(
            new Route("shop/cart", 0, List.of(), List.of(rule)),
            "",
            0,
            0,
            rule,
            rule.matches().getFirst(),
            Schedule.of(List.of()));
    List<String> headers = new ArrayList<>();
    Session begun = new Session(KEY.tag(session.scope(), "a:1"), 1_000, 31_000);
    session.write(headers, EDITOR, KEY, begun, met, true, 31_000);
    assertThat(headers)
        .singleElement()
        .asString()
        .matches(
            "Set-Cookie: sid=[-_A-Za-z0-9]{48}; Path=/shop; Max-Age=30; Secure; HttpOnly;"
                + " SameSite=Strict");
  }
}
