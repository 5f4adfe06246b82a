// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.Protocol;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

@Tag("kernel")
final class GenerationSwapTest {

  private static final String VIP = "10.96.0.9";
  private static final int SWAPS = KernelTest.fewer(1000);
  private static final int CONNECTIONS = KernelTest.fewer(1000);
  private static final int REWRITES = KernelTest.fewer(5);
  private static final Duration UNTIL_CONFIRMED = KernelTest.patiently(Duration.ofSeconds(1));
  private static final Duration TOO_LATE = KernelTest.patiently(Duration.ofMillis(2100));
  private static final Duration RACE = KernelTest.patiently(Duration.ofSeconds(5));
  private static final Duration WRITING = Duration.ofSeconds(8);
  private static final Duration SWAP_PAUSE = Duration.ofNanos(100_000);
  private static final int BROKEN_ROUNDS = 20;

  @RegisterExtension final KernelTest kernel = new KernelTest();

  /**
   * Generation "one" leads to one:7001 and allows only that, "two" to two:7002 and only that.
   * Whoever took the backend from one and the verdict from the other would be refused: a third
   * outcome.
   */
  private Plan leadsTo(String name, int port) {
    PlanBuilder plan =
        kernel
            .plan()
            .workload("web")
            .workload("one")
            .workload("two")
            .owns("one", Protocol.TCP, 7001)
            .owns("two", Protocol.TCP, 7002)
            .isolateIngress("one")
            .isolateIngress("two")
            .isolateEgress("web")
            .allow("web", name, Protocol.TCP, port);
    int backend = plan.backend(name, "127.0.0.1", port);
    return plan.service("shop", VIP, 80, Protocol.TCP, List.of(backend)).build();
  }

  private void serveBoth() {
    kernel.serve("one", "listen", "127.0.0.1", "7001", "--reply", "one");
    kernel.serve("two", "listen", "127.0.0.1", "7002", "--reply", "two");
  }

  /**
   * Four processes that connect without pause: two as one who may reach only where the generation
   * leads, one that may reach both places and one that may reach neither.
   */
  private final class Race {
    private final List<Prober> web = new ArrayList<>();
    private final Prober both;
    private final Prober neither;

    Race(Duration length) {
      String[] race = {"race", VIP, "80", "--threads", "1", "--for", "" + length.toMillis()};
      web.add(kernel.start("web", race));
      web.add(kernel.start("web", race));
      both = kernel.start("both", race);
      neither = kernel.start("neither", race);
    }

    /**
     * What no generation says, one line each.
     *
     * @param ended how many connections may have been ended because the next generation does not
     *     allow them
     */
    List<String> violations(long ended) {
      List<String> found = new ArrayList<>();
      Map<String, Long> outcomes = new TreeMap<>();
      for (Prober prober : web) {
        prober.next().outcomes().forEach((name, count) -> outcomes.merge(name, count, Long::sum));
      }
      both.next().outcomes().forEach((name, count) -> outcomes.merge(name, count, Long::sum));
      if (!outcomes.containsKey("one") || !outcomes.containsKey("two")) {
        found.add("not both generations were met: " + outcomes);
      }
      if (outcomes.values().stream().mapToLong(Long::longValue).sum() < CONNECTIONS) {
        found.add("too few connections to say anything: " + outcomes);
      }
      long aborted = Optional.ofNullable(outcomes.remove("ECONNABORTED")).orElse(0L);
      if (aborted > ended) {
        found.add(aborted + " connections were ended (expected: at most " + ended + ")");
      }
      outcomes.keySet().removeAll(List.of("one", "two"));
      outcomes.forEach(
          (name, count) -> found.add(count + " that both generations allow met " + name));
      Map<String, Long> refused = neither.next().outcomes();
      refused.remove("ECONNREFUSED");
      refused.forEach(
          (name, count) -> found.add(count + " that neither generation allows met " + name));
      return found;
    }
  }

  private Plan racing(String name, int port) {
    PlanBuilder plan =
        kernel
            .plan()
            .workload("web")
            .workload("both")
            .workload("neither")
            .workload("one")
            .workload("two")
            .owns("one", Protocol.TCP, 7001)
            .owns("two", Protocol.TCP, 7002)
            .isolateIngress("one")
            .isolateIngress("two")
            .isolateEgress("web")
            .allow("web", name, Protocol.TCP, port)
            .allow("both", "one", Protocol.TCP, 7001)
            .allow("both", "two", Protocol.TCP, 7002);
    int backend = plan.backend(name, "127.0.0.1", port);
    return plan.service("shop", VIP, 80, Protocol.TCP, List.of(backend)).build();
  }

  /** Stores now the one, now the other generation, for so long; returns how often. */
  private int swap(CompiledPrograms programs, Duration length) {
    int swaps = 0;
    try (Mesh mesh =
        Mesh.open(programs.layouts(), Pins.in(kernel.places().pinDir())).orElseThrow()) {
      long end = System.nanoTime() + length.toNanos();
      while (System.nanoTime() < end) {
        mesh.store(new Slot(mesh.slot().other(), 0));
        swaps++;
        LockSupport.parkNanos(SWAP_PAUSE.toNanos());
      }
    }
    return swaps;
  }

  /** A mesh with both generations in its slots. */
  private KernelNode withBoth(CompiledPrograms programs) {
    KernelNode node =
        KernelNode.open(kernel.places(), RevocationWay.BEST, () -> programs, step -> {});
    node.apply(racing("one", 7001), List.of(), Duration.ZERO);
    node.apply(racing("two", 7002), List.of(), Duration.ZERO);
    serveBoth();
    return node;
  }

  /** One store is all that a swap is, so it can be made thousands of times a second. */
  @Test
  void noConnectionSeesTwoGenerations() {
    CompiledPrograms programs = CompiledPrograms.read();
    withBoth(programs);
    Race race = new Race(RACE);
    int swaps = swap(programs, RACE);
    assertThat(race.violations(0)).isEmpty();
    assertThat(swaps).isGreaterThan(SWAPS);
  }

  /** The check above finds what it is made to find. */
  @Tag(KernelSuite.SIDE_BY_SIDE)
  @Test
  void aBuildThatReadsTheGenerationTwiceIsFoundOut() throws java.io.IOException {
    Path object =
        Path.of(System.getProperty("weir.probers"), "../test-objects/weir-reads-twice.bpf.o");
    CompiledPrograms programs = CompiledPrograms.of(Files.readAllBytes(object), Set.of());
    withBoth(programs);
    List<String> violations = List.of();
    for (int round = 0; round < BROKEN_ROUNDS && violations.isEmpty(); round++) {
      Race race = new Race(RACE);
      swap(programs, RACE);
      violations = race.violations(0);
    }
    assertThat(violations)
        .isNotEmpty()
        .allMatch(violation -> violation.endsWith("that both generations allow met ECONNREFUSED"));
  }

  /** As {@code weir apply} does it: the slot that is not in force is written anew each time. */
  @Test
  void noConnectionIsLostWhileGenerationsAreWrittenAnew() {
    KernelNode node = withBoth(CompiledPrograms.read());
    Race race = new Race(WRITING);
    int swaps = 0;
    long end = System.nanoTime() + WRITING.toNanos();
    while (System.nanoTime() < end) {
      node.apply(
          swaps % 2 == 0 ? racing("one", 7001) : racing("two", 7002), List.of(), Duration.ZERO);
      swaps++;
    }
    // A connection of the generation before that was open at the swap is ended, and says so.
    assertThat(race.violations(2L * swaps)).isEmpty();
    assertThat(swaps).isGreaterThan(REWRITES);
  }

  @Test
  void aNewGenerationDecidesTheNextConnect() {
    kernel.apply(leadsTo("one", 7001));
    serveBoth();
    assertThat(kernel.ask("web", VIP, 80)).isEqualTo("one");
    Applied applied = kernel.apply(leadsTo("two", 7002));
    assertThat(kernel.ask("web", VIP, 80)).isEqualTo("two");
    assertThat(kernel.ask("web", "127.0.0.1", 7001)).isEqualTo("ECONNREFUSED");
    assertThat(applied.generation()).isEqualTo(3);
    assertThat(applied.attached()).isFalse();
  }

  @Test
  void aRefusedReloadLeavesTheOldVerdicts() {
    kernel.apply(leadsTo("one", 7001));
    serveBoth();
    Current before = kernel.node().current().orElseThrow();
    Plan elsewhere = new PlanBuilder("/elsewhere").workload("web").build();
    assertThatThrownBy(() -> kernel.apply(elsewhere))
        .isInstanceOf(NodeException.class)
        .hasMessageContaining("/elsewhere/web")
        .hasMessageContaining("outside the mesh's cgroup root");
    assertThat(kernel.node().current()).contains(before);
    assertThat(kernel.ask("web", VIP, 80)).isEqualTo("one");
    assertThat(kernel.node().lastGood().orElseThrow().plan()).isEqualTo(before.plan());
  }

  @Test
  void whatIsNotConfirmedInTimeIsRevertedWithNothingOfOursRunning() {
    kernel.apply(leadsTo("one", 7001));
    serveBoth();
    Plan two = leadsTo("two", 7002);
    kernel.apply(two, UNTIL_CONFIRMED);
    assertThat(kernel.ask("web", VIP, 80)).isEqualTo("two");
    assertThat(kernel.node().current().orElseThrow().unconfirmed()).isPresent();

    KernelTest.pause(TOO_LATE);
    assertThat(kernel.ask("web", VIP, 80)).isEqualTo("one");
    assertThat(kernel.node().current().orElseThrow().generation()).isEqualTo(2);
    assertThatThrownBy(() -> kernel.node().confirm())
        .isInstanceOf(NodeException.class)
        .hasMessageContaining("too late");
    assertThat(kernel.node().rollBackIfExpired()).isTrue();
    assertThat(kernel.node().rollBackIfExpired()).isFalse();
    assertThat(kernel.ask("web", VIP, 80)).isEqualTo("one");
    assertThat(kernel.node().lastGood().orElseThrow().plan()).isEqualTo(leadsTo("one", 7001));

    kernel.apply(two);
    assertThat(kernel.ask("web", VIP, 80)).isEqualTo("two");
  }

  @Test
  void whatIsConfirmedStays() {
    kernel.apply(leadsTo("one", 7001));
    serveBoth();
    Plan two = leadsTo("two", 7002);
    kernel.apply(two, UNTIL_CONFIRMED);
    kernel.node().confirm();
    KernelTest.pause(TOO_LATE);
    assertThat(kernel.ask("web", VIP, 80)).isEqualTo("two");
    assertThat(kernel.node().current().orElseThrow().unconfirmed()).isEmpty();
    assertThat(kernel.node().lastGood().orElseThrow().plan()).isEqualTo(two);
    assertThatThrownBy(() -> kernel.node().confirm())
        .isInstanceOf(NodeException.class)
        .hasMessageContaining("nothing waits");
  }

  @Test
  void anUnconfirmedFirstGenerationLeavesTheNodeAsItWas() {
    kernel.apply(leadsTo("one", 7001), UNTIL_CONFIRMED);
    serveBoth();
    assertThat(kernel.ask("web", "127.0.0.1", 7002)).isEqualTo("ECONNREFUSED");
    KernelTest.pause(TOO_LATE);
    assertThat(kernel.ask("web", "127.0.0.1", 7002)).isEqualTo("two");
  }

  @Test
  void applyingOverAnUnconfirmedGenerationKeepsAWayBack() {
    kernel.apply(leadsTo("one", 7001));
    serveBoth();
    kernel.apply(leadsTo("two", 7002), Duration.ofMinutes(5));
    Applied again = kernel.apply(leadsTo("two", 7002), UNTIL_CONFIRMED);
    assertThat(again.remarks()).anyMatch(remark -> remark.contains("never confirmed"));
    assertThat(kernel.ask("web", VIP, 80)).isEqualTo("two");
    KernelTest.pause(TOO_LATE);
    assertThat(kernel.ask("web", VIP, 80)).isEqualTo("one");
  }

  @Test
  void anExpiredGenerationWhosePlanIsGoneDoesNotBarTheNext() throws java.io.IOException {
    kernel.apply(leadsTo("one", 7001));
    serveBoth();
    kernel.apply(leadsTo("two", 7002), UNTIL_CONFIRMED);
    KernelTest.pause(TOO_LATE);
    java.nio.file.Files.delete(kernel.places().runDir().resolve("generation-2.plan"));
    assertThatThrownBy(() -> kernel.node().current())
        .isInstanceOf(NodeException.class)
        .hasMessageContaining("run weir apply again");
    kernel.apply(leadsTo("two", 7002));
    assertThat(kernel.ask("web", VIP, 80)).isEqualTo("two");
  }

  @Test
  void aStateDirectoryThatCannotBeWrittenIsARemark() throws java.io.IOException {
    java.nio.file.Files.createFile(kernel.places().stateDir());
    Applied applied = kernel.apply(leadsTo("one", 7001));
    assertThat(applied.remarks()).anyMatch(remark -> remark.contains("not kept for the next boot"));
    serveBoth();
    assertThat(kernel.ask("web", VIP, 80)).isEqualTo("one");
  }

  @Test
  void aWorkloadThatIsNoLongerDeclaredIsHostAgain() {
    kernel.apply(leadsTo("one", 7001));
    serveBoth();
    assertThat(kernel.ask("web", "127.0.0.1", 7002)).isEqualTo("ECONNREFUSED");
    kernel.apply(kernel.plan().workload("one").workload("two").build());
    assertThat(kernel.ask("web", "127.0.0.1", 7002)).isEqualTo("two");
  }
}
