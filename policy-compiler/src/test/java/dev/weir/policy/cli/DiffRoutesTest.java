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
