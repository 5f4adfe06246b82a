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
import picocli.CommandLine;

/** {@code weir replay} on the policies of examples/edge-node. */
class ReplayTest {

  private static final String EXAMPLE = Path.of("..", "examples", "edge-node", "policy").toString();

  @TempDir private Path directory;

  private final StringWriter out = new StringWriter();

  private int replay(String flows, String... more) throws Exception {
    Path file = Files.writeString(directory.resolve("flows.jsonl"), flows);
    CommandLine line = PolicyTool.commandLine();
    line.setOut(new PrintWriter(out));
    line.setErr(new PrintWriter(out));
    String[] arguments = new String[4 + more.length];
    arguments[0] = "replay";
    arguments[1] = EXAMPLE;
    arguments[2] = "--flows";
    arguments[3] = file.toString();
    System.arraycopy(more, 0, arguments, 4, more.length);
    return line.execute(arguments);
  }

  private static String flow(String source, String destination, int port, String verdict) {
    return "{\"source\":\"%s\",\"destination\":\"%s\",\"port\":%d,\"verdict\":\"%s\",\"count\":3}%n"
        .formatted(source, destination, port, verdict);
  }

  @ParameterizedTest
  @CsvSource({
    "shop/cart-v1, shop/db, 5432, allow, 0",
    "shop/web, shop/db, 5432, refuse, 0",
    "shop/web, shop/db, 5432, allow, 5",
    "shop/web, shop/db, 5432, audit, 5",
    "shop/cart-v1, shop/db, 5432, refuse, 4",
    "shop/web, service/shop/cart, 80, allow, 0",
    "shop/gone, shop/db, 5432, allow, 0"
  })
  void theExitCodeTellsWhetherFlowsFareOtherwise(
      String source, String destination, int port, String verdict, int code) throws Exception {
    assertThat(replay(flow(source, destination, port, verdict))).as(out.toString()).isEqualTo(code);
  }

  @Test
  void flowsOfOneKindAreOneRowThatNamesTheRule() throws Exception {
    replay(flow("shop/web", "shop/db", 5432, "allow") + flow("shop/web", "shop/db", 5432, "allow"));
    assertThat(out.toString())
        .contains(
            "refused: shop/web -> shop/db TCP 5432 (seen 6 made) by NetworkPolicy shop/d",
            "network-policies.yaml:",
            "6 connections, 1 kind: narrowed");
  }

  @Test
  void whoIsNotAmongTheFilesIsNotJudged() throws Exception {
    replay(flow("shop/gone", "shop/db", 5432, "allow"));
    assertThat(out.toString())
        .contains("unjudged: shop/gone", "nobody is called \"shop/gone\"", "3 not judged");
  }

  @Test
  void theAgentsLogIsReadToo() throws Exception {
    String log =
        """
        {"time":"2026-01-01T00:00:00Z","level":"info","message":"started"}
        {"time":"t","level":"info","message":"m","event":"refused","source":"shop/cart-v1",\
        "destination":"shop/db","address":"127.0.0.1","port":5432,"protocol":"tcp",\
        "rule":"r","reason":"policy","generation":2,"suppressed":4}
        {"event":"refused","source":"shop/cart-v1","destination":"shop/db","port":5432,\
        "reason":"port_owned"}
        {"event":"refused","source":"shop/cart-v1","destination":"outside",\
        "address":"192.0.2.9","port":443,"reason":"policy"}
        """;
    assertThat(replay(log, "-o", "json")).isEqualTo(ExitCodes.WIDENED);
    assertThat(out.toString())
        .contains("\"flows\": 2", "\"passed_over\": 2", "\"change\": \"allowed\"", "\"count\": 5");
  }

  @Test
  void allFieldsOfAFlowLineAreTakenOrPassedOver() throws Exception {
    String log =
        """
        {"time":"2026-01-01T00:00:10Z","source":"outside","source_address":"192.0.2.9",\
        "destination":"shop/db","address":"127.0.0.1","direction":"ingress","protocol":"tcp",\
        "port":5432,"verdict":"refuse","reason":"default_deny","rule":"r","generation":7,\
        "count":2,"suppressed":1,"closed":0,"bytes_sent":12,"bytes_received":0,"later":[1]}
        {"source":"proxy","destination":"shop/cart-v1","port":8080,"verdict":"allow"}
        {"event":"moved","source":"shop/web","destination":"shop/db"}
        """;
    assertThat(replay(log, "-o", "json")).as(out.toString()).isEqualTo(ExitCodes.OK);
    assertThat(out.toString()).contains("\"connections\": 3", "\"passed_over\": 2");
  }

  @Test
  void anUnknownVerdictIsNamedWithItsPlace() throws Exception {
    assertThat(replay(flow("shop/web", "shop/db", 5432, "maybe"))).isEqualTo(ExitCodes.FINDINGS);
    assertThat(out.toString()).contains("flows.jsonl:1:", "verdict: is \"maybe\"");
  }

  @Test
  void aBrokenLineIsNamed() throws Exception {
    assertThat(replay(flow("a", "b", 80, "allow") + "{\"source\": \n"))
        .isEqualTo(ExitCodes.FINDINGS);
    assertThat(out.toString()).contains("flows.jsonl:", "not JSON");
  }

  @Test
  void aPortThatIsNoneIsNamedWithItsPlace() throws Exception {
    assertThat(replay(flow("a", "b", 70_000, "allow"))).isEqualTo(ExitCodes.FINDINGS);
    assertThat(out.toString()).contains("flows.jsonl:1:", "port: is 70000");
  }
}
