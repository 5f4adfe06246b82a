// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.agent;

import static dev.weir.node.agent.TwoNodes.CART;
import static dev.weir.node.agent.TwoNodes.CART_SERVICE;
import static dev.weir.node.agent.TwoNodes.CART_WEB;
import static dev.weir.node.agent.TwoNodes.DROPPED;
import static dev.weir.node.agent.TwoNodes.EAST;
import static dev.weir.node.agent.TwoNodes.EAST_WORKLOADS;
import static dev.weir.node.agent.TwoNodes.EAST_WORKLOADS_AT;
import static dev.weir.node.agent.TwoNodes.ONLY_WEB;
import static dev.weir.node.agent.TwoNodes.RESET;
import static dev.weir.node.agent.TwoNodes.SECRET;
import static dev.weir.node.agent.TwoNodes.WEB;
import static dev.weir.node.agent.TwoNodes.WEST;
import static dev.weir.node.agent.TwoNodes.WEST_WORKLOADS;
import static dev.weir.node.agent.TwoNodes.WEST_WORKLOADS_AT;
import static dev.weir.node.agent.TwoNodes.mesh;
import static dev.weir.node.agent.TwoNodes.peer;
import static dev.weir.node.agent.TwoNodes.samples;
import static dev.weir.node.agent.TwoNodes.serveCart;
import static dev.weir.node.agent.TwoNodes.sniff;
import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.node.kernel.KernelTest;
import dev.weir.node.kernel.Prober;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/** Connections between {@link TwoNodes}, with certificates of the built-in authority. */
@Tag("kernel")
final class TwoNodesTest {

  @RegisterExtension final TwoNodes nodes = new TwoNodes();
  private final KernelTest east = nodes.east;
  private final KernelTest west = nodes.west;

  @BeforeEach
  void identities() throws Exception {
    nodes.write(east, "mesh.yaml", mesh("{" + peer("west", WEST, WEST_WORKLOADS_AT) + "}"));
    nodes.write(west, "mesh.yaml", mesh("{" + peer("east", EAST, EAST_WORKLOADS_AT) + "}"));
    nodes.write(east, "workloads.yaml", EAST_WORKLOADS);
    nodes.write(west, "workloads.yaml", WEST_WORKLOADS);
    nodes.issue();
  }

  private static final String STRICT =
      """
      apiVersion: security.istio.io/v1
      kind: PeerAuthentication
      metadata: {name: cart, namespace: shop}
      spec:
        selector: {matchLabels: {app: cart}}
        mtls: {mode: STRICT}
      """;

  /** The first line of the answer to a request. */
  private static String get(KernelTest node, String who, String address, int port, String path) {
    return node.ask(who, address, port, "--text", "GET " + path + " HTTP/1.1\r\nHost: cart\r\n\r")
        .strip();
  }

  @Test
  void aConnectionGoesToTheOtherNodeWithinMutualTlsAndAsItsCallers() throws Exception {
    serveCart(west);
    nodes.up();
    try (Prober sniffer = sniff(west)) {
      assertThat(east.ask("web", CART_SERVICE, 80)).isEqualTo(SECRET);
      assertThat(east.ask("web", WEST, CART)).isEqualTo(SECRET);
      Prober.Line seen = sniffer.tell("now");
      assertThat(seen.number("frames")).isGreaterThan(10);
      assertThat(seen.number("found")).isZero();
      // Whom nobody governs goes as he always went: what is looked for would have been found.
      assertThat(east.ask("", WEST, CART)).isEqualTo(SECRET);
      assertThat(sniffer.tell("now").number("found")).isPositive();
    }
    assertThat(
            samples(
                west,
                "istio_tcp_connections_opened_total",
                "reporter=\"destination\"",
                "source_principal=\"spiffe://cluster.local/ns/shop/sa/web\"",
                "connection_security_policy=\"mutual_tls\"",
                "destination_workload=\"cart\""))
        .singleElement()
        .satisfies(line -> assertThat(line).endsWith(" 2"));
  }

  @Test
  void theOtherWayRoundAtTheSameTime() throws Exception {
    serveCart(west);
    east.serve("web", "listen", "0.0.0.0", Integer.toString(WEB), "--reply", "web");
    nodes.up();
    for (int i = 0; i < 3; i++) {
      assertThat(east.ask("web", WEST, CART)).isEqualTo(SECRET);
      assertThat(west.ask("cart", EAST, WEB)).isEqualTo("web");
    }
    assertThat(
            samples(
                east,
                "istio_tcp_connections_opened_total",
                "reporter=\"destination\"",
                "source_principal=\"spiffe://cluster.local/ns/shop/sa/cart\"",
                "connection_security_policy=\"mutual_tls\""))
        .isNotEmpty();
  }

  @Test
  void whomThePoliciesThereDoNotNameIsRefusedThereAndPathsAreLookedAt() throws Exception {
    serveCart(west);
    nodes.web(west, "cart", CART_WEB);
    nodes.write(west, "policy.yaml", ONLY_WEB);
    nodes.up();
    assertThat(east.ask("web", WEST, CART)).isEqualTo(SECRET);
    assertThat(east.ask("other", WEST, CART)).isIn(RESET, "");
    assertThat(
            samples(west, "weir_proxy_connections_refused_total", "reason=\"verdict\"").getFirst())
        .endsWith(" 1");
    nodes.eventually(
        west,
        "the reason in the log there",
        () ->
            nodes
                .log(west)
                .contains(
                    "shop/other may not connect to shop/cart (127.0.0.1:8080): REFUSE by"
                        + " AuthorizationPolicy shop/cart"));
    assertThat(get(east, "web", WEST, CART_WEB, "/open")).isEqualTo("HTTP/1.1 200 OK");
    assertThat(get(east, "web", WEST, CART_WEB, "/closed")).isEqualTo("HTTP/1.1 403 Forbidden");
    assertThat(get(east, "other", WEST, CART_WEB, "/open")).isIn(RESET, "");
  }

  @Test
  void underStrictPlainTextIsDroppedAndTheTunnelPasses() throws Exception {
    serveCart(west);
    nodes.up();
    assertThat(east.ask("", WEST, CART, "--timeout", "500")).isEqualTo(SECRET);
    nodes.change(west, "strict.yaml", STRICT);
    assertThat(east.ask("", WEST, CART, "--timeout", "500")).isEqualTo(DROPPED);
    assertThat(east.ask("web", WEST, CART)).isEqualTo(SECRET);
    assertThat(east.ask("web", CART_SERVICE, 80)).isEqualTo(SECRET);
  }

  @Test
  void theKernelLetsTheProxyDialTheOtherNodesTunnelsAndNotItsWorkloads() throws Exception {
    serveCart(west);
    nodes.up();
    for (int port : new int[] {CART, CART_WEB}) {
      String[] connect = {"connect", WEST, Integer.toString(port)};
      assertThat(east.run("proxy", connect).text("result")).isEqualTo("ECONNREFUSED");
    }
    assertThat(east.run("proxy", "connect", WEST, "15008").text("result")).isEqualTo("ok");
    assertThat(east.ask("web", CART_SERVICE, 80)).isEqualTo(SECRET);
  }

  @Test
  void whereThereIsNoTunnelNothingGoesInPlainText() throws Exception {
    serveCart(west);
    nodes.up(east);
    try (Prober sniffer = sniff(west)) {
      assertThat(east.ask("web", WEST, CART)).isNotEqualTo(SECRET);
      assertThat(east.ask("web", CART_SERVICE, 80)).isNotEqualTo(SECRET);
      assertThat(sniffer.tell("now").number("found")).isZero();
      // There is somebody who would answer in plain text.
      assertThat(east.ask("", WEST, CART)).isEqualTo(SECRET);
    }
  }
}
