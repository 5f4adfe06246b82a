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

class PolicyToolTest {

  private static final String EXAMPLE = Path.of("..", "examples", "edge-node", "policy").toString();

  private final StringWriter out = new StringWriter();

  private int run(String... arguments) {
    CommandLine commandLine = new CommandLine(new PolicyTool());
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
  void explainAsJsonNamesTheVerdict() {
    run("explain", EXAMPLE, "--from", "web", "--to", "cart", "--port", "80", "-o", "json");
    assertThat(out.toString()).startsWith("{").contains("\"verdict\": \"inspect\"");
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
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

  @ParameterizedTest
  @ValueSource(strings = {"check", "explain", "compile"})
  void everyCommandHasHelp(String command) {
    assertThat(run(command, "--help")).isEqualTo(ExitCodes.OK);
    assertThat(out.toString()).contains("Usage:", "Exit codes:");
  }
}
