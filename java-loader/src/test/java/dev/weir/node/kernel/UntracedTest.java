// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.node.FreePorts;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.Protocol;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.io.TempDir;

/**
 * On a kernel that refuses the programs which enrol cgroups. This one does: the build's tracepoints
 * ({@code WEIR_TEST_UNTRACED}) are none of its.
 */
@Tag("kernel")
final class UntracedTest {

  private static final int PORT = 5432;
  private static final String REFUSED = "ECONNREFUSED";

  @RegisterExtension final KernelTest kernel = new KernelTest();

  @TempDir private Path directory;

  private static byte[] object() {
    try {
      return Files.readAllBytes(
          Path.of(System.getProperty("weir.probers"), "../test-objects/weir-untraced.bpf.o"));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private KernelNode untraced() {
    CompiledPrograms programs = CompiledPrograms.of(object(), Set.of());
    return KernelNode.open(kernel.places(), RevocationWay.BEST, () -> programs, step -> {});
  }

  /** The server is there before: what is not enrolled may not even have its port. */
  private Plan plan() {
    kernel.cgroup("db");
    return kernel
        .plan()
        .workload("web")
        .workload("stranger")
        .workload("db")
        .owns("db", Protocol.TCP, PORT)
        .isolateIngress("db")
        .allow("web", "db", Protocol.TCP, PORT)
        .build();
  }

  private String ask(String who) {
    return kernel.ask(who, "127.0.0.1", PORT);
  }

  private void serve() {
    kernel.serve("db", "listen", "127.0.0.1", Integer.toString(PORT), "--reply", "db");
  }

  private static void eventually(String what, BooleanSupplier condition) {
    long deadline = System.nanoTime() + Duration.ofSeconds(60).toNanos();
    while (!condition.getAsBoolean()) {
      assertThat(System.nanoTime()).as(what).isLessThan(deadline);
      KernelTest.pause(Duration.ofMillis(20));
    }
  }

  @Test
  void applyGovernsWhatIsThereAndSaysThatAnAgentIsRequired() {
    kernel.cgroup("web");
    kernel.cgroup("stranger");
    try (KernelNode node = untraced()) {
      Applied applied = node.apply(plan(), List.of(), Duration.ZERO);
      assertThat(applied.remarks())
          .anyMatch(
              remark ->
                  remark.startsWith("agent required: this kernel takes no program")
                      && remark.contains("weir up"));
      assertThat(node.agentRequired()).isTrue();
      serve();
      assertThat(ask("web")).isEqualTo("db");
      assertThat(ask("stranger")).isEqualTo(REFUSED);

      Applied again = node.apply(plan(), List.of(), Duration.ZERO);
      assertThat(again.upgraded()).isFalse();
      assertThat(again.remarks()).anyMatch(remark -> remark.startsWith("agent required"));
      assertThat(node.audit(node.current(), false).drifts()).isEmpty();
      node.down();
      assertThat(node.agentRequired()).isFalse();
    }
  }

  @Test
  void whatIsMadeLaterIsGovernedOnceSomebodyHasLooked() {
    try (KernelNode node = untraced()) {
      node.apply(plan(), List.of(), Duration.ZERO);
      kernel.serve("db", "listen", "127.0.0.1", Integer.toString(PORT), "--echo");
      node.enrollMade();
      assertThat(node.enrollMade()).isZero();
      kernel.cgroup("stranger");
      try (Held early =
          Held.start(
              List.of(
                  System.getProperty("weir.probers") + "/hold",
                  "--netns",
                  "/run/netns/" + kernel.netns(),
                  "--cgroup",
                  kernel.cgroup("stranger").toString(),
                  "127.0.0.1",
                  Integer.toString(PORT),
                  "2"))) {
        assertThat(early.held()).as("nobody knows it yet").isEqualTo(2);
        assertThat(node.enrollMade()).isEqualTo(1);
        assertThat(kernel.connect("stranger", "127.0.0.1", PORT)).isEqualTo(REFUSED);
        node.endOpenConnections();
        eventually("what it had opened is ended", () -> early.status().ended() == 2);
      }
      KernelTest.removeCgroups(kernel.cgroup("stranger"));
      node.enrollMade();
      kernel.cgroup("stranger");
      assertThat(node.enrollMade()).as("another cgroup of that name").isEqualTo(1);
    }
  }

  @Test
  void aVersionWhoseProgramsThisKernelTakesNeedsNoAgentAnyMore() {
    try (KernelNode node = untraced()) {
      node.apply(plan(), List.of(), Duration.ZERO);
    }
    serve();
    Applied applied = kernel.apply(plan());
    assertThat(applied.remarks()).noneMatch(remark -> remark.startsWith("agent required"));
    assertThat(kernel.node().agentRequired()).isFalse();
    kernel.cgroup("stranger");
    assertThat(ask("stranger")).isEqualTo(REFUSED);
  }

  @Test
  void aTakeOverByOneWhoseProgramsItRefusesSaysSo() {
    kernel.apply(plan());
    serve();
    try (KernelNode node = untraced()) {
      Applied applied = node.apply(plan(), List.of(), Duration.ZERO);
      assertThat(applied.remarks()).anyMatch(remark -> remark.startsWith("agent required"));
      assertThat(node.agentRequired()).isTrue();
      assertThat(ask("web")).isEqualTo("db");
    }
  }

  /** The command, with the other object before ours on the class path. */
  private Process weir(String... arguments) throws IOException {
    Path other = Files.createDirectories(directory.resolve("other/dev/weir/bpf"));
    Files.write(other.resolve("weir.bpf.o"), object());
    List<String> command =
        new ArrayList<>(
            List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "--enable-native-access=ALL-UNNAMED",
                "--sun-misc-unsafe-memory-access=allow",
                "-XX:TieredStopAtLevel=1",
                "-cp",
                directory.resolve("other") + ":" + System.getProperty("java.class.path"),
                "dev.weir.node.cli.Weir"));
    command.addAll(Arrays.asList(arguments));
    ProcessBuilder builder = new ProcessBuilder(command);
    Places places = kernel.places();
    builder
        .environment()
        .putAll(
            Map.of(
                "WEIR_PIN_DIR",
                places.pinDir().toString(),
                "WEIR_RUN_DIR",
                places.runDir().toString(),
                "WEIR_STATE_DIR",
                places.stateDir().toString(),
                "WEIR_CGROUP_ROOT",
                places.cgroupRoot().toString(),
                "WEIR_NETNS",
                places.netns().orElseThrow().toString()));
    return builder
        .redirectErrorStream(true)
        .redirectOutput(directory.resolve("weir.log").toFile())
        .start();
  }

  private String said() throws IOException {
    return Files.readString(directory.resolve("weir.log"));
  }

  private Path policy() throws IOException {
    Path policy = Files.createDirectory(directory.resolve("policy"));
    Files.writeString(
        policy.resolve("all.yaml"),
        """
        apiVersion: weir.dev/v1alpha1
        kind: Mesh
        metadata: {name: test, namespace: shop}
        spec: {proxy: {cgroup: ROOT/proxy}, metricsPort: METRICS, healthPort: HEALTH}
        ---
        apiVersion: weir.dev/v1alpha1
        kind: Workload
        metadata: {name: stranger, namespace: shop}
        spec: {cgroup: ROOT/stranger}
        ---
        apiVersion: weir.dev/v1alpha1
        kind: Workload
        metadata: {name: db, namespace: shop, labels: {app: db}}
        spec:
          cgroup: ROOT/db
          ports: [{name: sql, port: 5432}]
        ---
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata: {name: db, namespace: shop}
        spec: {podSelector: {matchLabels: {app: db}}, ingress: []}
        """
            .replace("ROOT", kernel.root())
            .replace("METRICS", Integer.toString(FreePorts.next()))
            .replace("HEALTH", Integer.toString(FreePorts.next())));
    return policy;
  }

  @Test
  void theCommandsStatusSaysItAndARunningAgentEnrols() throws Exception {
    String policy = policy().toString();
    kernel.cgroup("db");
    Process apply = weir("apply", policy);
    assertThat(apply.waitFor()).as(said()).isEqualTo(4);
    assertThat(said()).contains("agent required: ").contains("is in force after");
    Process status = weir("status");
    assertThat(status.waitFor()).isEqualTo(1);
    assertThat(said()).contains("no agent enrols cgroups");

    Process agent = weir("up", policy);
    try {
      serve();
      eventually(
          "an agent answers", () -> Files.exists(kernel.places().runDir().resolve("agent.sock")));
      kernel.cgroup("stranger");
      eventually("the agent has seen the cgroup", () -> ask("stranger").equals(REFUSED));
      KernelTest.removeCgroups(kernel.cgroup("stranger"));
      kernel.cgroup("stranger");
      eventually("and the next one", () -> ask("stranger").equals(REFUSED));
    } finally {
      agent.destroyForcibly();
      agent.waitFor();
    }
  }
}
