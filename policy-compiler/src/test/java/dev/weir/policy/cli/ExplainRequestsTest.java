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
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;

/** {@code weir explain} of requests that AuthorizationPolicies decide. */
class ExplainRequestsTest {

  private static final String FILES =
      """
      apiVersion: weir.dev/v1alpha1
      kind: Workload
      metadata: {name: cart, namespace: shop, labels: {app: cart}}
      spec:
        cgroup: /cart
        ports: [{name: http, port: 8080}]
      ---
      apiVersion: weir.dev/v1alpha1
      kind: Workload
      metadata: {name: web, namespace: shop, labels: {app: web}}
      spec:
        cgroup: /web
        serviceAccountName: web
      ---
      apiVersion: weir.dev/v1alpha1
      kind: Workload
      metadata: {name: spy, namespace: bank, labels: {app: spy}}
      spec:
        cgroup: /spy
      ---
      apiVersion: v1
      kind: Service
      metadata: {name: cart, namespace: shop}
      spec:
        clusterIP: 10.96.0.5
        selector: {app: cart}
        ports: [{name: http, port: 80, targetPort: http}]
      ---
      apiVersion: security.istio.io/v1
      kind: AuthorizationPolicy
      metadata: {name: cart, namespace: shop}
      spec:
        selector: {matchLabels: {app: cart}}
        rules:
        - from: [{source: {namespaces: [shop]}}]
          to: [{operation: {methods: [GET], paths: ["/cart*"]}}]
      """;

  @TempDir private Path folder;

  @BeforeEach
  void files() throws IOException {
    Files.writeString(folder.resolve("a.yaml"), FILES);
  }

  private record Answer(int exitCode, String text) {}

  private Answer explain(String from, String to, String port, String... more) {
    StringWriter out = new StringWriter();
    CommandLine commandLine = PolicyTool.commandLine();
    commandLine.setOut(new PrintWriter(out));
    List<String> arguments = new ArrayList<>(List.of("explain", folder.toString()));
    arguments.addAll(List.of("--from", from, "--to", to, "--port", port));
    arguments.addAll(List.of(more));
    return new Answer(commandLine.execute(arguments.toArray(String[]::new)), out.toString());
  }

  @Test
  void aRequestThatARuleAllowsIsAllowedInItsName() {
    Answer answer = explain("shop/web", "service/shop/cart", "80", "--path", "/cart/1");

    assertThat(answer.exitCode()).isEqualTo(ExitCodes.OK);
    assertThat(answer.text())
        .contains("AuthorizationPolicy shop/cart rules[0]", "a.yaml:35) lets this be asked");
  }

  @Test
  void aRequestThatNoRuleAllowsIsRefused() {
    Answer answer = explain("shop/web", "service/shop/cart", "80", "--path", "/admin");

    assertThat(answer.exitCode()).isEqualTo(ExitCodes.FINDINGS);
    assertThat(answer.text())
        .contains("the proxy answers 403", "no rule of the ALLOW policies", "a.yaml:29");
  }

  @Test
  void aSourceThatNoRuleLetsInIsRefusedByTheKernel() {
    Answer answer = explain("bank/spy", "workload/shop/cart", "8080");

    assertThat(answer.exitCode()).isEqualTo(ExitCodes.FINDINGS);
    assertThat(answer.text())
        .contains("tier: kernel", "lets the source in")
        .doesNotContain("defect of Weir");
  }

  @Test
  void aRewrittenPathIsAskedAboutAsTheBackendGetsIt() throws IOException {
    Files.writeString(
        folder.resolve("route.yaml"),
        """
        apiVersion: gateway.networking.k8s.io/v1
        kind: HTTPRoute
        metadata: {name: r, namespace: shop}
        spec:
          parentRefs: [{group: "", kind: Service, name: cart}]
          rules:
            - filters:
                - type: URLRewrite
                  urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: /admin}}
              backendRefs: [{name: cart, port: 80}]
        """);

    Answer answer = explain("shop/web", "service/shop/cart", "80", "--path", "/cart");

    assertThat(answer.exitCode()).isEqualTo(ExitCodes.FINDINGS);
  }

  private static final String EDGE =
      """
      apiVersion: gateway.networking.k8s.io/v1
      kind: Gateway
      metadata: {name: edge, namespace: shop}
      spec:
        gatewayClassName: weir
        listeners: [{name: http, port: 8000, protocol: HTTP, hostname: shop.example}]
      ---
      apiVersion: gateway.networking.k8s.io/v1
      kind: HTTPRoute
      metadata: {name: r, namespace: shop}
      spec:
        parentRefs: [{name: edge}]
        rules: [{backendRefs: [{name: cart, port: 80}]}]
      ---
      apiVersion: security.istio.io/v1
      kind: AuthorizationPolicy
      metadata: {name: edge, namespace: shop}
      spec:
        targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: edge}]
        action: DENY
        rules: [{to: [{operation: {paths: [/cart/secret]}}]}]
      """;

  @Test
  void aGatewaysOwnPoliciesAreAskedBeforeTheRoute() throws IOException {
    Files.writeString(folder.resolve("edge.yaml"), EDGE);

    Answer refused =
        explain(
            "shop/web",
            "gateway/shop/edge",
            "8000",
            "--host",
            "shop.example",
            "--path",
            "/cart/secret");
    Answer allowed =
        explain("shop/web", "gateway/edge", "8000", "--host", "shop.example", "--path", "/cart/1");

    assertThat(refused.exitCode()).isEqualTo(ExitCodes.FINDINGS);
    assertThat(refused.text())
        .contains(
            "by:   AuthorizationPolicy shop/edge rules[0]",
            "tier: proxy",
            "add to AuthorizationPolicy shop/edge spec.rules[0].from");
    assertThat(allowed.text()).contains("allowed", "AuthorizationPolicy shop/cart rules[0]");
    assertThat(allowed.exitCode()).isEqualTo(ExitCodes.OK);
  }

  @Test
  void withoutAListenerForTheHostAGatewaysPoliciesAreNotAsked() throws IOException {
    Files.writeString(folder.resolve("edge.yaml"), EDGE);

    assertThat(
            explain(
                    "shop/web",
                    "gateway/edge",
                    "8000",
                    "--host",
                    "other.example",
                    "--path",
                    "/cart/secret")
                .text())
        .contains("no route matches: the proxy answers 404");
  }

  @Test
  void hostsAreComparedAsTheyAreSentWithTheirPort() throws IOException {
    Files.writeString(
        folder.resolve("hosts.yaml"),
        """
        apiVersion: security.istio.io/v1
        kind: AuthorizationPolicy
        metadata: {name: hosts, namespace: shop}
        spec:
          action: DENY
          rules: [{to: [{operation: {hosts: [Bad.example]}}]}]
        """);

    assertThat(
            explain("shop/web", "shop/cart", "80", "--path", "/cart", "--host", "bad.EXAMPLE")
                .exitCode())
        .isEqualTo(ExitCodes.FINDINGS);
    assertThat(
            explain("shop/web", "shop/cart", "80", "--path", "/cart", "--host", "bad.example:80")
                .exitCode())
        .isEqualTo(ExitCodes.OK);
    assertThat(
            explain(
                    "shop/web",
                    "shop/cart",
                    "80",
                    "--path",
                    "/cart",
                    "--header",
                    "Host=bad.example")
                .exitCode())
        .isEqualTo(ExitCodes.FINDINGS);
  }

  @Test
  void whatOnlyRequestsDecideIsSaidToNeedTheProxy() {
    assertThat(explain("shop/web", "workload/shop/cart", "8080").text())
        .contains("decide request by request");
  }
}
