// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.agent;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.node.FreePorts;
import dev.weir.node.kernel.DurableFile;
import dev.weir.node.kernel.KernelTest;
import dev.weir.node.kernel.Prober;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.UncheckedIOException;
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
import org.junit.jupiter.api.extension.AfterEachCallback;
import org.junit.jupiter.api.extension.BeforeEachCallback;
import org.junit.jupiter.api.extension.ExtensionContext;

/**
 * Two nodes with nothing that stands in for anything: each has a network namespace, a cgroup
 * subtree, kernel programs, an agent and a proxy of its own, and a cable to the other. All of it
 * goes with the test, whatever happens. {@code shop/web} lives on east and {@code shop/cart} on
 * west; what is in the policy directories is the test's.
 *
 * <p>The nodes' addresses are on no interface, as in {@code Outside}: a mesh knows the addresses of
 * all namespaces of its machine, and each is to take the other for a machine elsewhere.
 */
final class TwoNodes implements BeforeEachCallback, AfterEachCallback {

  static final String EAST = "10.98.1.7";
  static final String WEST = "10.98.2.7";
  static final String EAST_WORKLOADS_AT = "10.98.1.0/24";
  static final String WEST_WORKLOADS_AT = "10.98.2.0/24";
  static final String CART_SERVICE = "10.96.0.9";
  static final int CART = 8080;
  static final int CART_WEB = 8081;
  static final int WEB = 9000;
  private static final String CABLE = "lan0";

  /** What nobody in between may read. */
  static final String SECRET = "the-secret-of-the-cart";

  /** What a packet that is dropped comes to, and a connection that is closed or reset. */
  static final String DROPPED = "ETIMEDOUT";

  static final String RESET = "ECONNRESET";

  /** Generous: the machine may be busy with other things. */
  private static final Duration PATIENCE = Duration.ofSeconds(60);

  private static final ExtensionContext.Namespace NAMESPACE =
      ExtensionContext.Namespace.create(TwoNodes.class);

  static final String EAST_WORKLOADS =
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

  static final String WEST_WORKLOADS =
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
  static final String ONLY_WEB =
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

  final KernelTest east = new KernelTest();
  final KernelTest west = new KernelTest();

  /** Those of the two that are there, and have to go. */
  private final List<KernelTest> there = new ArrayList<>();

  private final List<Process> processes = new ArrayList<>();
  private Path directory = Path.of("/nonexistent");
  private Path home = Path.of("/nonexistent");

  /** The proxy as it is laid out, once for all tests. */
  private static final class Home implements AutoCloseable {
    private final Path shared;
    private final Path home;

    private Home() throws IOException {
      shared = Files.createTempDirectory("weir-home");
      Files.setPosixFilePermissions(shared, PosixFilePermissions.fromString("rwx--x--x"));
      home = RealProxy.home(shared.resolve("home"));
    }

    private static Home make() {
      try {
        return new Home();
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
    }

    @Override
    public void close() {
      DurableFile.removeTree(shared);
    }
  }

  @Override
  public void beforeEach(ExtensionContext context) throws Exception {
    directory = Files.createTempDirectory("weir-two-nodes");
    for (KernelTest node : List.of(east, west)) {
      there.add(node);
      node.beforeEach(context);
      // The proxy's user passes through to its socket, as it does to /run/weir.
      Path parent = node.places().runDir().getParent();
      Files.setPosixFilePermissions(parent, PosixFilePermissions.fromString("rwx--x--x"));
      Files.createDirectories(policies(node));
    }
    home =
        context
            .getRoot()
            .getStore(NAMESPACE)
            .getOrComputeIfAbsent(Home.class, key -> Home.make(), Home.class)
            .home;
    ip(east, "link add " + CABLE + " type veth peer name " + CABLE + " netns " + west.netns());
    wire(east, "10.77.0.1", EAST, "10.77.0.2", WEST_WORKLOADS_AT);
    wire(west, "10.77.0.2", WEST, "10.77.0.1", EAST_WORKLOADS_AT);
  }

  @Override
  public void afterEach(ExtensionContext context) throws Exception {
    try {
      for (Process process : processes) {
        process.destroyForcibly().waitFor();
      }
    } finally {
      try {
        end(east, context);
      } finally {
        try {
          end(west, context);
        } finally {
          DurableFile.removeTree(directory);
        }
      }
    }
  }

  private void end(KernelTest node, ExtensionContext context) throws Exception {
    if (!there.contains(node)) {
      return;
    }
    try {
      if (Files.isDirectory(policies(node))) {
        ProxySupervisor.left(node.places().runDir()).ifPresent(ProcessId::kill);
        Operations.downWithoutAgent(node.node());
      }
    } finally {
      node.afterEach(context);
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
    address(node, address);
    ip(node, "route add " + others + " via " + far + " src " + address);
  }

  /** From now on a node takes what comes for an address, which is on none of its interfaces. */
  static void address(KernelTest node, String address) {
    ip(node, "route add local " + address + "/32 dev lo");
  }

  /**
   * A Mesh with tunnels.
   *
   * @param hbone what is to be said of them, in braces
   */
  static String mesh(String hbone) throws IOException {
    // A mesh at the root of all cgroups, as a demo on the same machine has, owns the usual port in
    // every network namespace.
    String port = Integer.toString(FreePorts.next());
    return """
    apiVersion: weir.dev/v1alpha1
    kind: Mesh
    metadata: {name: node, namespace: shop}
    spec:
      proxy: {cgroup: ROOT/proxy, outboundPort: PORT}
      hbone: HBONE
    """
        .replace("PORT", port)
        .replace("HBONE", hbone);
  }

  /** What {@link #mesh} wants, of one other node. */
  static String peer(String name, String address, String workloads) {
    return "peers: [{name: "
        + name
        + ", address: "
        + address
        + ", workloads: ["
        + workloads
        + "]}]";
  }

  private Path policies(KernelTest node) {
    return directory.resolve(node.netns());
  }

  /** Writes a policy file as deployments do, by renaming. {@code ROOT} is the mesh's cgroup. */
  void write(KernelTest node, String name, String text) throws IOException {
    Path temporary = directory.resolve("temporary");
    Files.writeString(temporary, text.replace("ROOT", node.root()));
    Files.move(temporary, policies(node).resolve(name), StandardCopyOption.REPLACE_EXISTING);
  }

  /** A directory for whatever a test keeps. */
  Path directory() {
    return directory;
  }

  /** What a node's agent, and its proxy, have said so far. */
  String log(KernelTest node) throws IOException {
    Path file = logFile(node);
    return Files.exists(file) ? Files.readString(file) : "";
  }

  private Path logFile(KernelTest node) {
    return directory.resolve(node.netns() + ".log");
  }

  /** Certificates of the built-in authority in files, for all workloads in the policies. */
  void issue() throws Exception {
    String state = "--state-dir=" + directory.resolve("state");
    weir(east, "ca", "init", "--trust-domain", "cluster.local", state);
    for (KernelTest node : List.of(east, west)) {
      String run = "--run-dir=" + node.places().runDir();
      weir(node, "ca", "issue", "--policy", policies(node).toString(), state, run);
    }
  }

  private static void weir(KernelTest node, String... arguments) throws Exception {
    Process process = NodeProcesses.java(node, "dev.weir.node.cli.Weir", arguments).start();
    String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertThat(process.waitFor()).as(said).isZero();
  }

  /** The nodes' agents, and with them their proxies, until all have the plan. */
  void up(KernelTest... nodes) throws Exception {
    for (KernelTest node : nodes) {
      ProcessBuilder builder = NodeProcesses.up(node, home, policies(node));
      processes.add(builder.redirectOutput(logFile(node).toFile()).start());
    }
    for (KernelTest node : nodes) {
      inForce(node);
    }
  }

  /** Both nodes. */
  void up() throws Exception {
    up(west, east);
  }

  /** Waits until the proxy has what is in force in the kernel. */
  void inForce(KernelTest node) throws Exception {
    eventually(node, "the proxy has its plan", () -> status(node).contains("\"generation\":"));
    eventually(
        node,
        "its generation is in force",
        () -> status(node).contains("\"generation\":" + generation(node)));
  }

  static long generation(KernelTest node) {
    return node.node().current().orElseThrow().generation();
  }

  /** Has the running agent put files in force. */
  void change(KernelTest node, String name, String text) throws Exception {
    long before = generation(node);
    write(node, name, text);
    eventually(node, "a new generation", () -> generation(node) > before);
    inForce(node);
  }

  static String status(KernelTest node) {
    return asked(node, FrameType.STATUS);
  }

  private static String asked(KernelTest node, FrameType question) {
    return ProxySupervisor.ask(ProxySupervisor.socket(node.places().runDir()), question)
        .map(Frame::text)
        .orElse("");
  }

  /** Waits for something, which a node's log may tell why it does not come. */
  void eventually(KernelTest node, String what, Callable<Boolean> condition) throws Exception {
    long deadline = System.nanoTime() + PATIENCE.toNanos();
    while (!condition.call()) {
      if (System.nanoTime() > deadline) {
        throw new AssertionError(
            "not within " + PATIENCE.toSeconds() + " s: " + what + "\n" + log(node));
      }
      Thread.sleep(10);
    }
  }

  /** The line of a proxy's metric whose labels are all there; with its value. */
  static List<String> samples(KernelTest node, String name, String... labels) {
    return asked(node, FrameType.METRICS)
        .lines()
        .filter(line -> line.startsWith(name + "{") || line.startsWith(name + " "))
        .filter(line -> Arrays.stream(labels).allMatch(line::contains))
        .toList();
  }

  /** Looks at every frame on the cable. */
  static Prober sniff(KernelTest node) {
    return node.serve("", "sniff", CABLE, "--text", SECRET);
  }

  static void serveCart(KernelTest node) {
    node.serve("cart", "listen", "0.0.0.0", Integer.toString(CART), "--reply", SECRET);
  }

  /** A workload that speaks HTTP. */
  void web(KernelTest node, String cgroup, int... ports) throws Exception {
    List<String> arguments = new ArrayList<>(List.of(cgroup));
    Arrays.stream(ports).mapToObj(Integer::toString).forEach(arguments::add);
    Process process =
        start(
            NodeProcesses.workload(
                node, cgroup, WebServer.class.getName(), arguments.toArray(String[]::new)));
    BufferedReader out = process.inputReader(StandardCharsets.UTF_8);
    assertThat(out.readLine()).isEqualTo("listening");
  }

  /** Starts a process that ends with the test. */
  Process start(ProcessBuilder builder) throws IOException {
    Process process = builder.start();
    processes.add(process);
    return process;
  }
}
