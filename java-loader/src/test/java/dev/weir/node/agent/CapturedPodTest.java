// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.agent;

import static dev.weir.node.agent.TwoNodes.CART;
import static dev.weir.node.agent.TwoNodes.CART_SERVICE;
import static dev.weir.node.agent.TwoNodes.CART_WEB;
import static dev.weir.node.agent.TwoNodes.EAST;
import static dev.weir.node.agent.TwoNodes.EAST_WORKLOADS_AT;
import static dev.weir.node.agent.TwoNodes.SECRET;
import static dev.weir.node.agent.TwoNodes.WEST;
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

/**
 * East of {@link TwoNodes} knows west's workload as a Pod that Istio's ambient mode has captured,
 * and no peer. At the pod's own address west's proxy is where the node's would be.
 */
@Tag("kernel")
final class CapturedPodTest {

  /** Of the pod; another one than its node's. */
  private static final String POD = "10.98.2.9";

  /** Of a pod there that nobody has captured. */
  private static final String PLAIN = "10.98.2.10";

  private static final String TUNNELS = "15008";
  private static final String REFUSED = "ECONNREFUSED";

  private static final String CAPTURED = "annotations: {ambient.istio.io/redirection: enabled}";

  private static final String EAST_WORKLOADS =
      """
      apiVersion: weir.dev/v1alpha1
      kind: Workload
      metadata: {name: web, namespace: shop, labels: {app: web}}
      spec: {cgroup: ROOT/web, serviceAccountName: web, ports: [{port: 9000}]}
      ---
      apiVersion: v1
      kind: Service
      metadata: {name: cart, namespace: shop}
      spec: {clusterIP: 10.96.0.9, selector: {app: cart}, ports: [{port: 80, targetPort: 8080}]}
      """;

  private static final String WEST_WORKLOADS =
      """
      apiVersion: weir.dev/v1alpha1
      kind: Workload
      metadata: {name: cart, namespace: shop, labels: {app: cart}}
      spec:
        cgroup: ROOT/cart
        address: 10.98.2.9
        serviceAccountName: cart
        ports: [{port: 8080}, {port: 8081}]
      ---
      apiVersion: weir.dev/v1alpha1
      kind: Workload
      metadata: {name: web, namespace: shop, labels: {app: web}}
      spec: {address: 10.98.1.7, serviceAccountName: web, ports: [{port: 9000}]}
      """;

  @RegisterExtension final TwoNodes nodes = new TwoNodes();
  private final KernelTest east = nodes.east;
  private final KernelTest west = nodes.west;

  @BeforeEach
  void pods() throws Exception {
    TwoNodes.address(west, POD);
    TwoNodes.address(west, PLAIN);
    // So that services lead to pods elsewhere also as they are.
    nodes.write(east, "mesh.yaml", mesh("{discover: Ambient}") + "  trustPodAddresses: true\n");
    nodes.write(west, "mesh.yaml", mesh("{" + peer("east", EAST, EAST_WORKLOADS_AT) + "}"));
    nodes.write(east, "workloads.yaml", EAST_WORKLOADS);
    nodes.write(west, "workloads.yaml", WEST_WORKLOADS);
    nodes.write(east, "pod.yaml", pod("cart", POD, CAPTURED));
    nodes.write(east, "plain.yaml", pod("plain", PLAIN, ""));
    nodes.issue();
    serveCart(west);
    nodes.up();
  }

  private static String pod(String name, String address, String metadata) {
    return """
    apiVersion: v1
    kind: Pod
    metadata: {name: NAME, namespace: shop, labels: {app: NAME}, METADATA}
    spec:
      serviceAccountName: NAME
      containers: [{name: c, ports: [{containerPort: 8080}, {containerPort: 8081}]}]
    status: {podIP: ADDRESS}
    """
        .replace("NAME", name)
        .replace("ADDRESS", address)
        .replace(", METADATA", metadata.isEmpty() ? "" : ", " + metadata);
  }

  /** Connections of web that west's proxy has let in. */
  private long arrived() {
    return samples(
            west,
            "istio_tcp_connections_opened_total",
            "reporter=\"destination\"",
            "source_principal=\"spiffe://cluster.local/ns/shop/sa/web\"",
            "connection_security_policy=\"mutual_tls\"",
            "destination_workload=\"cart\"")
        .stream()
        .mapToLong(line -> (long) Double.parseDouble(line.substring(line.lastIndexOf(' ') + 1)))
        .sum();
  }

  @Test
  void aPodThatWasCapturedIsReachedByATunnelToItsOwnAddress() {
    try (Prober sniffer = sniff(west)) {
      assertThat(east.ask("web", POD, CART)).isEqualTo(SECRET);
      assertThat(east.ask("web", CART_SERVICE, 80)).isEqualTo(SECRET);
      Prober.Line seen = sniffer.tell("now");
      assertThat(seen.number("frames")).isGreaterThan(10);
      assertThat(seen.number("found")).isZero();
      assertThat(arrived()).isEqualTo(2);
      // Whom nobody governs goes as he always went: what is looked for would have been found.
      assertThat(east.ask("", POD, CART)).isEqualTo(SECRET);
      assertThat(sniffer.tell("now").number("found")).isPositive();
    }
  }

  @Test
  void theKernelLetsTheProxyDialThePodsTunnelsAndNothingElseThere() {
    assertThat(dialledByProxy(POD, TUNNELS)).isEqualTo("ok");
    for (String port : new String[] {"" + CART, "" + CART_WEB, "15009"}) {
      assertThat(dialledByProxy(POD, port)).as(port).isEqualTo(REFUSED);
    }
    // They would be answered: the node, and another address there, take tunnels as well.
    for (String other : new String[] {WEST, PLAIN}) {
      assertThat(east.run("", "connect", other, TUNNELS).text("result")).isEqualTo("ok");
      assertThat(dialledByProxy(other, TUNNELS)).as(other).isEqualTo(REFUSED);
    }
  }

  private String dialledByProxy(String address, String port) {
    return east.run("proxy", "connect", address, port).text("result");
  }

  @Test
  void whenTheAnnotationGoesThePodIsDialledInPlainTextAndByTunnelWhenItComesBack()
      throws Exception {
    try (Prober sniffer = sniff(west)) {
      assertThat(east.ask("web", CART_SERVICE, 80)).isEqualTo(SECRET);
      assertThat(arrived()).isEqualTo(1);
      assertThat(sniffer.tell("now").number("found")).isZero();
      nodes.change(east, "pod.yaml", pod("cart", POD, ""));
      assertThat(east.ask("web", CART_SERVICE, 80)).isEqualTo(SECRET);
      assertThat(east.ask("web", POD, CART)).isEqualTo(SECRET);
      long found = sniffer.tell("now").number("found");
      assertThat(found).isPositive();
      assertThat(dialledByProxy(POD, TUNNELS)).isEqualTo(REFUSED);
      nodes.change(east, "pod.yaml", pod("cart", POD, CAPTURED));
      assertThat(east.ask("web", CART_SERVICE, 80)).isEqualTo(SECRET);
      assertThat(east.ask("web", POD, CART)).isEqualTo(SECRET);
      assertThat(sniffer.tell("now").number("found")).isEqualTo(found);
      assertThat(arrived()).isEqualTo(3);
    }
  }
}
