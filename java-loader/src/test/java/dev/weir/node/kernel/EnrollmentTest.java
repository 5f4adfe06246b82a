// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.weir.node.bpf.BpfMap;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.Protocol;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

@Tag("kernel")
final class EnrollmentTest {

  private static final int PORT = 5432;

  @RegisterExtension final KernelTest kernel = new KernelTest();

  private PlanBuilder onlyWebMayReachDb() {
    return kernel
        .plan()
        .workload("web")
        .workload("stranger")
        .workload("db")
        .owns("db", Protocol.TCP, PORT)
        .isolateIngress("db")
        .allow("web", "db", Protocol.TCP, PORT);
  }

  private Map<String, Integer> restartAndAsk(String workload, int times) {
    Map<String, Integer> outcomes = new TreeMap<>();
    for (int i = 0; i < times; i++) {
      Path cgroup = kernel.cgroup(workload);
      outcomes.merge(kernel.ask(workload, "127.0.0.1", PORT), 1, Integer::sum);
      KernelTest.removeCgroups(cgroup);
    }
    return outcomes;
  }

  /** The prober connects as its first act in a cgroup made a moment ago. */
  @Test
  void aRestartedWorkloadIsKnownFromItsFirstConnect() {
    kernel.apply(onlyWebMayReachDb().build());
    kernel.serve("db", "listen", "127.0.0.1", "5432", "--reply", "db");
    assertThat(restartAndAsk("web", 100)).containsExactly(Map.entry("db", 100));
    assertThat(restartAndAsk("stranger", 100)).containsExactly(Map.entry("ECONNREFUSED", 100));

    kernel.node().down();
    assertThat(restartAndAsk("stranger", 1)).containsExactly(Map.entry("db", 1));
  }

  @Test
  void aCgroupOlderThanTheMeshIsKnown() {
    kernel.cgroup("web");
    kernel.cgroup("stranger");
    kernel.apply(onlyWebMayReachDb().build());
    kernel.serve("db", "listen", "127.0.0.1", "5432", "--reply", "db");
    assertThat(kernel.ask("web", "127.0.0.1", PORT)).isEqualTo("db");
    assertThat(kernel.ask("stranger", "127.0.0.1", PORT)).isEqualTo("ECONNREFUSED");
  }

  @Test
  void aWorkloadDeclaredLaterIsKnownInItsRunningCgroup() {
    kernel.cgroup("late");
    kernel.apply(onlyWebMayReachDb().build());
    kernel.serve("db", "listen", "127.0.0.1", "5432", "--reply", "db");
    assertThat(kernel.ask("late", "127.0.0.1", PORT)).isEqualTo("db"); // host so far
    kernel.apply(onlyWebMayReachDb().workload("late").build());
    assertThat(kernel.ask("late", "127.0.0.1", PORT)).isEqualTo("ECONNREFUSED");
  }

  /** The workload that lives in cgroup web goes by another name. */
  private Plan withWebCalled(String name) {
    return kernel
        .plan()
        .workloadIn(name, "web")
        .workload("db")
        .owns("db", Protocol.TCP, PORT)
        .isolateIngress("db")
        .allow(name, "db", Protocol.TCP, PORT)
        .build();
  }

  @Test
  void aWorkloadThatIsRenamedUnderLoadIsRefusedNothing() {
    kernel.apply(withWebCalled("web"));
    kernel.serve("db", "listen", "127.0.0.1", "5432", "--reply", "db");
    Prober race =
        kernel.start("web", "race", "127.0.0.1", "5432", "--threads", "3", "--for", "4000");
    int renamed = 0;
    long end = System.nanoTime() + KernelTest.patiently(Duration.ofSeconds(3)).toNanos();
    while (System.nanoTime() < end) {
      kernel.apply(withWebCalled(renamed % 2 == 0 ? "shop" : "web"));
      renamed++;
    }
    assertThat(race.next().outcomes()).containsOnlyKeys("db");
    assertThat(renamed).isGreaterThan(5);
    assertThat(kernel.node().telemetry().refusals()).isEmpty();
  }

  @Test
  void aRenamedWorkloadIsItselfAgainWhenNobodyConfirms() {
    kernel.apply(withWebCalled("web"));
    kernel.serve("db", "listen", "127.0.0.1", "5432", "--reply", "db");
    kernel.cgroup("web");
    kernel.apply(withWebCalled("shop"), KernelTest.patiently(Duration.ofSeconds(1)));
    assertThat(kernel.ask("web", "127.0.0.1", PORT)).isEqualTo("db");
    KernelTest.pause(KernelTest.patiently(Duration.ofMillis(2100)));
    assertThat(kernel.ask("web", "127.0.0.1", PORT)).isEqualTo("db");
    // One made after the reversal, too.
    assertThat(restartAndAsk("web", 3)).containsExactly(Map.entry("db", 3));
    assertThat(kernel.node().telemetry().refusals()).isEmpty();
    assertThat(kernel.node().telemetry().pairs())
        .extracting(pair -> kernel.node().workloadKey(pair.source()).orElseThrow())
        .contains("Workload/test/web", "Workload/test/shop");
  }

  @Test
  void aWorkloadDeclaredOnlyByWhatWasNotConfirmedIsHostAgain() {
    kernel.cgroup("late");
    kernel.apply(onlyWebMayReachDb().build());
    kernel.serve("db", "listen", "127.0.0.1", "5432", "--reply", "db");
    kernel.apply(
        onlyWebMayReachDb().workload("late").build(), KernelTest.patiently(Duration.ofSeconds(1)));
    assertThat(kernel.ask("late", "127.0.0.1", PORT)).isEqualTo("ECONNREFUSED");
    KernelTest.pause(KernelTest.patiently(Duration.ofMillis(2100)));
    assertThat(kernel.ask("late", "127.0.0.1", PORT)).isEqualTo("db");
  }

  @Test
  void aPathThatNoGenerationNeedsIsForgotten() {
    kernel.cgroup("late");
    kernel.apply(onlyWebMayReachDb().workload("late").build());
    kernel.cgroup("web");
    assertThat(enrolled()).containsExactly("late", "web");
    kernel.apply(onlyWebMayReachDb().build());
    assertThat(enrolled()).containsExactly("late", "web"); // the other slot still has it
    kernel.apply(onlyWebMayReachDb().build());
    assertThat(enrolled()).containsExactly("web");
  }

  /** The names of the test's cgroups that have an entry. */
  private List<String> enrolled() {
    List<Long> ids = new java.util.ArrayList<>();
    try (BpfMap cgroups = BpfMap.open(kernel.places().pinDir().resolve("maps/cgroups"))) {
      cgroups.forEach((key, value) -> ids.add(key.getLong(0)));
    }
    return java.util.stream.Stream.of("late", "web")
        .filter(name -> ids.contains(Enrollment.Hierarchy.id(kernel.cgroup(name)).orElseThrow()))
        .toList();
  }

  @Test
  void enrollFindsNothingToAddWhereTheKernelHasDoneIt() {
    kernel.apply(onlyWebMayReachDb().build());
    kernel.cgroup("web");
    kernel.cgroup("db");
    assertThat(kernel.node().enroll()).isZero();
  }

  @Test
  void aCgroupOfTwoWorkloadsIsRefused() {
    Plan plan = onlyWebMayReachDb().workloadIn("twin", "web").build();
    assertThatThrownBy(() -> kernel.apply(plan))
        .isInstanceOf(NodeException.class)
        .hasMessageContaining("/web")
        .hasMessageContaining("declared twice");
  }

  @Test
  void whatIsNoPathOfACgroupIsRefusedWithTheReason() {
    Enrollment.Hierarchy hierarchy =
        new Enrollment.Hierarchy(Path.of("/sys/fs/cgroup"), "", "/mesh");
    assertThat(hierarchy.checked("/mesh/web", "web")).isEqualTo("/mesh/web");
    assertThat(hierarchy.directory("/mesh/web")).isEqualTo(Path.of("/sys/fs/cgroup/mesh/web"));
    for (String wrong :
        List.of(
            "",
            "web",
            "/mesh/",
            "/mesh//web",
            "/mesh/../web",
            "/",
            "/meshes",
            "/mesh/" + "x".repeat(260))) {
      assertThatThrownBy(() -> hierarchy.checked(wrong, "web"))
          .as(wrong)
          .isInstanceOf(NodeException.class)
          .hasMessageContaining("cgroup " + wrong + " of web is ");
    }
  }

  @Test
  void onlyTheOwnerMayHoldADeclaredPort() {
    kernel.apply(onlyWebMayReachDb().owns("db", Protocol.UDP, PORT).build());
    assertThat(bind("stranger", "127.0.0.1")).isEqualTo("EACCES");
    assertThat(bind("stranger", "0.0.0.0")).isEqualTo("EACCES");
    assertThat(bind("stranger", "::")).isEqualTo("EACCES");
    assertThat(bind("stranger", "127.0.0.1", "--udp")).isEqualTo("EACCES");
    assertThat(bind("stranger", "127.0.0.1", "--reuseport")).isEqualTo("EACCES");
    assertThat(bind("host-process", "127.0.0.1")).isEqualTo("EACCES");
    assertThat(bind("db", "127.0.0.1")).isEqualTo("ok");
    assertThat(bind("db", "::", "--udp")).isEqualTo("ok");
    assertThat(kernel.node().telemetry().refusals())
        .extracting(Snapshot.Refusal::reason)
        .containsOnly(Reason.PORT_OWNED);

    kernel.node().down();
    assertThat(bind("stranger", "127.0.0.1")).isEqualTo("ok");
    assertThat(bind("stranger", "127.0.0.1", "--udp")).isEqualTo("ok");
  }

  private String bind(String cgroup, String address, String... options) {
    java.util.List<String> arguments =
        new java.util.ArrayList<>(java.util.List.of("bind", address, Integer.toString(PORT)));
    arguments.addAll(java.util.List.of(options));
    return kernel.run(cgroup, arguments.toArray(String[]::new)).text("result");
  }
}
