// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import picocli.CommandLine;

/**
 * {@code weir explain} where routes lead connections whose requests nobody looks at: of TCP, Istio
 * matches no ALLOW rule with HTTP attributes, and DENY rules by what else they say.
 */
class ExplainOpaqueTest {

  private static final String FILES =
      """
      {apiVersion: weir.dev/v1alpha1, kind: Workload, metadata: {name: web}, spec: {cgroup: /web}}
      ---
      {apiVersion: weir.dev/v1alpha1, kind: Workload, metadata: {name: db, labels: {app: db}},
       spec: {cgroup: /db, ports: [{port: 5432}]}}
      ---
      {apiVersion: v1, kind: Service, metadata: {name: tcp},
       spec: {clusterIP: 10.96.0.1, selector: {app: db}, ports: [{port: 5432}]}}
      ---
      {apiVersion: v1, kind: Service, metadata: {name: tls},
       spec: {clusterIP: 10.96.0.2, selector: {app: db}, ports: [{port: 5432}]}}
      ---
      {apiVersion: v1, kind: Service, metadata: {name: http},
       spec: {clusterIP: 10.96.0.3, selector: {app: db}, ports: [{port: 5432}]}}
      ---
      {apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: edge},
       spec: {gatewayClassName: weir, listeners: [
         {name: tls, port: 8443, protocol: TLS, tls: {mode: Passthrough}},
         {name: tcp, port: 9000, protocol: TCP}]}}
      ---
      {apiVersion: gateway.networking.k8s.io/v1alpha2, kind: TCPRoute, metadata: {name: tcp},
       spec: {parentRefs: [{group: '', kind: Service, name: tcp}, {name: edge}],
         rules: [{backendRefs: [{name: tcp, port: 5432}]}]}}
      ---
      {apiVersion: gateway.networking.k8s.io/v1, kind: TLSRoute, metadata: {name: tls},
       spec: {hostnames: [db.example], parentRefs: [{group: '', kind: Service, name: tls}, {name: edge}],
         rules: [{backendRefs: [{name: tls, port: 5432}]}]}}
      ---
      {apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: p},
       spec: {selector: {matchLabels: {app: db}}, ACCESS}}
      """;

  private static final String UNSEEN = "nobody looks at requests where a route leads connections";

  @TempDir private Path folder;

  private record Answer(int exitCode, String text) {}

  private Answer explain(String access, String to, String port, String... more) throws IOException {
    Files.writeString(folder.resolve("a.yaml"), FILES.replace("ACCESS", access));
    List<String> arguments =
        new ArrayList<>(
            List.of("explain", folder.toString(), "--from", "web", "--to", to, "--port", port));
    arguments.addAll(List.of(more));
    StringWriter out = new StringWriter();
    CommandLine command = PolicyTool.commandLine();
    command.setOut(new PrintWriter(out));
    int exitCode = command.execute(arguments.toArray(String[]::new));
    return new Answer(exitCode, out.toString());
  }

  @ParameterizedTest(name = "{0} {1}")
  @CsvSource({"service/tcp, 5432", "service/tls, 5432", "gateway/edge, 8443", "gateway/edge, 9000"})
  void anAllowRuleWithHttpAttributesMatchesNothing(String to, String port) throws IOException {
    Answer answer =
        explain(
            "rules: [{to: [{operation: {methods: [GET]}}]}]", to, port, request(to, "db.example"));
    assertThat(answer.exitCode()).isEqualTo(ExitCodes.FINDINGS);
    assertThat(answer.text()).contains(": refused").contains(UNSEEN).contains("default/p");
  }

  @ParameterizedTest(name = "{0} {1}")
  @CsvSource({"service/tcp, 5432", "service/tls, 5432", "gateway/edge, 8443", "gateway/edge, 9000"})
  void aDenyRuleMatchesByWhatElseItSays(String to, String port) throws IOException {
    Answer answer =
        explain(
            "action: DENY, rules: [{to: [{operation: {ports: ['5432'], methods: [POST]}}]}]",
            to,
            port,
            request(to, "db.example"));
    assertThat(answer.exitCode()).isEqualTo(ExitCodes.FINDINGS);
    assertThat(answer.text()).contains(": refused").contains(UNSEEN);
    Answer other =
        explain(
            "action: DENY, rules: [{to: [{operation: {ports: ['80'], methods: [POST]}}]}]",
            to,
            port,
            request(to, "db.example"));
    assertThat(other.exitCode()).isEqualTo(ExitCodes.OK);
    assertThat(other.text()).doesNotContain(UNSEEN);
  }

  @ParameterizedTest(name = "{0} {1}")
  @CsvSource({"service/tcp, 5432", "service/tls, 5432", "gateway/edge, 8443", "gateway/edge, 9000"})
  void aRuleWithoutHttpAttributesCounts(String to, String port) throws IOException {
    Answer answer =
        explain(
            "rules: [{to: [{operation: {methods: [GET]}}]}, {to: [{operation: {ports:"
                + " ['5432']}}]}]",
            to,
            port,
            request(to, "db.example"));
    assertThat(answer.exitCode()).isEqualTo(ExitCodes.OK);
    assertThat(answer.text()).doesNotContain(UNSEEN);
  }

  /** The same backend, reached by requests. */
  @ParameterizedTest
  @CsvSource({"GET, 0", "POST, 1"})
  void whereRequestsAreLookedAtTheyDecide(String method, int exitCode) throws IOException {
    Answer answer =
        explain(
            "rules: [{to: [{operation: {methods: [GET]}}]}]",
            "service/http",
            "5432",
            "--method",
            method,
            "--path",
            "/");
    assertThat(answer.exitCode()).isEqualTo(exitCode);
    assertThat(answer.text()).doesNotContain(UNSEEN);
  }

  private static String[] request(String to, String host) {
    return to.equals("service/tcp") ? new String[0] : new String[] {"--host", host, "--path", "/"};
  }
}
