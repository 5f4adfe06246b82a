// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.agent;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.node.FreePorts;
import dev.weir.node.kernel.KernelTest;
import dev.weir.node.kernel.Prober;
import java.io.BufferedReader;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.Callable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.io.TempDir;

/**
 * Two nodes with nothing that stands in for anything: each has a network namespace, a cgroup
 * subtree, kernel programs, an agent and a proxy of its own, certificates of the built-in
 * authority, and a cable to the other. {@code shop/web} lives on east and {@code shop/cart} on
 * west.
 *
 * <p>The nodes' addresses are on no interface, as in {@code Outside}: a mesh knows the addresses of
 * all namespaces of its machine, and each is to take the other for a machine elsewhere.
 */
@Tag("kernel")
final class TwoNodesTest {

  private static final String EAST = "10.98.1.7";
  private static final String WEST = "10.98.2.7";
  private static final String CART_SERVICE = "10.96.0.9";
  private static final int CART = 8080;
  private static final int CART_WEB = 8081;
  private static final int WEB = 9000;
  private static final String CABLE = "lan0";

  /** What nobody in between may read. */
  private static final String SECRET = "the-secret-of-the-cart";

  /** What a packet that is dropped comes to, and a connection that is closed or reset. */
  private static final String DROPPED = "ETIMEDOUT";

  private static final String RESET = "ECONNRESET";

  /** Generous: the machine may be busy with other things. */
  private static final Duration PATIENCE = Duration.ofSeconds(30);

  @TempDir private static Path shared;

  @SuppressWarnings("NullAway.Init")
  private static Path home;

  @RegisterExtension final KernelTest east = new KernelTest();
  @RegisterExtension final KernelTest west = new KernelTest();

  @TempDir private Path directory;

  private final List<Process> processes = new ArrayList<>();

  @BeforeAll
  static void layOut() throws IOException {
    Files.setPosixFilePermissions(shared, PosixFilePermissions.fromString("rwx--x--x"));
    home = RealProxy.home(shared.resolve("home"));
  }

  @BeforeEach
  void connect() throws Exception {
    for (KernelTest node : List.of(east, west)) {
      // The proxy's user passes through to its socket, as it does to /run/weir.
      Path parent = node.places().runDir().getParent();
      Files.setPosixFilePermissions(parent, PosixFilePermissions.fromString("rwx--x--x"));
      Files.createDirectories(policies(node));
    }
    ip(east, "link add " + CABLE + " type veth peer name " + CABLE + " netns " + west.netns());
    wire(east, "10.77.0.1", EAST, "10.77.0.2", "10.98.2.0/24");
    wire(west, "10.77.0.2", WEST, "10.77.0.1", "10.98.1.0/24");
    write(east, "mesh.yaml", mesh("west", WEST, "10.98.2.0/24"));
    write(west, "mesh.yaml", mesh("east", EAST, "10.98.1.0/24"));
    write(east, "workloads.yaml", EAST_WORKLOADS);
    write(west, "workloads.yaml", WEST_WORKLOADS);
    weir(east, "ca", "init", "--trust-domain", "cluster.local", state());
    weir(east, "ca", "issue", "--policy", policies(east).toString(), state(), run(east));
    weir(west, "ca", "issue", "--policy", policies(west).toString(), state(), run(west));
  }

  @AfterEach
  void end() throws Exception {
    for (Process process : processes) {
      process.destroyForcibly().waitFor();
    }
    for (KernelTest node : List.of(east, west)) {
      ProxySupervisor.left(node.places().runDir()).ifPresent(ProcessId::kill);
      Operations.downWithoutAgent(node.node());
    }
  }

  private static void ip(KernelTest node, String arguments) {
    List<String> all = new ArrayList<>(List.of("-n", node.netns()));
    all.addAll(Arrays.asList(arguments.split(" ", -1)));
    KernelTest.ip(all.toArray(String[]::new));
  }

  private static void wire(
      KernelTest node, String near, String address, String far, String others) {
    ip(node, "link set " + CABLE + " addrgenmode none up");
    ip(node, "addr add " + near + "/24 dev " + CABLE);
    ip(node, "route add local " + address + "/32 dev lo");
    ip(node, "route add " + others + " via " + far + " src " + address);
  }

  private static String mesh(String peer, String address, String workloads) throws IOException {
    // A mesh at the root of all cgroups, as a demo on the same machine has, owns the usual port in
    // every network namespace.
    String port = Integer.toString(FreePorts.next());
    return """
    apiVersion: weir.dev/v1alpha1
    kind: Mesh
    metadata: {name: node, namespace: shop}
    spec:
      proxy: {cgroup: ROOT/proxy, outboundPort: PORT}
      hbone:
        peers: [{name: PEER, address: ADDRESS, workloads: [WORKLOADS]}]
    """
        .replace("PORT", port)
        .replace("PEER", peer)
        .replace("ADDRESS", address)
        .replace("WORKLOADS", workloads);
  }

  private static final String EAST_WORKLOADS =
      """
      apiVersion: weir.dev/v1alpha1
      kind: Workload
      metadata: {name: web, namespace: shop, labels: {app: web}}
      spec: {cgroup: ROOT/web, serviceAccountName: web, ports: [{port: 9000}]}
      ---
      apiVersion: weir.dev/v1alpha1
      kind: Workload
      metadata: {name: other, namespace: shop, labels: {app: other}}
      spec: {cgroup: ROOT/other, serviceAccountName: other}
      ---
      apiVersion: weir.dev/v1alpha1
      kind: Workload
      metadata: {name: cart, namespace: shop, labels: {app: cart}}
      spec: {address: 10.98.2.7, serviceAccountName: cart, ports: [{port: 8080}, {port: 8081}]}
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
      spec: {cgroup: ROOT/cart, serviceAccountName: cart, ports: [{port: 8080}, {port: 8081}]}
      ---
      apiVersion: weir.dev/v1alpha1
      kind: Workload
      metadata: {name: web, namespace: shop, labels: {app: web}}
      spec: {address: 10.98.1.7, serviceAccountName: web, ports: [{port: 9000}]}
      ---
      apiVersion: weir.dev/v1alpha1
      kind: Workload
      metadata: {name: other, namespace: shop, labels: {app: other}}
      spec: {address: 10.98.1.8, serviceAccountName: other}
      """;

  /** On west: to one port web alone may connect, of the other it may ask for one path. */
  private static final String ONLY_WEB =
      """
      apiVersion: security.istio.io/v1
      kind: AuthorizationPolicy
      metadata: {name: cart, namespace: shop}
      spec:
        selector: {matchLabels: {app: cart}}
        action: ALLOW
        rules:
        - from: [{source: {principals: [cluster.local/ns/shop/sa/web]}}]
          to: [{operation: {ports: ["8080"]}}]
        - from: [{source: {principals: [cluster.local/ns/shop/sa/web]}}]
          to: [{operation: {ports: ["8081"], paths: [/open]}}]
      """;

  private static final String STRICT =
      """
      apiVersion: security.istio.io/v1
      kind: PeerAuthentication
      metadata: {name: cart, namespace: shop}
      spec:
        selector: {matchLabels: {app: cart}}
        mtls: {mode: STRICT}
      """;

  private Path policies(KernelTest node) {
    return directory.resolve(node.netns());
  }

  private void write(KernelTest node, String name, String text) throws IOException {
    Path temporary = directory.resolve("temporary");
    Files.writeString(temporary, text.replace("ROOT", node.root()));
    Files.move(temporary, policies(node).resolve(name), StandardCopyOption.REPLACE_EXISTING);
  }

  private String state() {
    return "--state-dir=" + directory.resolve("state");
  }

  private static String run(KernelTest node) {
    return "--run-dir=" + node.places().runDir();
  }

  private Path log(KernelTest node) {
    return directory.resolve(node.netns() + ".log");
  }

  private void weir(KernelTest node, String... arguments) throws Exception {
    Process process = NodeProcesses.java(node, "dev.weir.node.cli.Weir", arguments).start();
    String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertThat(process.waitFor()).as(said).isZero();
  }

  /** The node's agent, and with it its proxy, until both have the plan. */
  private void up(KernelTest node) throws Exception {
    ProcessBuilder builder = NodeProcesses.up(node, home, policies(node));
    processes.add(builder.redirectOutput(log(node).toFile()).start());
    eventually(node, "the proxy has its plan", () -> status(node).contains("\"generation\":"));
    eventually(
        node,
        "its generation is in force",
        () ->
            status(node)
                .contains("\"generation\":" + node.node().current().orElseThrow().generation()));
  }

  private void up() throws Exception {
    up(west);
    up(east);
  }

  private static String status(KernelTest node) {
    return asked(node, FrameType.STATUS);
  }

  private static String asked(KernelTest node, FrameType question) {
    return ProxySupervisor.ask(ProxySupervisor.socket(node.places().runDir()), question)
        .map(Frame::text)
        .orElse("");
  }

  private void eventually(KernelTest node, String what, Callable<Boolean> condition)
      throws Exception {
    long deadline = System.nanoTime() + PATIENCE.toNanos();
    while (!condition.call()) {
      if (System.nanoTime() > deadline) {
        throw new AssertionError(
            "not within "
                + PATIENCE.toSeconds()
                + " s: "
                + what
                + "\n"
                + Files.readString(log(node)));
      }
      Thread.sleep(10);
    }
  }

  /** The line of a proxy's metric whose labels are all there; with its value. */
  private static List<String> samples(KernelTest node, String name, String... labels) {
    return asked(node, FrameType.METRICS)
        .lines()
        .filter(line -> line.startsWith(name + "{") || line.startsWith(name + " "))
        .filter(line -> Arrays.stream(labels).allMatch(line::contains))
        .toList();
  }

  private static Prober sniff(KernelTest node) {
    return node.serve("", "sniff", CABLE, "--text", SECRET);
  }

  private static void serveCart(KernelTest node) {
    node.serve("cart", "listen", "0.0.0.0", Integer.toString(CART), "--reply", SECRET);
  }

  /** A workload that speaks HTTP. */
  private void web(KernelTest node, String cgroup, int port) throws Exception {
    Process process =
        NodeProcesses.workload(
                node, cgroup, WebServer.class.getName(), cgroup, Integer.toString(port))
            .start();
    processes.add(process);
    BufferedReader out = process.inputReader(StandardCharsets.UTF_8);
    assertThat(out.readLine()).isEqualTo("listening");
  }

  /** The first line of the answer to a request. */
  private static String get(KernelTest node, String who, String address, int port, String path) {
    return node.ask(who, address, port, "--text", "GET " + path + " HTTP/1.1\r\nHost: cart\r\n\r")
        .strip();
  }

  @Test
  void aConnectionGoesToTheOtherNodeWithinMutualTlsAndAsItsCallers() throws Exception {
    serveCart(west);
    up();
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
    up();
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
    web(west, "cart", CART_WEB);
    write(west, "policy.yaml", ONLY_WEB);
    up();
    assertThat(east.ask("web", WEST, CART)).isEqualTo(SECRET);
    assertThat(east.ask("other", WEST, CART)).isIn(RESET, "");
    assertThat(
            samples(west, "weir_proxy_connections_refused_total", "reason=\"verdict\"").getFirst())
        .endsWith(" 1");
    eventually(
        west,
        "the reason in the log there",
        () ->
            Files.readString(log(west))
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
    up();
    assertThat(east.ask("", WEST, CART, "--timeout", "500")).isEqualTo(SECRET);
    long before = west.node().current().orElseThrow().generation();
    write(west, "strict.yaml", STRICT);
    eventually(
        west, "a new generation", () -> west.node().current().orElseThrow().generation() > before);
    assertThat(east.ask("", WEST, CART, "--timeout", "500")).isEqualTo(DROPPED);
    assertThat(east.ask("web", WEST, CART)).isEqualTo(SECRET);
    assertThat(east.ask("web", CART_SERVICE, 80)).isEqualTo(SECRET);
  }

  @Test
  void theKernelLetsTheProxyDialTheOtherNodesTunnelsAndNotItsWorkloads() throws Exception {
    serveCart(west);
    up();
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
    up(east);
    try (Prober sniffer = sniff(west)) {
      assertThat(east.ask("web", WEST, CART)).isNotEqualTo(SECRET);
      assertThat(east.ask("web", CART_SERVICE, 80)).isNotEqualTo(SECRET);
      assertThat(sniffer.tell("now").number("found")).isZero();
      // There is somebody who would answer in plain text.
      assertThat(east.ask("", WEST, CART)).isEqualTo(SECRET);
    }
  }
}
