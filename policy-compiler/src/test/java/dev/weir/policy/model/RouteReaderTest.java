// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.ProxyPlan;
import dev.weir.policy.plan.ProxyPlan.PathMatch;
import dev.weir.policy.plan.ProxyPlan.Retry;
import dev.weir.policy.plan.ProxyPlan.SessionPersistence;
import dev.weir.policy.source.Diagnostic;
import dev.weir.policy.source.Diagnostics;
import dev.weir.policy.source.SourceTree;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What routes say, and what an API server refuses of them. */
class RouteReaderTest {

  private final Diagnostics diagnostics = new Diagnostics();

  private List<Resource> read(String kind, String spec) {
    return ResourceReader.read(
        SourceTree.of(
            "f",
            "apiVersion: gateway.networking.k8s.io/v1\nkind: "
                + kind
                + "\nmetadata: {name: r}\nspec: "
                + spec
                + "\n"),
        diagnostics);
  }

  private HttpRoute.Rule rule(String rule) {
    HttpRoute route = (HttpRoute) read("HTTPRoute", "{rules: [" + rule + "]}").getFirst();
    assertThat(diagnostics.errors()).isEmpty();
    return route.rules().getFirst();
  }

  private static <T> T only(HttpRoute.Rule rule, Class<T> type) {
    HttpRoute.Filter.Plain plain = (HttpRoute.Filter.Plain) rule.filters().getFirst();
    return type.cast(plain.filter());
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      textBlock =
          """
          HTTPRoute | {filters: [{type: RequestRedirect, requestRedirect: {}}], backendRefs: [{name: a, port: 1}]} | a rule that redirects has no backends
          HTTPRoute | {filters: [{type: RequestRedirect, requestRedirect: {}}, {type: URLRewrite, urlRewrite: {}}]} | exclude each other
          HTTPRoute | {filters: [{type: URLRewrite, urlRewrite: {}}, {type: URLRewrite, urlRewrite: {}}]} | URLRewrite occurs twice
          HTTPRoute | {filters: [{type: URLRewrite, cors: {}, urlRewrite: {}}]} | does not go with type URLRewrite
          HTTPRoute | {filters: [{type: URLRewrite, urlRewrite: {hostname: '*.a'}}]} | a wildcard is no host
          HTTPRoute | {matches: [{path: {type: Exact, value: /a}}], filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}]} | of type PathPrefix
          HTTPRoute | {filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: a, value: b}, {name: a, value: c}]}}]} | "a" occurs twice
          HTTPRoute | {filters: [{type: RequestMirror, requestMirror: {backendRef: {name: a, port: 1}, percent: 1, fraction: {numerator: 1}}}]} | stands beside percent
          HTTPRoute | {filters: [{type: RequestMirror, requestMirror: {backendRef: {name: a, port: 1}, fraction: {numerator: 3, denominator: 2}}}]} | more than the denominator
          HTTPRoute | {filters: [{type: CORS, cors: {allowOrigins: ['*', 'https://a']}}]} | has * beside others
          HTTPRoute | {filters: [{type: CORS, cors: {allowOrigins: ['ftp://a']}}]} | is no origin
          HTTPRoute | {filters: [{type: Odd}]} | one of: CORS, ExtensionRef
          HTTPRoute | {matches: [{path: {value: '/a b'}}]} | has a character that no path can have
          HTTPRoute | {matches: [{path: {value: '/a/../b'}}]} | contains /../
          HTTPRoute | {matches: [{headers: [{name: a, value: ''}]}]} | has 0 characters
          HTTPRoute | {matches: [{method: FETCH}]} | is no method of HTTP
          HTTPRoute | {backendRefs: [{name: a, port: 1, weight: 1000001}]} | must be from 0 to 1000000
          HTTPRoute | {timeouts: {request: 1s, backendRequest: 1001ms}} | is longer than request
          HTTPRoute | {retry: {codes: [399]}} | must be from 400 to 599
          HTTPRoute | {sessionPersistence: {cookieConfig: {lifetimeType: Permanent}}} | needs an end
          HTTPRoute | {sessionPersistence: {type: Header, cookieConfig: {}}} | goes with type Cookie only
          HTTPRoute | {name: a}, {name: a} | "a" occurs twice
          GRPCRoute | {matches: [{method: {}}]} | names neither service nor method
          GRPCRoute | {matches: [{method: {service: 'a/b'}}]} | is no service of gRPC
          GRPCRoute | {matches: [{method: {method: 'a.b'}}]} | is no method of gRPC
          GRPCRoute | {matches: [{method: {type: RegularExpression, service: '('}}]} | is no regular expression
          GRPCRoute | {filters: [{type: URLRewrite, urlRewrite: {}}]} | one of: ExtensionRef, RequestHeaderModifier
          TCPRoute | {backendRefs: []} | name a Service
          TLSRoute | {backendRefs: [{name: a, port: 1}]}, {backendRefs: [{name: a, port: 1}]} | a second rule can never be met
          """)
  void isRefusedWithItsReason(String kind, String rule, String reason) {
    read(kind, "{rules: [" + rule + "]}");
    assertThat(diagnostics.errors().stream().map(Diagnostic::toString))
        .anySatisfy(e -> assertThat(e).contains(reason));
  }

  @Test
  void theSameParentTwiceIsRefused() {
    read("HTTPRoute", "{parentRefs: [{name: g}, {name: g, namespace: default}]}");
    assertThat(diagnostics.errors())
        .singleElement()
        .satisfies(e -> assertThat(e.message()).contains("the same parent occurs twice"));
  }

  @Test
  void aRequestTimeoutOfZeroIsNone() {
    HttpRoute.Rule rule = rule("{timeouts: {request: 0s, backendRequest: 1m30s}}");
    assertThat(rule.requestTimeoutMillis()).isZero();
    assertThat(rule.backendTimeoutMillis()).isEqualTo(90_000);
  }

  @Test
  void aMirrorWithoutAShareMirrorsEverything() {
    HttpRoute.Rule rule =
        rule("{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: a, port: 1}}}]}");
    assertThat(rule.filters().getFirst())
        .isInstanceOfSatisfying(
            HttpRoute.Filter.Mirror.class,
            m -> assertThat((double) m.numerator() / m.denominator()).isEqualTo(1));
  }

  @Test
  void corsHasItsDefaults() {
    ProxyPlan.Filter.Cors cors =
        only(
            rule(
                "{filters: [{type: CORS, cors: {allowOrigins: ['https://*.Shop.example:8443']}}]}"),
            ProxyPlan.Filter.Cors.class);
    assertThat(cors.allowOrigins()).containsExactly("https://*.shop.example:8443");
    assertThat(cors.maxAgeSeconds()).isEqualTo(5);
    assertThat(cors.allowCredentials()).isFalse();
  }

  @Test
  void retriesAreRead() {
    assertThat(rule("{retry: {codes: [503, 500, 503], attempts: 3, backoff: 250ms}}").retry())
        .contains(new Retry(List.of(503, 500), 3, 250));
  }

  @Test
  void sessionsAreCookiesUnlessTheySayOtherwise() {
    assertThat(
            rule("{sessionPersistence: {sessionName: s, absoluteTimeout: 1h, idleTimeout: 5m}}")
                .session())
        .contains(
            new SessionPersistence(SessionPersistence.Type.COOKIE, "s", 3_600_000, 300_000, false));
  }

  @Test
  void ofHeadersThatDifferInCaseOnlyTheFirstCounts() {
    ProxyPlan.Filter.RequestHeaders headers =
        only(
            rule(
                "{filters: [{type: RequestHeaderModifier, requestHeaderModifier:"
                    + " {set: [{name: a, value: b}, {name: A, value: c}]}}]}"),
            ProxyPlan.Filter.RequestHeaders.class);
    assertThat(headers.edit().set()).extracting(ProxyPlan.Header::value).containsExactly("b");
  }

  @Test
  void aGrpcMatchIsServiceAndMethod() {
    HttpRoute route =
        (HttpRoute)
            read("GRPCRoute", "{rules: [{matches: [{method: {service: a.B, method: C}}]}]}")
                .getFirst();
    assertThat(route.rules().getFirst().matches().getFirst().path())
        .isEqualTo(new PathMatch.Grpc("a.B", "C", false));
  }

  @Test
  void grpcRoutesAreServed() {
    HttpRoute route = (HttpRoute) read("GRPCRoute", "{rules: [{}]}").getFirst();
    assertThat(route.limits()).isEmpty();
    assertThat(diagnostics.errors()).isEmpty();
  }
}
