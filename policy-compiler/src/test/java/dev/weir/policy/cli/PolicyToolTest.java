// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import picocli.CommandLine;

class PolicyToolTest {

  private static final String EXAMPLE = Path.of("..", "examples", "edge-node", "policy").toString();

  private final StringWriter out = new StringWriter();

  private int run(String... arguments) {
    CommandLine commandLine = PolicyTool.commandLine();
    commandLine.setOut(new PrintWriter(out));
    commandLine.setErr(new PrintWriter(out));
    return commandLine.execute(arguments);
  }

  @Test
  void checkNamesPlaceAndRemedyAndExitsWithOne() {
    assertThat(run("check", EXAMPLE)).isEqualTo(ExitCodes.FINDINGS);
    assertThat(out.toString()).contains("gateway.yaml:18:13: spec.listeners[0].tls");
  }

  @Test
  void checkOfGoodFilesExitsWithZero(@TempDir Path directory) throws Exception {
    Files.writeString(
        directory.resolve("w.yaml"),
        "{apiVersion: weir.dev/v1alpha1, kind: Workload, metadata: {name: a}, spec: {cgroup: /a}}");
    assertThat(run("check", directory.toString())).isEqualTo(ExitCodes.OK);
    assertThat(out.toString()).isEqualTo("ok" + System.lineSeparator());
  }

  @Test
  void checkWarnsOfASocketUnitThatAWorkloadDoesNotName(@TempDir Path directory) throws Exception {
    Path files = Files.createDirectories(directory.resolve("policy"));
    Path units = Files.createDirectories(directory.resolve("units"));
    Files.writeString(
        files.resolve("w.yaml"),
        "{apiVersion: weir.dev/v1alpha1, kind: Workload, metadata: {name: a}, spec: {systemdUnit:"
            + " a.service, ports: [{port: 80}]}}");
    Files.writeString(units.resolve("a.socket"), "[Socket]\nListenStream=80\n");
    String where = directory.resolve("none") + ":" + units;
    assertThat(run("check", files.toString(), "--units", where, "--strict"))
        .isEqualTo(ExitCodes.FINDINGS);
    assertThat(out.toString())
        .contains("warning: ", "w.yaml:1:90: spec.systemdUnit: ", "a.socket listens on 80")
        .endsWith("ok, 1 warning" + System.lineSeparator());
    assertThat(run("check", files.toString(), "--units", directory.toString(), "--strict"))
        .isEqualTo(ExitCodes.OK);
  }

  @Test
  void explainSaysWhichRulesDecide() {
    assertThat(run("explain", EXAMPLE, "--from", "web", "--to", "db", "--port", "5432"))
        .isEqualTo(ExitCodes.FINDINGS);
    assertThat(out.toString())
        .contains(
            "refused", "NetworkPolicy shop/db ingress[0]", "names TCP 5433, but not shop/web");
  }

  @Test
  void explainOfAnAllowedConnectionExitsWithZero() {
    assertThat(run("explain", EXAMPLE, "--from", "cart-v1", "--to", "db", "--port", "5432"))
        .isEqualTo(ExitCodes.OK);
  }

  @Test
  void checkAsJsonNamesTheLintOfAFinding(@TempDir Path directory) throws Exception {
    Files.writeString(
        directory.resolve("web.yaml"),
        """
        {apiVersion: v1, kind: Pod, metadata: {name: web, labels: {app: web}}, spec: {unknown: 1}}
        ---
        {apiVersion: v1, kind: Service, metadata: {name: web},
         spec: {clusterIP: None, selector: {app: wbe}, ports: [{port: 80}], unknown: 1}}
        """);
    assertThat(run("check", directory.toString(), "-o", "json")).isEqualTo(ExitCodes.OK);
    assertThat(out.toString())
        .contains("\"lint\": \"no-backends\"")
        .contains("is not a field of this kind")
        .containsOnlyOnce("\"lint\":");
  }

  @Test
  void explainAsJsonNamesTheVerdict() {
    run("explain", EXAMPLE, "--from", "web", "--to", "cart", "--port", "80", "-o", "json");
    assertThat(out.toString()).startsWith("{").contains("\"verdict\": \"inspect\"");
  }

  @Test
  void explainOfARequestNamesRouteAndShares() {
    assertThat(
            run(
                "explain",
                EXAMPLE,
                "--from",
                "web",
                "--to",
                "service/cart",
                "--port",
                "80",
                "--path",
                "/items"))
        .isEqualTo(ExitCodes.OK);
    assertThat(out.toString())
        .contains(
            "route: HTTPRoute shop/cart", "rules[1] -> shop/cart-v1:80 99%, shop/cart-v2:80 1%");
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "explain DIR --from web --to web --port 80 --path nonsense",
        "explain DIR --from nobody --to web --port 80",
        "explain DIR --from web --to web --port 0",
        "explain DIR --from web --to web --port 80 --protocol icmp",
        "explain DIR --from web",
        "check",
        "check DIR -o xml",
        "nonsense"
      })
  void aWrongCommandLineExitsWithTwo(String arguments) {
    assertThat(run(arguments.replace("DIR", EXAMPLE).split(" "))).isEqualTo(ExitCodes.USAGE);
  }

  @Test
  void schemaPrintsTheSchemaOfAKind() {
    assertThat(run("schema", "Workload")).isEqualTo(ExitCodes.OK);
    assertThat(out.toString()).startsWith("{").contains("\"title\": \"Workload\"");
  }

  @Test
  void schemaOfAnotherKindIsAWrongCommandLine() {
    assertThat(run("schema", "Pod")).isEqualTo(ExitCodes.USAGE);
    assertThat(out.toString()).contains("Mesh, PolicyTest, TrafficPolicy, Workload");
  }

  @ParameterizedTest
  @ValueSource(strings = {"check", "explain", "allowed", "diff", "test", "compile"})
  void everyCommandHasHelp(String command) {
    assertThat(run(command, "--help")).isEqualTo(ExitCodes.OK);
    assertThat(out.toString()).contains("Usage:", "Exit codes:");
  }

  @Test
  void theExamplesTestsHold(@TempDir Path directory) throws Exception {
    Path junit = directory.resolve("report.xml");
    String tests = Path.of(EXAMPLE).resolveSibling("policy-tests").toString();
    assertThat(run("test", EXAMPLE, "--tests", tests, "--junit", junit.toString()))
        .as(out.toString())
        .isEqualTo(ExitCodes.OK);
    assertThat(out.toString()).contains("8 cases, all as expected");
    assertThat(Files.readString(junit)).contains("tests=\"8\" failures=\"0\"");
  }

  private static final String FAILING =
      """
      apiVersion: weir.dev/v1alpha1
      kind: PolicyTest
      metadata: {name: t, namespace: shop}
      spec:
        cases:
          - {name: a & b, from: web, to: db, port: 5432, expect: allow}
          - name: shares
            from: web
            to: service/cart
            port: 80
            request: {path: /}
            expect: {shares: {shop/cart-v1: 50%, shop/cart-v2: 50%}}
          - {name: nobody, from: nobody, to: db, port: 5432, expect: deny}
      """;

  @Test
  void aTestThatFailsNamesExpectedFoundAndTheRule(@TempDir Path directory) throws Exception {
    Path file = Files.writeString(directory.resolve("t.yaml"), FAILING);
    Path junit = directory.resolve("report.xml");
    assertThat(run("test", EXAMPLE, "--tests", file.toString(), "--junit", junit.toString()))
        .isEqualTo(ExitCodes.FINDINGS);
    assertThat(out.toString())
        .contains(
            "FAILED  shop/t: a & b",
            file + ":6:7",
            "expected verdict allow",
            "got verdict deny: the source may reach none of the backends",
            "NetworkPolicy shop/db",
            "expected shares shop/cart-v1 50%, shop/cart-v2 50%",
            "got shares shop/cart-v1 99%, shop/cart-v2 1%",
            "nobody is called",
            "3 cases, 3 failed");
    assertThat(Files.readString(junit)).contains("failures=\"3\"", "name=\"a &amp; b\"");
  }

  @Test
  void testsWithoutCasesDoNotPass() {
    assertThat(run("test", EXAMPLE)).isEqualTo(ExitCodes.FINDINGS);
    assertThat(out.toString()).contains("no PolicyTest among the files");
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "{name: x, from: a, to: b, port: 80} | expect: is missing",
        "{name: x, from: a, to: b, port: 80, expect: maybe} | expect: is \"maybe\"",
        "{name: x, from: a, to: b, port: 80, expect: {route: r}} | speaks of a request",
        "{name: x, from: a, to: b, expect: allow} | port: is missing",
        "{name: x, from: a, to: gateway/g, port: 80, expect: allow} | request: is missing",
        "{name: x, from: a, to: b, port: 80, request: {}, expect: {shares: {s: 0.5x}}} | no share"
      })
  void aBrokenCaseIsRefusedWithItsPlace(String line, @TempDir Path directory) throws Exception {
    String[] parts = line.split(" \\| ", -1);
    Path file =
        Files.writeString(
            directory.resolve("t.yaml"),
            "apiVersion: weir.dev/v1alpha1\nkind: PolicyTest\nmetadata: {name: t}\n"
                + "spec:\n  cases:\n    - "
                + parts[0]
                + "\n");
    assertThat(run("test", file.toString())).isEqualTo(ExitCodes.FINDINGS);
    assertThat(out.toString()).contains(file + ":6:", "spec.cases[0]", parts[1]);
  }

  private static final String BUDGET =
      """
      apiVersion: weir.dev/v1alpha1
      kind: Mesh
      metadata: {name: m}
      spec:
        budget:
          mapBytes: %d
      ---
      apiVersion: weir.dev/v1alpha1
      kind: Workload
      metadata: {name: a, labels: {app: a}}
      spec: {cgroup: /a}
      ---
      apiVersion: networking.k8s.io/v1
      kind: NetworkPolicy
      metadata: {name: p}
      spec: {podSelector: {}, ingress: [{ports: [{port: 80}, {port: 443}]}]}
      """;

  @Test
  void compileRefusesWhatTheBudgetHasNoRoomForAndNamesTheLargest(@TempDir Path directory)
      throws Exception {
    Path file = Files.writeString(directory.resolve("p.yaml"), BUDGET.formatted(100));
    assertThat(run("compile", file.toString())).isEqualTo(ExitCodes.FINDINGS);
    assertThat(out.toString())
        .contains(
            file + ":6:15: spec.budget.mapBytes: the plan takes",
            "but may take 100",
            "NetworkPolicy default/p (" + file + ":16) with 2 verdicts");
  }

  @Test
  void compileShowsSizesAgainstTheBudget(@TempDir Path directory) throws Exception {
    Path file = Files.writeString(directory.resolve("p.yaml"), BUDGET.formatted(1_000_000));
    assertThat(run("compile", file.toString())).isEqualTo(ExitCodes.OK);
    assertThat(out.toString()).containsPattern("map bytes +[0-9]+ of 1000000");
  }

  @Test
  void explainAnswersWhateverTheBudget(@TempDir Path directory) throws Exception {
    Path file = Files.writeString(directory.resolve("p.yaml"), BUDGET.formatted(100));
    assertThat(run("explain", file.toString(), "--from", "10.0.0.1", "--to", "a", "--port", "80"))
        .isEqualTo(ExitCodes.OK);
  }

  private static final String ACCESS =
      """
      apiVersion: weir.dev/v1alpha1
      kind: Workload
      metadata: {name: a, labels: {app: a}}
      spec: {cgroup: /a}
      ---
      apiVersion: weir.dev/v1alpha1
      kind: Workload
      metadata: {name: b, labels: {app: b}}
      spec: {cgroup: /b, ports: [{port: 80}]}
      ---
      apiVersion: security.istio.io/v1
      kind: AuthorizationPolicy
      metadata: {name: read}
      spec:
        selector: {matchLabels: {app: b}}
        rules:
          - from: [{source: {principals: ["cluster.local/ns/default/sa/default"]}}]
            to: [{operation: {methods: [GET]}}]
      """;

  private int explainAccess(Path directory, String... more) throws Exception {
    Path file = Files.writeString(directory.resolve("p.yaml"), ACCESS);
    List<String> arguments =
        new ArrayList<>(
            List.of("explain", file.toString(), "--from", "a", "--to", "b", "--port", "80"));
    arguments.addAll(List.of(more));
    return run(arguments.toArray(String[]::new));
  }

  @Test
  void explainAsksForTheRequestWhereItDecides(@TempDir Path directory) throws Exception {
    assertThat(explainAccess(directory)).isEqualTo(ExitCodes.OK);
    assertThat(out.toString())
        .contains("allowed as far as the proxy", "AuthorizationPolicy default/read");
  }

  @Test
  void explainOfARequestNamesTheRuleThatAllowsIt(@TempDir Path directory) throws Exception {
    assertThat(explainAccess(directory, "--method", "GET")).isEqualTo(ExitCodes.OK);
    assertThat(out.toString()).contains("read rules[0]", "matches and allows it");
  }

  @Test
  void explainOfARefusedRequestSaysWhatWouldAllowIt(@TempDir Path directory) throws Exception {
    assertThat(explainAccess(directory, "--method", "PUT", "--path", "/x"))
        .isEqualTo(ExitCodes.FINDINGS);
    assertThat(out.toString())
        .contains(
            "none of its rules does",
            "add to AuthorizationPolicy default/read spec.rules",
            "- PUT",
            "- /x");
  }

  @Test
  void inPlaintextNobodyHasAPrincipal(@TempDir Path directory) throws Exception {
    assertThat(explainAccess(directory, "--method", "GET", "--plaintext"))
        .isEqualTo(ExitCodes.FINDINGS);
  }
}
