// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.agent;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.weir.node.FreePorts;
import dev.weir.node.bpf.BpfLink;
import dev.weir.node.kernel.Current;
import dev.weir.node.kernel.KernelTest;
import dev.weir.node.kernel.NodeException;
import dev.weir.node.kernel.Places;
import dev.weir.policy.json.JsonObject;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Clock;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.io.TempDir;

/** The agent on the real kernel, with a stand-in for the proxy where one is needed. */
@Tag("kernel")
final class AgentTest {

  private static final String REFUSED = "ECONNREFUSED";
  private static final int DB = 5432;
  private static final int ROOT = 0;
  private static final int NOBODY = 65534;

  /** Generous: the machine may be busy with other things. */
  private static final Duration PATIENCE = Duration.ofSeconds(20);

  @RegisterExtension final KernelTest kernel = new KernelTest();

  @TempDir private Path directory;

  private final ByteArrayOutputStream logged = new ByteArrayOutputStream();
  private final List<Agent> agents = new ArrayList<>();
  private final List<Process> processes = new ArrayList<>();

  @SuppressWarnings("NullAway.Init")
  private Path policy;

  @SuppressWarnings("NullAway.Init")
  private Path home;

  private Duration auditInterval = AgentSettings.DEFAULT_AUDIT_INTERVAL;
  private int metricsPort;
  private int healthPort;

  @BeforeEach
  void layOut() throws IOException {
    policy = Files.createDirectory(directory.resolve("policy"));
    home = StandInProxy.home(directory.resolve("home"));
    // The proxy's user passes through to its socket, as it does to /run/weir.
    Path parent = kernel.places().runDir().getParent();
    Files.setPosixFilePermissions(parent, PosixFilePermissions.fromString("rwx--x--x"));
    metricsPort = FreePorts.next();
    healthPort = FreePorts.next();
    write("mesh.yaml", MESH);
    write("workloads.yaml", WORKLOADS);
    write("policy.yaml", policyFor("web"));
  }

  @AfterEach
  void end() throws IOException {
    agents.forEach(Agent::close);
    processes.forEach(Process::destroyForcibly);
    ProxySupervisor.left(kernel.places().runDir()).ifPresent(ProcessId::kill);
    Operations.downWithoutAgent(kernel.node());
  }

  private static final String MESH =
      """
      apiVersion: weir.dev/v1alpha1
      kind: Mesh
      metadata: {name: test, namespace: shop}
      spec:
        proxy: {cgroup: ROOT/proxy}
        metricsPort: METRICS
        healthPort: HEALTH
      """;

  private static final String WORKLOADS =
      """
      apiVersion: weir.dev/v1alpha1
      kind: Workload
      metadata: {name: web, namespace: shop, labels: {app: web}}
      spec: {cgroup: ROOT/web}
      ---
      apiVersion: weir.dev/v1alpha1
      kind: Workload
      metadata: {name: stranger, namespace: shop, labels: {app: stranger}}
      spec: {cgroup: ROOT/stranger}
      ---
      apiVersion: weir.dev/v1alpha1
      kind: Workload
      metadata: {name: db, namespace: shop, labels: {app: db}}
      spec:
        cgroup: ROOT/db
        ports: [{name: sql, port: 5432}]
      """;

  private static String policyFor(String who) {
    return """
    apiVersion: networking.k8s.io/v1
    kind: NetworkPolicy
    metadata: {name: db, namespace: shop}
    spec:
      podSelector: {matchLabels: {app: db}}
      ingress:
      - from: [{podSelector: {matchLabels: {app: WHO}}}]
        ports: [{port: sql}]
    """
        .replace("WHO", who);
  }

  /** A route makes the service one that leads to the proxy. */
  private static String route(String name) {
    return """
    apiVersion: v1
    kind: Service
    metadata: {name: db, namespace: shop}
    spec:
      clusterIP: 10.96.0.20
      selector: {app: db}
      ports: [{name: sql, port: 80, targetPort: sql}]
    ---
    apiVersion: gateway.networking.k8s.io/v1
    kind: HTTPRoute
    metadata: {name: NAME, namespace: shop}
    spec:
      parentRefs: [{group: "", kind: Service, name: db}]
      rules: [{backendRefs: [{name: db, port: 80}]}]
    """
        .replace("NAME", name);
  }

  /** As a careful editor writes: a new file, renamed over the old one. */
  private void write(String name, String text) throws IOException {
    Path temporary = directory.resolve("temporary");
    Files.writeString(
        temporary,
        text.replace("ROOT", kernel.root())
            .replace("METRICS", Integer.toString(metricsPort))
            .replace("HEALTH", Integer.toString(healthPort)));
    Files.move(temporary, policy.resolve(name), java.nio.file.StandardCopyOption.REPLACE_EXISTING);
  }

  private AgentSettings settings() {
    return new AgentSettings(
        kernel.places(),
        policy,
        new ProxyCommand(
            Path.of(System.getProperty("java.home"), "bin", "java"),
            home,
            ProxyCommand.DEFAULT_USER),
        InetAddress.getLoopbackAddress(),
        false,
        AgentSettings.DEFAULT_QUIET,
        AgentSettings.Telemetry.DEFAULT,
        auditInterval);
  }

  private Agent start() throws IOException {
    PrintStream out = new PrintStream(logged, true, StandardCharsets.UTF_8);
    Agent agent = Agent.start(settings(), new Log(out, false, true, Clock.systemUTC()));
    agents.add(agent);
    return agent;
  }

  /** The command itself, in a process that can be killed. */
  private Process startProcess() throws IOException {
    Places places = kernel.places();
    ProcessBuilder builder =
        new ProcessBuilder(
            Path.of(System.getProperty("java.home"), "bin", "java").toString(),
            "--enable-native-access=ALL-UNNAMED",
            "--sun-misc-unsafe-memory-access=allow",
            "-XX:TieredStopAtLevel=1",
            "-cp",
            System.getProperty("java.class.path"),
            "dev.weir.node.cli.Weir",
            "up",
            "--home=" + home,
            policy.toString());
    builder.environment().put("WEIR_PIN_DIR", places.pinDir().toString());
    builder.environment().put("WEIR_RUN_DIR", places.runDir().toString());
    builder.environment().put("WEIR_STATE_DIR", places.stateDir().toString());
    builder.environment().put("WEIR_CGROUP_ROOT", places.cgroupRoot().toString());
    builder.environment().put("WEIR_NETNS", places.netns().orElseThrow().toString());
    builder.redirectErrorStream(true).redirectOutput(directory.resolve("up.log").toFile());
    Process process = builder.start();
    processes.add(process);
    return process;
  }

  private static void eventually(String what, Callable<Boolean> condition) throws Exception {
    long deadline = System.nanoTime() + PATIENCE.toNanos();
    while (!condition.call()) {
      if (System.nanoTime() > deadline) {
        throw new AssertionError("not within " + PATIENCE.toSeconds() + " s: " + what);
      }
      Thread.sleep(10);
    }
  }

  private void serveDb() {
    kernel.serve("db", "listen", "127.0.0.1", Integer.toString(DB), "--reply", "db");
  }

  private String ask(String who) {
    return kernel.ask(who, "127.0.0.1", DB);
  }

  private long generation() {
    return kernel.node().current().map(Current::generation).orElse(0L);
  }

  private String log() {
    return logged.toString(StandardCharsets.UTF_8);
  }

  private String get(int port, String path) throws Exception {
    try (HttpClient client = HttpClient.newHttpClient()) {
      return client
          .send(
              HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + port + path)).build(),
              HttpResponse.BodyHandlers.ofString())
          .body();
    }
  }

  private Optional<ProcessId> proxy() {
    return ProxySupervisor.left(kernel.places().runDir());
  }

  /** What the proxy says it does; 0 when it does not answer. */
  private long proxyGeneration() {
    return ProxySupervisor.ask(ProxySupervisor.socket(kernel.places().runDir()), FrameType.STATUS)
        .map(frame -> JsonObject.parse(frame.text(), "frame").toMap().get("generation"))
        .map(value -> value instanceof Number number ? number.longValue() : 0L)
        .orElse(0L);
  }

  @Test
  void whatTheFilesSayIsInForceWhenTheAgentHasStarted() throws Exception {
    serveDb();
    start();
    assertThat(ask("web")).isEqualTo("db");
    assertThat(ask("stranger")).isEqualTo(REFUSED);
    assertThat(get(healthPort, "/healthz")).isEqualTo("ok\n");
    assertThat(get(metricsPort, "/metrics"))
        .contains("weir_generation " + generation() + ".0")
        .contains("weir_connections_refused_total{source_workload=\"stranger\"");
    assertThat(proxy()).as("no proxy where none is needed").isEmpty();
  }

  @Test
  void aChangedFileIsInForceSoon() throws Exception {
    serveDb();
    start();
    assertThat(ask("stranger")).isEqualTo(REFUSED);
    long before = generation();
    write("policy.yaml", policyFor("stranger"));
    eventually("a new generation", () -> generation() > before);
    assertThat(ask("stranger")).isEqualTo("db");
    assertThat(ask("web")).isEqualTo(REFUSED);
  }

  @Test
  void aBadFileIsLoggedWithItsLineAndCountedAndChangesNothing() throws Exception {
    serveDb();
    start();
    long before = generation();
    write("policy.yaml", "apiVersion: v1\nkind: [\n");
    eventually("an error in the log", () -> log().contains("policy.yaml:3:"));
    assertThat(generation()).isEqualTo(before);
    assertThat(ask("web")).isEqualTo("db");
    assertThat(ask("stranger")).isEqualTo(REFUSED);
    assertThat(get(metricsPort, "/metrics")).contains("weir_policy_errors_total 1.0");
    assertThat(get(healthPort, "/healthz")).contains("policy.yaml:3:");

    write("policy.yaml", policyFor("stranger"));
    eventually("the mended file in force", () -> ask("stranger").equals("db"));
    assertThat(get(healthPort, "/healthz")).isEqualTo("ok\n");
  }

  @Test
  void aFileThatIsEmptiedToBeWrittenAnewOpensNothingMeanwhile() throws Exception {
    serveDb();
    start();
    long before = generation();
    Files.writeString(policy.resolve("policy.yaml"), "");
    long emptied = System.nanoTime();
    for (int i = 0; i < 10; i++) {
      String answer = ask("stranger");
      if (System.nanoTime() - emptied > PolicyFiles.WRITING.toNanos()) {
        break; // a machine so busy that the file may count as empty on purpose by now
      }
      assertThat(answer).isEqualTo(REFUSED);
      assertThat(generation()).isEqualTo(before);
      Thread.sleep(20);
    }
    Files.writeString(policy.resolve("policy.yaml"), policyFor("stranger"));
    eventually("the new file in force", () -> ask("stranger").equals("db"));
  }

  @Test
  void aFailedStartLeavesNoFiles() throws Exception {
    write("policy.yaml", "kind: [\n");
    assertThatThrownBy(this::start).isInstanceOf(PolicyRefusedException.class);
    assertThat(kernel.places().runDir()).doesNotExist();
  }

  @Test
  void aRefusalIsALogLineWithSourceDestinationAndRule() throws Exception {
    serveDb();
    start();
    assertThat(ask("stranger")).isEqualTo(REFUSED);
    eventually(
        "the refusal in the log",
        () ->
            log().contains("refused shop/stranger -> shop/db:5432 tcp by NetworkPolicy shop/db")
                && log().contains("policy.yaml:"));
  }

  @Test
  void aSecondAgentIsLockedOut() throws Exception {
    start();
    assertThatThrownBy(this::start)
        .isInstanceOf(NodeException.class)
        .hasMessageContaining("runs already in " + kernel.places().runDir());
    assertThat(log()).doesNotContain("unexpected");
  }

  @Test
  void whenTheFilesAreBadAtTheStartWhatWasLastGoodIsEnforced() throws Exception {
    serveDb();
    start().close();
    kernel.node().down(); // as a boot leaves it: only the state directory
    assertThat(ask("stranger")).isEqualTo("db");
    write("policy.yaml", "kind: [\n");
    start();
    assertThat(ask("web")).isEqualTo("db");
    assertThat(ask("stranger")).isEqualTo(REFUSED);
    assertThat(log()).contains("the last good one, is in force").contains("policy.yaml:2:");
  }

  @Test
  void aDamagedLastGoodGenerationIsToldAndTheFilesAreEnforced() throws Exception {
    serveDb();
    start().close();
    kernel.node().down(); // as a boot leaves it: only the state directory
    Path lastGood = kernel.places().stateDir().resolve("last-good");
    byte[] whole = Files.readAllBytes(lastGood);
    Files.write(lastGood, Arrays.copyOf(whole, whole.length / 2));
    start();
    assertThat(ask("web")).isEqualTo("db");
    assertThat(ask("stranger")).isEqualTo(REFUSED);
    assertThat(log())
        .contains("the last good generation is not in force")
        .contains("last-good: damaged or cut short");
  }

  @Test
  void whenNothingWasEverInForceBadFilesAreAnErrorAtTheStart() throws Exception {
    write("policy.yaml", "kind: [\n");
    assertThatThrownBy(this::start)
        .isInstanceOf(PolicyRefusedException.class)
        .hasMessageContaining("policy.yaml:2:");
    start(policyFor("web")); // and nothing of the failed start is in the way
  }

  private void start(String text) throws IOException {
    write("policy.yaml", text);
    start();
  }

  @Test
  void anEndedAgentLeavesEverythingInForce() throws Exception {
    serveDb();
    start().close();
    assertThat(ask("web")).isEqualTo("db");
    assertThat(ask("stranger")).isEqualTo(REFUSED);
  }

  @Test
  void aKilledAgentLeavesVerdictsAndProxyAndTheNextOneTakesBothOver() throws Exception {
    serveDb();
    write("route.yaml", route("db"));
    Process first = startProcess();
    eventually("the proxy has its plan", () -> proxyGeneration() != 0);
    long generation = generation();
    ProcessId proxy = proxy().orElseThrow();
    first.destroyForcibly();
    assertThat(first.waitFor(10, TimeUnit.SECONDS)).isTrue();

    assertThat(ask("web")).isEqualTo("db");
    assertThat(ask("stranger")).isEqualTo(REFUSED);
    assertThat(proxy.alive()).isTrue();
    NodeHealth health = NodeHealth.of(kernel.node());
    assertThat(health.problems()).anyMatch(problem -> problem.contains("has died"));

    start();
    assertThat(proxy()).contains(proxy);
    assertThat(generation()).isEqualTo(generation);
    assertThat(log()).contains("adopted the running proxy");
    assertThat(NodeHealth.of(kernel.node()).problems()).isEmpty();
  }

  @Test
  void aProxyThatIsOlderThanItsFilesHandsOverToASuccessor() throws Exception {
    write("route.yaml", route("db"));
    start();
    eventually("the proxy has its plan", () -> proxyGeneration() == generation());
    ProcessId first = proxy().orElseThrow();
    agents.removeFirst().close();
    Path jar = home.resolve("lib/proxy/stand-in.jar");
    Files.setLastModifiedTime(jar, Files.getLastModifiedTime(jar));
    start();
    eventually("a successor", () -> log().contains("has a successor"));
    assertThat(proxy()).isPresent().isNotEqualTo(Optional.of(first));
    assertThat(log()).contains("older than the files");
    assertThat(proxyGeneration()).isEqualTo(generation());
    eventually("the old one has ended", () -> !first.alive());
    assertThat(get(metricsPort, "/metrics"))
        .contains("weir_proxy_up 1.0")
        .contains("weir_proxy_restarts_total 0.0");
    // The same one as long as nothing changes.
    ProcessId second = proxy().orElseThrow();
    agents.removeFirst().close();
    start();
    assertThat(proxy()).contains(second);
    assertThat(NodeHealth.of(kernel.node()).problems()).isEmpty();
  }

  @Test
  void aKilledProxyIsStartedAnew() throws Exception {
    write("route.yaml", route("db"));
    start();
    eventually("the proxy has its plan", () -> proxyGeneration() == generation());
    ProcessId first = proxy().orElseThrow();
    first.kill();
    eventually("another proxy with the plan", () -> proxyGeneration() == generation());
    assertThat(proxy()).isNotEqualTo(Optional.of(first));
    eventually(
        "counted", () -> get(metricsPort, "/metrics").contains("weir_proxy_restarts_total 1.0"));
    assertThat(get(metricsPort, "/metrics")).contains("weir_proxy_up 1.0");
  }

  @Test
  void aKilledProxyThatWasAdoptedIsStartedAnewToo() throws Exception {
    write("route.yaml", route("db"));
    start();
    eventually("the proxy has its plan", () -> proxyGeneration() == generation());
    agents.removeFirst().close();
    ProcessId first = proxy().orElseThrow();
    start();
    assertThat(proxy()).contains(first);
    first.kill();
    eventually("another proxy with the plan", () -> proxyGeneration() == generation());
  }

  @Test
  void theProxyHasNeitherRootNorCapabilitiesAndLivesInItsCgroup() throws Exception {
    write("route.yaml", route("db"));
    start();
    eventually("the proxy has its plan", () -> proxyGeneration() == generation());
    Path proc = Path.of("/proc", Long.toString(proxy().orElseThrow().pid()));
    String user = Integer.toString(ProxyCommand.DEFAULT_USER);
    assertThat(Files.readString(proc.resolve("status")))
        .containsPattern("Uid:\t" + user + "\t" + user + "\t" + user + "\t" + user)
        .containsPattern("Gid:\t" + user + "\t" + user + "\t" + user + "\t" + user)
        .containsPattern("Groups:\t *\n")
        .containsPattern("CapEff:\t0+\n")
        .containsPattern("CapPrm:\t0+\n")
        .containsPattern("CapBnd:\t0+\n")
        .containsPattern("NoNewPrivs:\t1\n");
    assertThat(Files.readString(proc.resolve("status")))
        .containsPattern("CapInh:\t0+\n")
        .containsPattern("CapAmb:\t0+\n");
    assertThat(Files.readString(proc.resolve("cgroup"))).contains("0::" + kernel.root() + "/proxy");
  }

  @Test
  void theProxySeesWhatItNeedsAndWritesItsOwnDirectoriesAlone() throws Exception {
    write("route.yaml", route("db"));
    start();
    eventually("the proxy has its plan", () -> proxyGeneration() == generation());
    Path runDir = kernel.places().runDir();
    Path proc = Path.of("/proc", Long.toString(proxy().orElseThrow().pid()));
    Path root = proc.resolve("root");
    for (String hidden : List.of("root", "home", "var", "etc/shadow", "bin", "usr/bin/sh")) {
      assertThat(root.resolve(hidden)).doesNotExist();
    }
    assertThat(inside(root, policy)).doesNotExist();
    assertThat(inside(root, kernel.places().stateDir())).doesNotExist();
    List<String> arguments = List.of(Files.readString(proc.resolve("cmdline")).split("\0", -1));
    String jars = arguments.get(arguments.indexOf("-cp") + 1);
    assertThat(jars.split(":", -1)).allSatisfy(j -> assertThat(inside(root, Path.of(j))).exists());
    // What it may write: its part of the run directory, and what is gone with it.
    Path own = ProxySupervisor.directory(runDir);
    List<List<String>> mounts =
        Files.readAllLines(proc.resolve("mountinfo")).stream()
            .map(line -> List.of(line.split(" ", -1)))
            .toList();
    assertThat(
            mounts.stream()
                .filter(mount -> !List.of(mount.get(5).split(",", -1)).contains("ro"))
                .map(mount -> mount.get(4)))
        .containsExactlyInAnyOrder("/tmp", own.toString());
    assertThat(mounts.stream().filter(mount -> mount.get(4).equals("/proc")))
        .singleElement()
        .satisfies(mount -> assertThat(mount.toString()).contains("hidepid="));
    assertThat(Files.readSymbolicLink(proc.resolve("cwd"))).isEqualTo(own);
    // Certificates may come later than the proxy, in a directory that is made then.
    Path later = Files.createDirectories(runDir.resolve("identities")).resolve("bundle.pem");
    Files.writeString(later, "later");
    assertThat(inside(root, later)).hasContent("later");
    assertThat(Path.of(runDir.toString(), ProxyCommand.VIEW)).isEmptyDirectory();
    assertThat(log()).doesNotContain("sees all files");
  }

  private static Path inside(Path root, Path path) {
    return root.resolve(Path.of("/").relativize(path));
  }

  @Test
  void whereNoViewCanBeMadeTheProxyRunsAllTheSameAndThatIsSaid() throws Exception {
    String user = Integer.toString(ProxyCommand.DEFAULT_USER);
    for (String view : List.of("", directory.resolve("nowhere").toString())) {
      Process process =
          new ProcessBuilder(
                  "unshare",
                  "--mount",
                  "/bin/sh",
                  "-c",
                  ProxyCommand.SHOW,
                  "weir-proxy",
                  view,
                  "/",
                  user,
                  "/usr",
                  "--",
                  "cat",
                  "/proc/self/status")
              .redirectErrorStream(true)
              .start();
      assertThat(new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8))
          .contains("weir: warning: the proxy sees all files of the system")
          .contains("Uid:\t" + user)
          .containsPattern("CapBnd:\t0+\n");
      assertThat(process.waitFor()).isZero();
    }
  }

  @Test
  void statusShowsWhatTheProxyHasOpen() throws Exception {
    write("route.yaml", route("db"));
    start();
    eventually("the proxy has its plan", () -> proxyGeneration() == generation());
    NodeHealth health = NodeHealth.of(kernel.node());
    assertThat(health.text())
        .contains(
            "*:8080, 127.0.0.1:15001; client connections: 3",
            "10.0.0.7:80: connections open 2, of them idle 1");
    assertThat(String.valueOf(health.json().get("proxy"))).contains("10.0.0.7:80", "connections=3");
  }

  @Test
  void theProxysCommandLineAndEnvironmentAreKnownAndHoldNoKeys() throws Exception {
    write("route.yaml", route("db"));
    start();
    eventually("the proxy has its plan", () -> proxyGeneration() == generation());
    Path proc = Path.of("/proc", Long.toString(proxy().orElseThrow().pid()));
    List<String> arguments = List.of(Files.readString(proc.resolve("cmdline")).split("\0", -1));
    int main = arguments.indexOf("dev.weir.proxy.ProxyMain");
    assertThat(arguments.subList(main + 1, arguments.size()))
        .containsExactly(
            "--control",
            ProxySupervisor.socket(kernel.places().runDir()).toString(),
            "--identities",
            kernel.places().runDir().resolve("identities").toString(),
            "");
    assertThat(
            Arrays.stream(Files.readString(proc.resolve("environ")).split("\0", -1))
                .filter(variable -> !variable.isEmpty())
                .map(variable -> variable.substring(0, variable.indexOf('='))))
        .isSubsetOf("PATH", "TZ", "MALLOC_ARENA_MAX", "LANG", "PWD", "OLDPWD", "SHLVL", "_");
    // Of the run directory it can write its own part, and of that nothing that others made.
    Path runDir = kernel.places().runDir();
    assertThat(Files.getAttribute(ProxySupervisor.directory(runDir), "unix:uid"))
        .isEqualTo(ProxyCommand.DEFAULT_USER);
    try (Stream<Path> files = Files.list(runDir)) {
      assertThat(
              files
                  .filter(file -> !file.equals(ProxySupervisor.directory(runDir)))
                  .filter(file -> owner(file) != 0 || writableByOthers(file)))
          .isEmpty();
    }
  }

  private static int owner(Path file) {
    try {
      return (Integer) Files.getAttribute(file, "unix:uid", LinkOption.NOFOLLOW_LINKS);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static boolean writableByOthers(Path file) {
    try {
      return Files.getPosixFilePermissions(file, LinkOption.NOFOLLOW_LINKS)
          .contains(PosixFilePermission.OTHERS_WRITE);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  @Test
  void aWorkloadReachesNoSocketOfTheAgentOrTheProxy() throws Exception {
    write("route.yaml", route("db"));
    start();
    eventually("the proxy has its plan", () -> proxyGeneration() == generation());
    Path runDir = kernel.places().runDir();
    for (Path socket : List.of(Agent.socket(runDir), ProxySupervisor.socket(runDir))) {
      assertThat(kernel.reachUnix("web", NOBODY, socket)).isEqualTo("EACCES");
      assertThat(kernel.reachUnix("plain", ROOT, socket)).isEqualTo("ok");
    }
  }

  @Test
  void whenItsCgroupIsAnotherOneTheProxyMoves() throws Exception {
    write("route.yaml", route("db"));
    start();
    eventually("the proxy has its plan", () -> proxyGeneration() == generation());
    ProcessId first = proxy().orElseThrow();
    write("mesh.yaml", MESH.replace("ROOT/proxy", "ROOT/elsewhere"));
    eventually("its end", () -> !first.alive());
    eventually("another one with the plan", () -> proxyGeneration() == generation());
    Path proc = Path.of("/proc", Long.toString(proxy().orElseThrow().pid()));
    assertThat(Files.readString(proc.resolve("cgroup")))
        .contains("0::" + kernel.root() + "/elsewhere");
  }

  @Test
  void aProxyThatIsNoLongerNeededIsEnded() throws Exception {
    write("route.yaml", route("db"));
    start();
    eventually("the proxy has its plan", () -> proxyGeneration() == generation());
    ProcessId proxy = proxy().orElseThrow();
    Files.delete(policy.resolve("route.yaml"));
    eventually("its end", () -> !proxy.alive());
    assertThat(NodeHealth.of(kernel.node()).problems()).isEmpty();
  }

  @Test
  void aServiceThatComesToARunningProxyIsInForceInBothUnderOneGeneration() throws Exception {
    write("route.yaml", route("db"));
    start();
    eventually("the proxy has its plan", () -> proxyGeneration() == generation());
    long before = generation();
    write(
        "more.yaml",
        route("more")
            .replace("name: db, namespace", "name: more, namespace")
            .replace(
                "{group: \"\", kind: Service, name: db}",
                "{group: \"\", kind: Service, name: more}")
            .replace("10.96.0.20", "10.96.0.21"));
    eventually("a new generation", () -> generation() > before);
    eventually("the same in the proxy", () -> proxyGeneration() == generation());
    assertThat(kernel.node().current().orElseThrow().plan().proxy().virtualServices()).hasSize(2);
  }

  @Test
  void whatTheProxyRefusesIsNotInForceInTheKernelEither() throws Exception {
    serveDb();
    write("route.yaml", route("db"));
    start();
    eventually("the proxy has its plan", () -> proxyGeneration() == generation());
    write(
        "route.yaml",
        route("refuse-me") + "---\n" + policyFor("stranger").replace("name: db", "name: x"));
    eventually("the refusal in the log", () -> log().contains("refused for the test"));
    eventually("kernel and proxy at one generation", () -> proxyGeneration() == generation());
    assertThat(ask("web")).isEqualTo("db");
    assertThat(ask("stranger")).isEqualTo(REFUSED);
  }

  @Test
  void aGenerationThatIsNotConfirmedGoesBackInTheProxyToo() throws Exception {
    serveDb();
    write("route.yaml", route("db"));
    start();
    eventually("the proxy has its plan", () -> proxyGeneration() == generation());
    long before = generation();
    Path other = Files.createDirectory(directory.resolve("other"));
    for (String file : List.of("mesh.yaml", "workloads.yaml", "route.yaml")) {
      Files.copy(policy.resolve(file), other.resolve(file));
    }
    Files.writeString(other.resolve("policy.yaml"), policyFor("stranger"));
    Map<String, Object> result =
        Operations.apply(kernel.places(), other, Duration.ofSeconds(2)).orElseThrow();
    assertThat(result).containsEntry("proxy", "ready").containsEntry("confirm_within_seconds", 2);
    assertThat(ask("stranger")).isEqualTo("db");
    assertThat(proxyGeneration()).isGreaterThan(before);
    eventually("the generation before", () -> generation() == before);
    eventually("the generation before in the proxy", () -> proxyGeneration() == before);
    assertThat(ask("stranger")).isEqualTo(REFUSED);
    assertThat(ask("web")).isEqualTo("db");
  }

  @Test
  void aGenerationThatIsConfirmedStays() throws Exception {
    serveDb();
    start();
    Path other = Files.createDirectory(directory.resolve("other"));
    for (String file : List.of("mesh.yaml", "workloads.yaml")) {
      Files.copy(policy.resolve(file), other.resolve(file));
    }
    Files.writeString(other.resolve("policy.yaml"), policyFor("stranger"));
    assertThat(Operations.apply(kernel.places(), other, Duration.ofSeconds(2))).isPresent();
    assertThat(Operations.confirm(kernel.places())).isTrue();
    Thread.sleep(3000);
    assertThat(ask("stranger")).isEqualTo("db");
    assertThat(log()).contains("following the files in " + other);
  }

  @Test
  void applyingBadFilesChangesNothingAndSaysWhy() throws Exception {
    serveDb();
    start();
    Path other = Files.createDirectory(directory.resolve("other"));
    Files.writeString(other.resolve("bad.yaml"), "kind: [\n");
    assertThatThrownBy(() -> Operations.apply(kernel.places(), other, Duration.ZERO))
        .hasMessageContaining("bad.yaml:2:");
    assertThat(ask("stranger")).isEqualTo(REFUSED);
  }

  @Test
  void downRemovesEverythingAndEndsTheAgent() throws Exception {
    serveDb();
    write("route.yaml", route("db"));
    Process process = startProcess();
    eventually("the proxy has its plan", () -> proxyGeneration() != 0);
    ProcessId proxy = proxy().orElseThrow();
    assertThat(ask("stranger")).isEqualTo(REFUSED);

    assertThat(Operations.down(kernel.places())).isTrue();
    assertThat(process.waitFor(10, TimeUnit.SECONDS)).isTrue();
    assertThat(process.exitValue()).isZero();
    assertThat(proxy.alive()).isFalse();
    assertThat(kernel.places().pinDir()).doesNotExist();
    assertThat(kernel.places().runDir()).doesNotExist();
    assertThat(kernel.places().cgroupRoot().resolve("proxy")).doesNotExist();
    assertThat(ask("stranger")).isEqualTo("db");
  }

  @Test
  void anAgentToldToEndEndsWithStatusZeroAndLeavesEverything() throws Exception {
    serveDb();
    Process process = startProcess();
    eventually("the verdicts", () -> ask("stranger").equals(REFUSED));
    eventually("the agent answers", () -> Files.exists(Agent.socket(kernel.places().runDir())));
    process.destroy();
    assertThat(process.waitFor(10, TimeUnit.SECONDS)).isTrue();
    assertThat(process.exitValue()).isZero();
    assertThat(ask("stranger")).isEqualTo(REFUSED);
    assertThat(AgentLock.holder(kernel.places().runDir())).isEmpty();
  }

  @Test
  void withoutAnAgentAppliedFilesAreInForceAndTheMissingProxyIsSaid() throws Exception {
    serveDb();
    write("route.yaml", route("db"));
    Map<String, Object> result = Operations.applyWithoutAgent(kernel.node(), policy, Duration.ZERO);
    assertThat(result.get("proxy")).asString().contains("refused until `weir up`");
    assertThat(ask("web")).isEqualTo("db");
    assertThat(ask("stranger")).isEqualTo(REFUSED);
    assertThat(NodeHealth.of(kernel.node()).problems())
        .anyMatch(problem -> problem.contains("no agent minds the proxy"))
        .anyMatch(problem -> problem.contains("the proxy does not run"));
    Operations.downWithoutAgent(kernel.node());
    assertThat(NodeHealth.of(kernel.node()).problems())
        .containsExactly("nothing is in force: weir apply DIR, or weir up DIR");
  }

  @Test
  void aLinkThatSomebodyDetachedIsAttachedAgainAndToldOf() throws Exception {
    auditInterval = Duration.ofSeconds(1);
    serveDb();
    start();
    assertThat(NodeHealth.of(kernel.node()).problems()).isEmpty();
    long began = System.nanoTime();
    try (BpfLink link =
        BpfLink.open(kernel.places().pinDir().resolve("links").resolve("weir_connect4"))) {
      link.detach();
    }
    eventually("the repair", () -> log().contains("drift: program weir_connect4 is not attached"));
    assertThat(Duration.ofNanos(System.nanoTime() - began)).isLessThan(Duration.ofSeconds(10));
    assertThat(ask("stranger")).isEqualTo(REFUSED);
    assertThat(ask("web")).isEqualTo("db");
    eventually(
        "counted",
        () -> get(metricsPort, "/metrics").contains("weir_drift_total{kind=\"link\",} 1.0"));
    assertThat(get(metricsPort, "/metrics"))
        .contains("weir_drift_repaired_total 1.0", "weir_drift_unrepaired 0.0")
        .containsPattern("weir_audit_last_success_timestamp_seconds [1-9]");
    NodeHealth health = NodeHealth.of(kernel.node());
    assertThat(health.problems()).isEmpty();
    assertThat(health.text()).contains("kernel and plan agree", "drifts found 1, repaired 1");
  }

  @Test
  void withoutAnAgentStatusFindsWhatDiffers() throws Exception {
    Operations.applyWithoutAgent(kernel.node(), policy, Duration.ZERO);
    assertThat(NodeHealth.of(kernel.node()).problems()).isEmpty();
    try (BpfLink link =
        BpfLink.open(kernel.places().pinDir().resolve("links").resolve("weir_connect6"))) {
      link.detach();
    }
    assertThat(NodeHealth.of(kernel.node()).problems())
        .anyMatch(problem -> problem.startsWith("drift: program weir_connect6 is not attached"));
  }

  @Test
  void policyThatNeedsNoProxyIsHealthyWithoutOneAndWithoutAnAgent() throws Exception {
    Operations.applyWithoutAgent(kernel.node(), policy, Duration.ZERO);
    assertThat(NodeHealth.of(kernel.node()).problems()).isEmpty();
  }
}
