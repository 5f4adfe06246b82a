// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;

/** What the commands say of services whose routes the kernel honours by connection. */
class KernelSplitTest {

  private static final String SHOP =
      """
      apiVersion: v1
      kind: Service
      metadata: {name: front, namespace: shop}
      spec: {clusterIP: 10.96.0.1, selector: {app: a}, ports: [{port: 80}]}
      ---
      apiVersion: v1
      kind: Service
      metadata: {name: a, namespace: shop}
      spec: {selector: {app: a}, ports: [{port: 80}]}
      ---
      apiVersion: v1
      kind: Service
      metadata: {name: b, namespace: shop}
      spec: {selector: {app: b}, ports: [{port: 80}]}
      ---
      apiVersion: apps/v1
      kind: Deployment
      metadata: {name: a, namespace: shop}
      spec: {template: {metadata: {labels: {app: a}}, spec: {containers: [{name: a}]}}}
      ---
      apiVersion: apps/v1
      kind: Deployment
      metadata: {name: b, namespace: shop}
      spec: {template: {metadata: {labels: {app: b}}, spec: {containers: [{name: b}]}}}
      ---
      """;

  private static final String TCP =
      """
      apiVersion: gateway.networking.k8s.io/v1alpha2
      kind: TCPRoute
      metadata: {name: r, namespace: shop}
      spec:
        parentRefs: [{group: "", kind: Service, name: front, port: 80}]
        rules:
          - backendRefs: [{name: a, port: 80, weight: 3}, {name: b, port: 80, weight: 1}]
      """;

  private static final String HTTP =
      TCP.replace("v1alpha2", "v1")
          .replace("TCPRoute", "HTTPRoute")
          .replace("namespace: shop}\nspec", "namespace: shop, ANNOTATIONS}\nspec")
          .replace("ANNOTATIONS", "annotations: {weir.dev/split: connection}");

  @TempDir private Path directory;

  private String run(int exitCode, String... arguments) {
    StringWriter out = new StringWriter();
    CommandLine commandLine = PolicyTool.commandLine();
    commandLine.setOut(new PrintWriter(out));
    commandLine.setErr(new PrintWriter(out));
    assertThat(commandLine.execute(arguments)).as("%s", out).isEqualTo(exitCode);
    return out.toString();
  }

  private String file(String name, String text) throws Exception {
    return Files.writeString(directory.resolve(name), text).toString();
  }

  private String route(String files) throws Exception {
    return run(
        ExitCodes.OK, "route", file("files.yaml", files), "--from", "shop/", "--host", "front");
  }

  @Test
  void aTcpRouteIsAnsweredWithItsShares() throws Exception {
    assertThat(route(SHOP + TCP))
        .contains("75% Service shop/a:80 -> shop/a[Deployment]")
        .contains("25% Service shop/b:80 -> shop/b[Deployment]")
        .contains("TCPRoute shop/r splits by connection");
  }

  @Test
  void anHttpRouteByConnectionIsAnsweredWithItsShares() throws Exception {
    assertThat(route(SHOP + HTTP))
        .contains("75% Service shop/a:80", "25% Service shop/b:80", "HTTPRoute shop/r splits");
  }

  @Test
  void equalWeightsAreARouteToo() throws Exception {
    assertThat(route(SHOP + TCP.replace("weight: 3", "weight: 1")))
        .contains("50% Service shop/a:80", "50% Service shop/b:80");
  }

  @Test
  void aServiceWithoutAnAddressIsAnsweredAlike() throws Exception {
    assertThat(route(SHOP.replace("clusterIP: 10.96.0.1, ", "") + TCP))
        .contains("75% Service shop/a:80", "25% Service shop/b:80");
  }

  @Test
  void aShareThatLeadsNowhereIsSaidToBeRefused() throws Exception {
    assertThat(route(SHOP + TCP.replace("{name: b,", "{name: nobody,")))
        .contains("75% Service shop/a:80", "25% of connections are refused");
  }

  @Test
  void aSplitToNobodyIsARefusedConnection() throws Exception {
    assertThat(route(SHOP + TCP.replaceAll("\\{name: [ab],", "{name: nobody,")))
        .contains("the connection is refused")
        .contains("TCPRoute shop/r leads shop/front to nobody: connect() is refused");
  }

  private String explain(String files) throws Exception {
    String workloads =
        """
        ---
        apiVersion: weir.dev/v1alpha1
        kind: Workload
        metadata: {name: c, namespace: shop}
        spec: {cgroup: /c}
        ---
        apiVersion: weir.dev/v1alpha1
        kind: Workload
        metadata: {name: here, namespace: shop, labels: {app: a}}
        spec: {cgroup: /a, ports: [{port: 80}]}
        ---
        apiVersion: weir.dev/v1alpha1
        kind: Workload
        metadata: {name: there, namespace: shop, labels: {app: b}}
        spec: {cgroup: /b, address: 10.0.0.2, ports: [{port: 80}]}
        """;
    return run(
        ExitCodes.OK,
        "explain",
        file("files.yaml", files + workloads),
        "--from",
        "shop/c",
        "--to",
        "service/shop/front",
        "--port",
        "80");
  }

  @Test
  void explainNamesTheTierTheRouteAndTheSharesOfATcpRoute() throws Exception {
    assertThat(explain(SHOP + TCP))
        .contains("TCPRoute shop/r splits by connection", "tier: kernel")
        .contains("route: TCPRoute shop/r", "shop/a:80 75%, shop/b:80 25%")
        .contains("-> shop/here TCP 80: allowed", "-> shop/there TCP 80: allowed");
  }

  @Test
  void explainNamesTheTierTheRouteAndTheSharesOfAnHttpRouteByConnection() throws Exception {
    assertThat(explain(SHOP + HTTP))
        .contains("HTTPRoute shop/r splits by connection", "tier: kernel")
        .contains("route: HTTPRoute shop/r", "shop/a:80 75%, shop/b:80 25%");
  }

  @Test
  void explainSaysWhichPartOfConnectionsIsRefused() throws Exception {
    assertThat(explain(SHOP + TCP.replace("{name: b,", "{name: nobody,")))
        .contains("shop/a:80 75%, refused 25%", "25% of connections are refused");
  }

  @Test
  void casesAreAnsweredWithTheShares() throws Exception {
    String cases =
        file(
            "cases.jsonl",
            "{\"from\": {\"mesh_client\": {\"namespace\": \"shop\"}}, \"request\": {\"host\":"
                + " \"front\"}}");
    assertThat(
            run(ExitCodes.OK, "route", file("files.yaml", SHOP + TCP), "--cases", cases)
                .replace(" ", ""))
        .contains("\"share\":0.75", "\"share\":0.25");
  }

  @Test
  void diffSaysWhenWeightsChange() throws Exception {
    String older = file("old.yaml", SHOP + TCP);
    String newer = file("new.yaml", SHOP + TCP.replace("weight: 3", "weight: 9"));
    assertThat(run(ExitCodes.OK, "diff", older, newer))
        .contains("shop/a:80 75%, shop/b:80 25%", "shop/a:80 90%, shop/b:80 10%");
  }

  @Test
  void diffSaysThatABackendOfTheSplitIsNew() throws Exception {
    String older = file("old.yaml", SHOP + TCP.replace("weight: 1", "weight: 0"));
    String newer = file("new.yaml", SHOP + TCP);
    assertThat(run(ExitCodes.WIDENED, "diff", older, newer)).contains("shop/b:80 25%");
  }

  @Test
  void compileNamesTheRouteThatSplits() throws Exception {
    assertThat(
            run(
                ExitCodes.OK,
                "compile",
                file("files.yaml", SHOP + TCP.replace("weight: 3", "weight: 1"))))
        .contains("kernel (TCPRoute shop/r splits by connection");
  }
}
