// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.json.JsonObject;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;

class ExplainCasesTest {

  private static final String POLICY =
      """
      apiVersion: security.istio.io/v1
      kind: AuthorizationPolicy
      metadata: {name: web, namespace: shop}
      spec:
        selector: {matchLabels: {app: web}}
        rules:
          - from: [{source: {namespaces: [shop]}}]
            to: [{operation: {methods: [GET], paths: ["/cart*"]}}]
      """;
  private static final String STRICT =
      """
      apiVersion: security.istio.io/v1
      kind: PeerAuthentication
      metadata: {name: all, namespace: shop}
      spec: {mtls: {mode: STRICT}}
      """;
  private static final String WEB =
      "\"destination\": {\"namespace\": \"shop\", \"labels\": {\"app\": \"web\"}, \"port\": 80}";
  private static final String CLIENT =
      "\"source\": {\"namespace\": \"shop\", \"service_account\": \"cart\"}";

  @TempDir private Path folder;
  private Path policies;

  private record Result(int exitCode, List<String> lines) {}

  @BeforeEach
  void policies() throws IOException {
    policies = Files.createDirectory(folder.resolve("policies"));
    Files.writeString(policies.resolve("web.yaml"), POLICY);
  }

  private Result ask(String... lines) throws IOException {
    return ask(Arrays.asList(lines));
  }

  private Result ask(List<String> lines) throws IOException {
    Path cases = folder.resolve("cases.jsonl");
    Files.write(cases, lines);
    StringWriter out = new StringWriter();
    CommandLine commandLine = PolicyTool.commandLine();
    commandLine.setOut(new PrintWriter(out));
    commandLine.setErr(new PrintWriter(out));
    int exitCode = commandLine.execute("explain", policies.toString(), "--cases", cases.toString());
    return new Result(exitCode, new ArrayList<>(out.toString().lines().toList()));
  }

  private static String get(String path) {
    return "{" + CLIENT + ", " + WEB + ", \"request\": {\"path\": \"" + path + "\"}}";
  }

  @Test
  void namesTheRuleThatAllowed() throws IOException {
    JsonObject answer = JsonObject.parse(ask(get("/cart/1")).lines().getFirst(), "answer");

    assertThat(answer.optionalFlag("allow")).contains(true);
    assertThat(answer.text("tier")).isEqualTo("proxy");
    JsonObject rule = answer.objects("rules").getFirst();
    assertThat(rule.text("kind") + " " + rule.text("name") + " " + rule.text("clause"))
        .isEqualTo("AuthorizationPolicy web rules[0]");
    assertThat(rule.text("file")).endsWith("web.yaml");
    assertThat(rule.integer("line", 1, 100)).isEqualTo(7);
  }

  @Test
  void namesThePolicyThatDidNotAllow() throws IOException {
    JsonObject answer = JsonObject.parse(ask(get("/admin")).lines().getFirst(), "answer");

    assertThat(answer.optionalFlag("allow")).contains(false);
    assertThat(answer.objects("rules").getFirst().integer("line", 1, 100)).isEqualTo(1);
  }

  @Test
  void aMalformedLineIsAnsweredWithItsNumberAndTheRestGoesOn() throws IOException {
    Result result = ask(get("/cart"), "{\"source\": 1}", "{", get("/cart"));

    assertThat(result.exitCode()).isEqualTo(ExitCodes.FINDINGS);
    assertThat(result.lines()).hasSize(4);
    assertThat(JsonObject.parse(result.lines().get(1), "answer").text("error"))
        .contains("cases.jsonl:2");
    assertThat(JsonObject.parse(result.lines().get(2), "answer").integer("line", 0, 9))
        .isEqualTo(3);
    assertThat(result.lines().get(3)).contains("\"allow\":true");
  }

  @Test
  void aPathThatMayNotBeForwardedIsRefused() throws IOException {
    assertThat(ask(get("/cart%00")).lines().getFirst()).contains("\"allow\":false", "400");
  }

  @Test
  void strictMutualTlsRefusesPlainText() throws IOException {
    Files.writeString(policies.resolve("strict.yaml"), STRICT);

    String answer = ask("{\"source\": {\"ip\": \"192.0.2.1\"}, " + WEB + "}").lines().getFirst();

    assertThat(answer).contains("\"allow\":false", "PeerAuthentication");
  }

  @Test
  void aDestinationThatNoPolicyIsAboutIsOpen() throws IOException {
    String answer =
        ask("{" + CLIENT + ", \"destination\": {\"namespace\": \"shop\"}}").lines().getFirst();

    assertThat(answer).contains("\"allow\":true", "\"rules\":[]", "\"tier\":\"kernel\"");
  }

  @Test
  void thousandsOfLinesAreOneRun() throws IOException {
    Result result = ask(Collections.nCopies(20_000, get("/cart")));

    assertThat(result.exitCode()).isEqualTo(ExitCodes.OK);
    assertThat(result.lines()).hasSize(20_000).allMatch(l -> l.contains("\"allow\":true"));
  }

  @Test
  void withoutCasesTheOtherQuestionIsAsked() {
    StringWriter err = new StringWriter();
    CommandLine commandLine = PolicyTool.commandLine();
    commandLine.setErr(new PrintWriter(err));

    assertThat(commandLine.execute("explain", policies.toString())).isEqualTo(ExitCodes.USAGE);
    assertThat(err.toString()).contains("--cases FILE");
  }
}
