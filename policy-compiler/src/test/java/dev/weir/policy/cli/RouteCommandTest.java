// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.json.JsonObject;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;

class RouteCommandTest {

  private static final String FILES =
      """
      apiVersion: gateway.networking.k8s.io/v1
      kind: Gateway
      metadata: {name: edge, namespace: shop}
      spec:
        gatewayClassName: weir
        listeners:
          - {name: any, port: 80, protocol: HTTP}
          - {name: all, port: 80, protocol: HTTP, hostname: "*.example.com"}
          - {name: foo, port: 80, protocol: HTTP, hostname: foo.example.com}
          - {name: tls, port: 443, protocol: HTTPS, hostname: foo.example.com,
             tls: {certificateRefs: [{name: foo}]}}
          - {name: tls-all, port: 443, protocol: HTTPS, hostname: "*.example.com",
             tls: {certificateRefs: [{name: all}]}}
      ---
      apiVersion: gateway.networking.k8s.io/v1
      kind: HTTPRoute
      metadata: {name: any, namespace: shop}
      spec:
        parentRefs: [{name: edge, sectionName: any}]
        rules: [{backendRefs: [{name: cart, port: 80}]}]
      ---
      apiVersion: gateway.networking.k8s.io/v1
      kind: HTTPRoute
      metadata: {name: all, namespace: shop}
      spec:
        parentRefs: [{name: edge, sectionName: all}, {name: edge, sectionName: tls-all}]
        rules:
          - matches: [{path: {value: /cart}}]
            backendRefs: [{name: cart, port: 80, weight: 3}, {name: gone, port: 80, weight: 1}]
          - matches: [{path: {value: /cors}}]
            filters:
              - type: CORS
                cors: {allowOrigins: ["https://*.shop.test"], allowMethods: [GET, PUT], maxAge: 9}
            backendRefs: [{name: cart, port: 80}]
          - matches: [{path: {value: /far}}]
            backendRefs: [{name: cart, namespace: far, port: 80}]
      ---
      apiVersion: gateway.networking.k8s.io/v1
      kind: HTTPRoute
      metadata: {name: foo, namespace: shop}
      spec:
        parentRefs: [{name: edge, sectionName: foo}, {name: edge, sectionName: tls}]
        rules:
          - matches: [{path: {type: Exact, value: /foo}}]
            backendRefs: [{name: cart, port: 80}]
      ---
      apiVersion: gateway.networking.k8s.io/v1
      kind: ReferenceGrant
      metadata: {name: shop, namespace: far}
      spec:
        from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: shop}]
        to: [{group: "", kind: Service}]
      ---
      apiVersion: v1
      kind: Service
      metadata: {name: cart, namespace: shop}
      spec: {selector: {app: cart}, ports: [{port: 80}]}
      ---
      apiVersion: v1
      kind: Service
      metadata: {name: cart, namespace: far}
      spec: {selector: {app: cart}, ports: [{port: 80}]}
      ---
      apiVersion: apps/v1
      kind: Deployment
      metadata: {name: cart, namespace: shop}
      spec: {template: {metadata: {labels: {app: cart}}, spec: {containers: [{name: cart}]}}}
      ---
      apiVersion: apps/v1
      kind: Deployment
      metadata: {name: cart, namespace: far}
      spec: {template: {metadata: {labels: {app: cart}}, spec: {containers: [{name: cart}]}}}
      """;

  @TempDir Path directory;

  private record Answer(int exitCode, String text) {}

  private static Answer run(String... arguments) {
    StringWriter out = new StringWriter();
    CommandLine commandLine = PolicyTool.commandLine();
    commandLine.setOut(new PrintWriter(out));
    commandLine.setErr(new PrintWriter(out));
    return new Answer(commandLine.execute(arguments), out.toString());
  }

  private Path files() throws Exception {
    Path folder = Files.createDirectories(directory.resolve("files"));
    Files.writeString(folder.resolve("shop.yaml"), FILES);
    return folder;
  }

  private Answer cases(String... lines) throws Exception {
    Path file = directory.resolve("cases.jsonl");
    Files.writeString(file, String.join("\n", lines));
    return run("route", files().toString(), "--cases", file.toString());
  }

  private JsonObject one(String line) throws Exception {
    return JsonObject.parse(cases(line).text(), "answer");
  }

  private JsonObject ask(String from, String request) throws Exception {
    return one(
        "{\"from\": {\"gateway\": \"shop/edge\", " + from + "}, \"request\": {" + request + "}}");
  }

  private JsonObject http(String host, String path) throws Exception {
    return ask("\"port\": 80", "\"host\": \"" + host + "\", \"path\": \"" + path + "\"");
  }

  @Test
  void aRequestHasOneListenerAndOnlyItsRoutes() throws Exception {
    assertThat(http("foo.example.com", "/foo").integer("status", 0, 999)).isEqualTo(200);
    assertThat(http("foo.example.com", "/cart").integer("status", 0, 999)).isEqualTo(404);
    assertThat(http("FOO.example.com:80", "/foo").object("entrance").text("listener"))
        .isEqualTo("foo");
    assertThat(http("a.b.example.com", "/cart").object("entrance").text("listener"))
        .isEqualTo("all");
    assertThat(http("example.com", "/x").object("rule").text("name")).isEqualTo("any");
  }

  @Test
  void aHandshakeForAnotherListenerIsAnswered421() throws Exception {
    String tls = "\"port\": 443, \"scheme\": \"https\"";
    String host = "\"host\": \"foo.example.com\", \"path\": \"/foo\", ";
    assertThat(ask(tls, host + "\"server_name\": \"foo.example.com\"").integer("status", 0, 999))
        .isEqualTo(200);
    assertThat(ask(tls, host + "\"server_name\": \"bar.example.com\"").integer("status", 0, 999))
        .isEqualTo(421);
    assertThat(
            ask(tls, "\"host\": \"other.test\", \"server_name\": \"bar.example.com\"")
                .integer("status", 0, 999))
        .isEqualTo(404);
  }

  @Test
  void aShareOfAnInvalidReferenceIsSaidToFail() throws Exception {
    JsonObject answer = http("a.example.com", "/cart/1");
    assertThat(answer.objects("backends").getFirst().toMap()).containsEntry("share", 0.75);
    assertThat(answer.objects("failing").getFirst().integer("status", 0, 999)).isEqualTo(500);
    assertThat(answer.object("rule").text("clause")).isEqualTo("rules[0]");
    assertThat(answer.object("rule").integer("line", 1, 999)).isEqualTo(28);
  }

  @Test
  void aPreflightIsAnsweredForOriginsThatAreAllowed() throws Exception {
    String preflight =
        "\"host\": \"a.example.com\", \"path\": \"/cors\", \"method\": \"OPTIONS\", \"headers\":"
            + " {\"Access-Control-Request-Method\": \"PUT\", \"Origin\": \"https://ORIGIN\"}";
    JsonObject good = ask("\"port\": 80", preflight.replace("ORIGIN", "www.shop.test"));
    assertThat(good.integer("status", 0, 999)).isEqualTo(204);
    assertThat(good.textMap("response_headers"))
        .containsEntry("Access-Control-Allow-Origin", "https://www.shop.test")
        .containsEntry("Access-Control-Allow-Methods", "GET, PUT")
        .containsEntry("Access-Control-Max-Age", "9");
    JsonObject bad = ask("\"port\": 80", preflight.replace("ORIGIN", "shop.test"));
    assertThat(bad.textMap("response_headers")).isEmpty();
  }

  @Test
  void anObjectIsTakenToBeDeleted() throws Exception {
    String line =
        "{\"from\": {\"gateway\": \"shop/edge\", \"port\": 80}, \"request\": {\"host\":"
            + " \"a.example.com\", \"path\": \"/far\"}";
    assertThat(one(line + "}").integer("status", 0, 999)).isEqualTo(200);
    assertThat(
            one(line
                    + ", \"after_change\": {\"kind\": \"ReferenceGrant\", \"namespace\": \"far\","
                    + " \"name\": \"shop\"}}")
                .integer("status", 0, 999))
        .isEqualTo(500);
  }

  @Test
  void aLineWithoutAnAnswerStopsNothing() throws Exception {
    Answer answer =
        cases(
            "{\"from\": {\"gateway\": \"shop/none\"}, \"request\": {}}",
            "nonsense",
            "{\"from\": {\"mesh_client\": {\"namespace\": \"shop\"}}, \"request\": {\"host\":"
                + " \"cart\"}}");
    List<String> lines = answer.text().lines().toList();
    assertThat(answer.exitCode()).isEqualTo(ExitCodes.FINDINGS);
    assertThat(lines).hasSize(3);
    assertThat(lines.get(0)).contains("\"error\":", "there is no Gateway shop/none");
    assertThat(lines.get(1)).contains("\"error\":", "\"line\":2");
    assertThat(lines.get(2)).contains("\"status\":200");
  }

  @Test
  void aReaderIsToldListenerRuleAndBackends() throws Exception {
    Answer answer =
        run(
            "route",
            files().toString(),
            "--gateway",
            "edge",
            "--host",
            "a.example.com",
            "--port",
            "80",
            "--path",
            "/cart");
    assertThat(answer.exitCode()).isEqualTo(ExitCodes.OK);
    assertThat(answer.text())
        .contains(
            "Gateway shop/edge listener all port 80", "HTTPRoute shop/all rules[0]", "shop.yaml:28")
        .contains("75% Service shop/cart:80 -> shop/cart[Deployment]", "25% answered 500");
  }

  @Test
  void whoNamesNobodyIsToldSo() throws Exception {
    Answer answer = run("route", files().toString(), "--from", "nobody", "--host", "cart");
    assertThat(answer.exitCode()).isEqualTo(ExitCodes.USAGE);
    assertThat(answer.text()).contains("no workload is called \"nobody\"");
    assertThat(run("route", files().toString(), "--gateway", "edge", "--port", "81").exitCode())
        .isEqualTo(ExitCodes.USAGE);
  }

  @Test
  void whereClientsAreSplitTheOneThatAsksHasOneBackend() throws Exception {
    Path folder = files();
    Files.writeString(
        folder.resolve("canary.yaml"),
        """
        {apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute,
         metadata: {name: canary, namespace: shop},
         spec: {parentRefs: [{group: "", kind: Service, name: front}],
                rules: [{backendRefs: [{name: v1, port: 80, weight: 7},
                                       {name: v2, port: 80, weight: 3}]}]}}
        ---
        {apiVersion: v1, kind: Service, metadata: {name: front, namespace: shop},
         spec: {clusterIP: 10.96.0.7, selector: {app: cart}, ports: [{port: 80}]}}
        ---
        {apiVersion: v1, kind: Service, metadata: {name: v1, namespace: shop},
         spec: {selector: {app: cart}, ports: [{port: 80}]}}
        ---
        {apiVersion: v1, kind: Service, metadata: {name: v2, namespace: shop},
         spec: {selector: {app: cart}, ports: [{port: 80}]}}
        ---
        {apiVersion: weir.dev/v1alpha1, kind: TrafficPolicy, metadata: {name: p, namespace: shop},
         spec: {targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: canary}],
                stickySplit: {type: Header, name: x-user}}}
        """);
    int canaries = 0;
    for (int user = 0; user < 40; user++) {
      Answer answer =
          run(
              "route",
              folder.toString(),
              "--from",
              "shop/",
              "--host",
              "front",
              "--header",
              "X-User=" + user,
              "-o",
              "json");
      List<JsonObject> backends = JsonObject.parse(answer.text(), "answer").objects("backends");
      assertThat(backends).hasSize(1);
      assertThat(backends.getFirst().toMap()).containsEntry("share", 1.0);
      canaries += backends.getFirst().text("name").equals("v2") ? 1 : 0;
    }
    assertThat(canaries).isBetween(4, 20);
    // Who does not say who it is may meet either.
    Answer anybody =
        run("route", folder.toString(), "--from", "shop/", "--host", "front", "-o", "json");
    assertThat(JsonObject.parse(anybody.text(), "answer").objects("backends")).hasSize(2);
  }
}
