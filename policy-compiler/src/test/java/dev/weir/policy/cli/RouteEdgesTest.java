// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.json.JsonObject;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import picocli.CommandLine;

/**
 * What the Gateway API's text says of single requests (HTTPRouteRule, HTTPRouteMatch,
 * HTTPPathModifier, HTTPRequestRedirectFilter, HTTPCORSFilter), asked of {@code weir route}.
 */
class RouteEdgesTest {

  private static final String SERVICES =
      """
      apiVersion: v1
      kind: Service
      metadata: {name: a}
      spec: {ports: [{port: 80}]}
      ---
      apiVersion: v1
      kind: Service
      metadata: {name: b}
      spec: {ports: [{port: 80}]}
      ---
      apiVersion: gateway.networking.k8s.io/v1
      kind: Gateway
      metadata: {name: g}
      spec: {gatewayClassName: weir, listeners: [{name: http, protocol: HTTP, port: 8080}]}
      ---
      apiVersion: gateway.networking.k8s.io/v1
      kind: HTTPRoute
      metadata: {name: r}
      spec:
        parentRefs: [{name: g}]
        rules:
      """;

  private static final String A = ", backendRefs: [{name: a, port: 80}]}";
  private static final String B = ", backendRefs: [{name: b, port: 80}]}";

  @TempDir private Path directory;

  private JsonObject ask(String rules, String request) throws Exception {
    StringBuilder text = new StringBuilder(SERVICES);
    rules.lines().forEach(line -> text.append("    - ").append(line).append('\n'));
    Path files = Files.writeString(directory.resolve("files.yaml"), text.toString());
    Path cases =
        Files.writeString(
            directory.resolve("cases.jsonl"),
            "{\"from\": {\"gateway\": \"default/g\"}, \"request\": " + request + "}");
    StringWriter out = new StringWriter();
    CommandLine line = PolicyTool.commandLine();
    line.setOut(new PrintWriter(out));
    line.setErr(new PrintWriter(out));
    assertThat(line.execute("route", files.toString(), "--cases", cases.toString()))
        .as(out.toString())
        .isEqualTo(ExitCodes.OK);
    return JsonObject.parse(out.toString(), "answer");
  }

  private static String backend(JsonObject answer) {
    return answer.objects("backends").isEmpty()
        ? String.valueOf(answer.integer("status", 0, 999))
        : answer.objects("backends").getFirst().text("name");
  }

  private String path(String rules, String path) throws Exception {
    return backend(ask(rules, "{\"path\": \"" + path + "\"}"));
  }

  @ParameterizedTest
  @CsvSource({
    "Exact, /a, /a, a",
    "Exact, /a, /a/, 404",
    "Exact, /a, /A, 404",
    "Exact, /a/, /a, 404",
    "PathPrefix, /a, /a, a",
    "PathPrefix, /a, /a/, a",
    "PathPrefix, /a, /ab, 404",
    "PathPrefix, /a/, /a, a",
    "PathPrefix, /a/, /a/b, a",
    "PathPrefix, /a/, /ab, 404",
    "PathPrefix, /, /anything, a",
    "PathPrefix, /a, /a?q=1, a",
    "PathPrefix, /a, /a%2Fb, 404",
    "RegularExpression, /a.*, /ab/c, a",
    "RegularExpression, /a, /a/b, 404",
    "Exact, /%7ea, /~a, a",
    "Exact, /~a, /%7Ea, a",
    "Exact, /%c3%a9, /%C3%A9, a",
    "PathPrefix, /x/y, /x/../x/./y/z, a",
  })
  void aPathMatches(String type, String value, String path, String expected) throws Exception {
    String rule = "{matches: [{path: {type: " + type + ", value: '" + value + "'}}]" + A;
    assertThat(path(rule, path)).isEqualTo(expected);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        // Exact before prefix, the longer prefix first, then method, headers, query.
        "path: {value: /a/b} | path: {type: Exact, value: /a} | /a | b",
        "path: {value: /a} | path: {value: /a/b} | /a/b/c | b",
        "path: {value: /a/b} | path: {value: /a}, method: GET | /a/b | a",
        "headers: [{name: x, value: '1'}, {name: y, value: '2'}] | method: GET | / | b",
        "queryParams: [{name: q, value: '1'}, {name: p, value: '2'}]"
            + " | headers: [{name: x, value: '1'}] | /?q=1&p=2 | b",
        "headers: [{name: x, value: '1'}]"
            + " | headers: [{name: X, value: '1'}, {name: Y, value: '2'}] | / | b",
        // All alike: the first rule.
        "headers: [{name: x, value: '1'}] | headers: [{name: y, value: '2'}] | / | a",
        // Of repeated names only the first counts.
        "headers: [{name: x, value: '9'}, {name: X, value: '1'}] | path: {value: /} | / | b",
      })
  void theMoreSpecificMatchIsMet(String first, String second, String path, String expected)
      throws Exception {
    String rules = "{matches: [{" + first + "}]" + A + "\n{matches: [{" + second + "}]" + B;
    assertThat(
            backend(
                ask(
                    rules,
                    "{\"path\": \"" + path + "\", \"headers\": {\"X\": \"1\", \"y\": \"2\"}}")))
        .isEqualTo(expected);
  }

  @ParameterizedTest
  @CsvSource({
    "q, a b, /?q=a%20b, a", "q, a b, /?q=a+b, a", "q, A, /?q=a, 404", "q, '1', /?Q=1, 404",
    "q, '1', /?q=1&q=2, a", "q, '2', /?q=1&q=2, 404", "q, '1', /?qq=1, 404", "q, '1', /, 404",
  })
  void aQueryParameterMatches(String name, String value, String path, String expected)
      throws Exception {
    String rule = "{matches: [{queryParams: [{name: " + name + ", value: '" + value + "'}]}]" + A;
    assertThat(path(rule, path)).isEqualTo(expected);
  }

  @ParameterizedTest
  @CsvSource({
    "'1,2', a",
    "1, 404",
    "'.*2', 404",
  })
  void theValuesOfAHeaderAreJoined(String value, String expected) throws Exception {
    String rule = "{matches: [{headers: [{name: x, value: '" + value + "'}]}]" + A;
    assertThat(backend(ask(rule, "{\"headers\": {\"x\": \"1,2\"}}"))).isEqualTo(expected);
  }

  @Test
  void theHostCanBeMatchedAsAHeader() throws Exception {
    String rule = "{matches: [{headers: [{name: Host, value: shop.example}]}]" + A;
    assertThat(backend(ask(rule, "{\"host\": \"shop.example\"}"))).isEqualTo("a");
    assertThat(backend(ask(rule, "{\"host\": \"other.example\"}"))).isEqualTo("404");
  }

  @ParameterizedTest
  @CsvSource({
    "/p, ReplacePrefixMatch, /x, /p/q?k=v, /x/q?k=v", "/p, ReplacePrefixMatch, x, /p/q, /x/q",
    "/p, ReplacePrefixMatch, '', /p, /", "/, ReplacePrefixMatch, /x, /, /x/",
    "/, ReplacePrefixMatch, /x/, /q, /x/q", "/p/, ReplacePrefixMatch, /, /p/q/, /q/",
    "/p, ReplaceFullPath, /x, /p/q?k=v, /x?k=v", "/p, ReplaceFullPath, '', /p/q, /",
    "/p, ReplaceFullPath, x, /p, /x",
  })
  void aPathIsRewritten(String prefix, String type, String to, String path, String expected)
      throws Exception {
    String field = type.equals("ReplaceFullPath") ? "replaceFullPath" : "replacePrefixMatch";
    String edit = "{type: " + type + ", " + field + ": '" + to + "'}";
    String start = "{matches: [{path: {value: '" + prefix + "'}}], filters: [";
    JsonObject rewritten =
        ask(
            start + "{type: URLRewrite, urlRewrite: {path: " + edit + "}}]" + A,
            "{\"path\": \"" + path + "\"}");
    assertThat(rewritten.object("backend_request").text("path")).isEqualTo(expected);
    JsonObject redirected =
        ask(
            start + "{type: RequestRedirect, requestRedirect: {path: " + edit + "}}]}",
            "{\"path\": \"" + path + "\"}");
    assertThat(redirected.object("redirect").text("path"))
        .isEqualTo(expected.replaceAll("\\?.*", ""));
  }

  @ParameterizedTest
  @CsvSource({
    "scheme: https, https, ''",
    "scheme: http, http, ''",
    "'port: 8443', http, 8443",
    "'scheme: https, port: 443', https, ''",
    "'scheme: https, port: 80', https, 80",
    "hostname: h.example, http, 8080",
    "'port: 80', http, ''",
  })
  void thePortOfARedirect(String redirect, String scheme, String port) throws Exception {
    JsonObject answer =
        ask(
            "{filters: [{type: RequestRedirect, requestRedirect: {" + redirect + "}}]}",
            "{\"host\": \"shop.example:8080\"}");
    assertThat(answer.integer("status", 0, 999)).isEqualTo(302);
    assertThat(answer.object("redirect").text("scheme")).isEqualTo(scheme);
    assertThat(answer.object("redirect").optionalText("port").orElse("")).isEqualTo(port);
  }

  @ParameterizedTest
  @CsvSource({
    "https://a.example, https://a.example, true", "https://a.example, http://a.example, false",
    "https://a.example, https://a.example:443, true", "https://*.example, https://a.example, true",
    "https://*.example, https://b.a.example, true", "https://*.example, https://example, false",
    "https://*.example, https://aexample, false", "'*', http://x.test, true",
    "https://a.example:8443, https://a.example, false",
  })
  void anOriginIsAllowed(String allowed, String origin, boolean expected) throws Exception {
    String rule =
        "{filters: [{type: CORS, cors: {allowOrigins: ['"
            + allowed
            + "'], allowCredentials: true, allowMethods: ['*'], exposeHeaders: [x-y]}}]"
            + A;
    JsonObject preflight =
        ask(
            rule,
            "{\"method\": \"OPTIONS\", \"headers\": {\"Origin\": \""
                + origin
                + "\", \"Access-Control-Request-Method\": \"PUT\"}}");
    Map<String, String> headers = preflight.textMap("response_headers");
    assertThat(preflight.integer("status", 0, 999)).isEqualTo(204);
    if (expected) {
      assertThat(headers)
          .containsEntry("Access-Control-Allow-Origin", origin)
          .containsEntry("Access-Control-Allow-Credentials", "true")
          .containsEntry("Access-Control-Allow-Methods", "PUT")
          .containsEntry("Access-Control-Max-Age", "5");
    } else {
      assertThat(headers).doesNotContainKey("Access-Control-Allow-Origin");
    }
    Map<String, String> simple =
        ask(rule, "{\"headers\": {\"Origin\": \"" + origin + "\"}}").textMap("response_headers");
    assertThat(simple.containsKey("Access-Control-Expose-Headers")).isEqualTo(expected);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "backendRefs: [{name: gone, port: 80}] | 500",
        "backendRefs: [{name: a, port: 81}] | 500",
        "backendRefs: [{kind: Other, name: a, port: 80}] | 500",
        "backendRefs: [{name: a, namespace: far, port: 80}] | 500",
        "backendRefs: [{name: a, port: 80, weight: 0}] | 500",
        "backendRefs: [] | 500",
        "backendRefs: [{name: a, port: 80, weight: 0}, {name: b, port: 80, weight: 5}] | b",
      })
  void whatHasNoBackendIsAnswered500(String backends, String expected) throws Exception {
    assertThat(backend(ask("{" + backends + "}", "{}"))).isEqualTo(expected);
  }

  @Test
  void headersAreSetThenAddedThenRemovedFirstForTheRuleThenForTheBackend() throws Exception {
    String edit = "{type: RequestHeaderModifier, requestHeaderModifier: {EDIT}}";
    JsonObject answer =
        ask(
            "{filters: ["
                + edit.replace(
                    "EDIT", "set: [{name: s, value: r}], add: [{name: x, value: r}], remove: [d]")
                + "], backendRefs: [{name: a, port: 80, filters: ["
                + edit.replace("EDIT", "set: [{name: S, value: b}], add: [{name: X, value: b}]")
                + "]}]}",
            "{\"headers\": {\"x\": \"c\", \"D\": \"1\", \"s\": \"c\"}}");
    Map<String, String> headers = answer.object("backend_request").textMap("headers");
    assertThat(
            headers.entrySet().stream()
                .map(e -> e.getKey().toLowerCase(Locale.ROOT) + "=" + e.getValue()))
        .containsExactlyInAnyOrder("x=c,r,b", "s=b");
  }
}
