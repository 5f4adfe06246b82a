// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import picocli.CommandLine;

/**
 * {@code weir diff} says what two sets of routes make of requests, whatever the files look like.
 */
class DiffRoutesTest {

  private static final String BASE =
      """
      apiVersion: v1
      kind: Service
      metadata: {name: front}
      spec: {clusterIP: 10.96.0.1, selector: {app: front}, ports: [{port: 80}]}
      ---
      apiVersion: v1
      kind: Service
      metadata: {name: a}
      spec: {selector: {app: a}, ports: [{port: 80}]}
      ---
      apiVersion: v1
      kind: Service
      metadata: {name: b}
      spec: {selector: {app: b}, ports: [{port: 80}]}
      ---
      apiVersion: gateway.networking.k8s.io/v1
      kind: Gateway
      metadata: {name: g}
      spec: {gatewayClassName: weir, listeners: [{name: http, protocol: HTTP, port: 8080}]}
      """;

  @TempDir private Path directory;

  private final StringWriter out = new StringWriter();

  private static String route(String rules) {
    return BASE
        + "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: r}\n"
        + "spec: {parentRefs: [{name: g}], rules: ["
        + rules
        + "]}\n";
  }

  private int diff(String older, String newer, String... options) throws Exception {
    Path old = Files.writeString(directory.resolve("old.yaml"), older);
    Path later = Files.writeString(directory.resolve("new.yaml"), newer);
    CommandLine line = PolicyTool.commandLine();
    line.setOut(new PrintWriter(out));
    line.setErr(new PrintWriter(out));
    String[] arguments = new String[3 + options.length];
    arguments[0] = "diff";
    arguments[1] = old.toString();
    arguments[2] = later.toString();
    System.arraycopy(options, 0, arguments, 3, options.length);
    return line.execute(arguments);
  }

  private static final String TO_A = "{backendRefs: [{name: a, port: 80}]}";

  @Test
  void aNewRouteWidens() throws Exception {
    assertThat(diff(BASE, route(TO_A))).isEqualTo(ExitCodes.WIDENED);
    assertThat(out.toString())
        .contains("added: default/g[Gateway] 8080 -> /*: No Route => default/a:80 100%", "widened");
  }

  @Test
  void aRouteThatGoesNarrows() throws Exception {
    assertThat(diff(route(TO_A), BASE)).isEqualTo(ExitCodes.NARROWED);
    assertThat(out.toString()).contains("removed: default/g[Gateway] 8080 -> /*");
  }

  @Test
  void anotherShareIsListedAndNeitherWidensNorNarrows() throws Exception {
    String rule = "{backendRefs: [{name: a, port: 80, weight: 9}, {name: b, port: 80}]}";
    assertThat(diff(route(rule), route(rule.replace("weight: 9", "weight: 1"))))
        .isEqualTo(ExitCodes.OK);
    assertThat(out.toString())
        .contains(
            "changed: default/g[Gateway] 8080 -> /*:"
                + " default/a:80 90%, default/b:80 10% => default/a:80 50%, default/b:80 50%");
  }

  @Test
  void onlyRequestsThatDifferAreListed() throws Exception {
    String special =
        "{matches: [{path: {value: /x}, headers: [{name: h, value: v}]}],"
            + " backendRefs: [{name: b, port: 80}]}, ";
    assertThat(diff(route(TO_A), route(special + TO_A))).isEqualTo(ExitCodes.WIDENED_AND_NARROWED);
    assertThat(out.toString().lines().filter(l -> l.contains("[Gateway]")))
        .containsExactly(
            "changed: default/g[Gateway] 8080 -> /x/* h: v: default/a:80 100% => default/b:80 100%",
            "changed: default/g[Gateway] 8080 -> /x h: v: default/a:80 100% => default/b:80 100%");
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        // The order of rules that never meet, and rules that say the same twice.
        "{matches: [{path: {type: Exact, value: /b}}], backendRefs: [{name: b, port: 80}]}, "
            + "{matches: [{path: {type: Exact, value: /a}}], backendRefs: [{name: a, port: 80}]}",
        "{matches: [{path: {type: Exact, value: /a}}], "
            + "backendRefs: [{name: a, port: 80, weight: 7}]}, "
            + "{matches: [{path: {type: Exact, value: /a}}], backendRefs: [{name: b, port: 80}]}, "
            + "{matches: [{path: {type: Exact, value: /b}}], backendRefs: [{name: b, port: 80}]}"
      })
  void routesThatSayTheSameOtherwiseAreEqual(String rules) throws Exception {
    String reference =
        "{matches: [{path: {type: Exact, value: /a}}], backendRefs: [{name: a, port: 80}]}, "
            + "{matches: [{path: {type: Exact, value: /b}}], backendRefs: [{name: b, port: 80}]}";
    assertThat(diff(route(reference), route(rules))).isEqualTo(ExitCodes.OK);
    assertThat(out.toString()).isEqualTo("equal" + System.lineSeparator());
  }

  @Test
  void aPatternIsAskedWithATextThatItMatches() throws Exception {
    String special =
        "{matches: [{path: {type: RegularExpression, value: '/v[0-9]+/(items|carts)/[^/]*'}}],"
            + " backendRefs: [{name: b, port: 80}]}, ";
    assertThat(diff(route(TO_A), route(special + TO_A), "-o", "json"))
        .isEqualTo(ExitCodes.WIDENED_AND_NARROWED);
    assertThat(out.toString())
        .contains("\"kind\": \"route\"", "/v1/items/ ~ /v[0-9]+/(items|carts)/[^/]*");
  }

  // ---- what a rule does on the way

  private static final String RULE = "{backendRefs: [{name: a, port: 80}], filters: [FILTER]}";

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x, value: '1'}]}"
            + " | request headers set x: 1",
        "type: ResponseHeaderModifier, responseHeaderModifier: {remove: [server]}"
            + " | response headers remove server",
        "type: URLRewrite, urlRewrite: {hostname: h.example,"
            + " path: {type: ReplacePrefixMatch, replacePrefixMatch: /v2}}"
            + " | rewrite host h.example prefix /v2",
        "type: RequestMirror, requestMirror: {backendRef: {name: a, port: 80}, percent: 10}"
            + " | mirror to default/a:80 10%",
      })
  void aFilterThatIsNewIsListed(String filter, String said) throws Exception {
    int exit = diff(route(TO_A), route(RULE.replace("FILTER", "{" + filter + "}")));
    assertThat(out.toString())
        .contains("default/a:80 100% => default/a:80 100%; " + said)
        .contains("equal: requests reach the same services as before");
    assertThat(exit).isEqualTo(ExitCodes.OK);
  }

  @Test
  void aCopyForAServiceThatGotNothingWidens() throws Exception {
    String mirror =
        "{type: RequestMirror, requestMirror: {backendRef: {name: b, port: 80}, percent: 10}}";
    assertThat(diff(route(TO_A), route(RULE.replace("FILTER", mirror))))
        .as(out.toString())
        .isEqualTo(ExitCodes.WIDENED);
  }

  @Test
  void aFilterThatMovesToAnotherBackendIsListed() throws Exception {
    String filter =
        ", filters: [{type: RequestHeaderModifier, requestHeaderModifier: {remove: [x]}}]";
    String rule = "{backendRefs: [{name: a, port: 80A}, {name: b, port: 80B}]}";
    assertThat(
            diff(
                route(rule.replace("A}", filter + "}").replace("B}", "}")),
                route(rule.replace("A}", "}").replace("B}", filter + "}"))))
        .isEqualTo(ExitCodes.OK);
    assertThat(out.toString())
        .contains("for default/a:80 request headers remove x =>")
        .contains("for default/b:80 request headers remove x");
  }

  @Test
  void aRedirectInPlaceOfABackendNarrows() throws Exception {
    String redirect =
        "{filters: [{type: RequestRedirect,"
            + " requestRedirect: {scheme: https, port: 8443, statusCode: 301}}]}";
    assertThat(diff(route(TO_A), route(redirect))).isEqualTo(ExitCodes.NARROWED);
    assertThat(out.toString())
        .contains("default/a:80 100% => status 301; redirect scheme https port 8443");
  }

  @Test
  void anotherTimeoutIsListed() throws Exception {
    String rule = "{backendRefs: [{name: a, port: 80}], timeouts: {request: 2s}}";
    assertThat(diff(route(rule), route(rule.replace("2s", "3s")))).isEqualTo(ExitCodes.OK);
    assertThat(out.toString()).contains("timeout 2000 ms => ", "timeout 3000 ms");
  }

  @Test
  void tlsTowardsABackendIsListed() throws Exception {
    String policy =
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: BackendTLSPolicy\n"
            + "metadata: {name: t}\nspec: {targetRefs: [{group: '', kind: Service, name: a}],"
            + " validation: {hostname: a.example, wellKnownCACertificates: System}}\n";
    assertThat(diff(route(TO_A), route(TO_A) + policy)).isEqualTo(ExitCodes.OK);
    assertThat(out.toString())
        .contains(
            "default/a:80 100% => default/a:80 100%; default/a:80 is dialled by TLS as a.example"
                + " trusting the system's authorities");
  }

  // ---- listeners

  @Test
  void aListenerThatOpensIsListed() throws Exception {
    String more = BASE.replace("port: 8080}", "port: 8080}, {name: x, protocol: HTTP, port: 8081}");
    assertThat(diff(BASE, more)).isEqualTo(ExitCodes.OK);
    assertThat(out.toString())
        .contains("added: default/g[Gateway] 8081 -> /*: No Listener => No Route");
  }

  @Test
  void aListenerThatClosesTakesItsRoutesWithIt() throws Exception {
    String older = route(TO_A);
    assertThat(diff(older, older.replace("port: 8080", "port: 8081")))
        .isEqualTo(ExitCodes.WIDENED_AND_NARROWED);
    assertThat(out.toString())
        .contains("removed: default/g[Gateway] 8080 -> /*: default/a:80 100% => No Listener")
        .contains("added: default/g[Gateway] 8081 -> /*: No Listener => default/a:80 100%");
  }

  @Test
  void aListenerForFewerHostsNarrows() throws Exception {
    String older = route(TO_A);
    assertThat(diff(older, older.replace("port: 8080}", "port: 8080, hostname: '*.example'}")))
        .isEqualTo(ExitCodes.NARROWED);
    assertThat(out.toString())
        .contains("removed: default/g[Gateway] 8080 -> /*: default/a:80 100% => No Listener")
        .doesNotContain("weir-probe");
  }

  @Test
  void anotherAddressOfAListenerIsListed() throws Exception {
    String bound =
        route(TO_A).replace("{gatewayClassName", "{addresses: [{value: '::1'}], gatewayClassName");
    assertThat(diff(route(TO_A), bound)).isEqualTo(ExitCodes.OK);
    assertThat(out.toString()).contains("bound to every address => ", "bound to ::1");
  }

  // ---- routes of connections

  private static final String TLS =
      BASE.replace(
              "{name: http, protocol: HTTP, port: 8080}",
              "{name: tls, protocol: TLS, port: 8443, tls: {mode: Passthrough}}")
          + """
          ---
          apiVersion: gateway.networking.k8s.io/v1alpha3
          kind: TLSRoute
          metadata: {name: t}
          spec:
            parentRefs: [PARENT]
            hostnames: [db.example]
            rules: [{backendRefs: [{name: a, port: 80, weight: 3}, {name: b, port: 80}]}]
          """;

  private static final String AT_GATEWAY = TLS.replace("PARENT", "{name: g}");
  private static final String AT_SERVICE =
      TLS.replace("PARENT", "{group: '', kind: Service, name: front}");

  @Test
  void aTlsRouteThatIsNewWidens() throws Exception {
    String before = AT_GATEWAY.replace("{name: g}]\n  hostnames", "{name: other}]\n  hostnames");
    assertThat(diff(before, AT_GATEWAY)).isEqualTo(ExitCodes.WIDENED);
    assertThat(out.toString())
        .contains(
            "added: default/g[Gateway] 8443 -> db.example: No Route => by connection"
                + " default/a:80 75%, default/b:80 25%");
  }

  @Test
  void aTlsRouteForAnotherServerNameWidensAndNarrows() throws Exception {
    assertThat(diff(AT_GATEWAY, AT_GATEWAY.replace("db.example", "new.example")))
        .isEqualTo(ExitCodes.WIDENED_AND_NARROWED);
    assertThat(out.toString())
        .contains("removed: default/g[Gateway] 8443 -> db.example:")
        .contains("added: default/g[Gateway] 8443 -> new.example:");
  }

  @Test
  void otherWeightsOfATlsRouteAreListed() throws Exception {
    assertThat(diff(AT_GATEWAY, AT_GATEWAY.replace("weight: 3", "weight: 1")))
        .isEqualTo(ExitCodes.OK);
    assertThat(out.toString())
        .contains("default/b:80 25% => by connection default/a:80 50%, default/b:80 50%");
  }

  @Test
  void aShareOfConnectionsThatLosesItsBackendNarrows() throws Exception {
    assertThat(
            diff(AT_GATEWAY, AT_GATEWAY.replace("{name: b, port: 80}]}", "{name: c, port: 80}]}")))
        .isEqualTo(ExitCodes.NARROWED);
    assertThat(out.toString()).contains("=> by connection default/a:80 75%, refused 25%");
  }

  @Test
  void aTlsRouteOfAServiceIsComparedToo() throws Exception {
    assertThat(
            diff(AT_SERVICE, AT_SERVICE.replace("{name: b, port: 80}]}", "{name: c, port: 80}]}")))
        .isEqualTo(ExitCodes.NARROWED);
    assertThat(out.toString())
        .contains(
            "changed: default/front[Service] 80 -> db.example: by connection default/a:80 75%");
  }

  @Test
  void aTcpRouteOfAGatewayThatGoesNarrows() throws Exception {
    String tcp =
        AT_GATEWAY
            .replace(
                "protocol: TLS, port: 8443, tls: {mode: Passthrough}", "protocol: TCP, port: 8443")
            .replace("v1alpha3", "v1alpha2")
            .replace("TLSRoute", "TCPRoute")
            .replace("  hostnames: [db.example]\n", "");
    assertThat(diff(tcp, tcp.substring(0, tcp.lastIndexOf("---")))).isEqualTo(ExitCodes.NARROWED);
    assertThat(out.toString())
        .contains(
            "removed: default/g[Gateway] 8443 -> *: by connection default/a:80 75%, default/b:80"
                + " 25% => No Route");
  }

  @Test
  void aGrpcRouteIsComparedByItsCalls() throws Exception {
    String grpc =
        route(
                "{matches: [{method: {service: shop.Cart, method: Get}}],"
                    + " backendRefs: [{name: a, port: 80}]}")
            .replace("HTTPRoute", "GRPCRoute");
    assertThat(diff(grpc, grpc.replace("{name: a, port: 80}]}]}", "{name: b, port: 80}]}]}")))
        .isEqualTo(ExitCodes.WIDENED_AND_NARROWED);
    assertThat(out.toString())
        .contains("changed: default/g[Gateway] 8080 -> /shop.Cart/Get: default/a:80 100%");
  }

  @Test
  void aServiceThatGetsARouteToItselfStaysTheSame() throws Exception {
    String mesh =
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: m}\n"
            + "spec: {parentRefs: [{group: '', kind: Service, name: front}],"
            + " rules: [{backendRefs: [{name: front, port: 80}]}]}\n";
    assertThat(diff(BASE, BASE + mesh)).as(out.toString()).isEqualTo(ExitCodes.OK);
    assertThat(out.toString()).isEqualTo("equal" + System.lineSeparator());
  }
}
