// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.Protocol;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

@Tag("kernel")
final class GenerationSwapTest {

  private static final String VIP = "10.96.0.9";

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

  @Test
  void noConnectionSeesTwoGenerations() {
    Plan one = leadsTo("one", 7001);
    Plan two = leadsTo("two", 7002);
    kernel.apply(one);
    serveBoth();
    Prober race = kernel.start("web", "race", VIP, "80", "--threads", "3", "--for", "6000");
    int swaps = 0;
    long end = System.nanoTime() + Duration.ofSeconds(5).toNanos();
    while (System.nanoTime() < end) {
      kernel.apply(swaps % 2 == 0 ? two : one);
      swaps++;
    }
    Map<String, Long> outcomes = race.next().outcomes();
    // A connection of the generation before that was open at the swap is ended, and says so.
    assertThat(outcomes.keySet()).isSubsetOf("one", "two", "ECONNABORTED").contains("one", "two");
    assertThat(outcomes.getOrDefault("ECONNABORTED", 0L)).isLessThanOrEqualTo(3L * swaps);
    assertThat(swaps).isGreaterThan(5);
    assertThat(outcomes.values().stream().mapToLong(Long::longValue).sum()).isGreaterThan(1000);
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
    kernel.apply(two, Duration.ofSeconds(1));
    assertThat(kernel.ask("web", VIP, 80)).isEqualTo("two");
    assertThat(kernel.node().current().orElseThrow().unconfirmed()).isPresent();

    KernelTest.pause(Duration.ofMillis(2100));
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
    kernel.apply(two, Duration.ofSeconds(1));
    kernel.node().confirm();
    KernelTest.pause(Duration.ofMillis(2100));
    assertThat(kernel.ask("web", VIP, 80)).isEqualTo("two");
    assertThat(kernel.node().current().orElseThrow().unconfirmed()).isEmpty();
    assertThat(kernel.node().lastGood().orElseThrow().plan()).isEqualTo(two);
    assertThatThrownBy(() -> kernel.node().confirm())
        .isInstanceOf(NodeException.class)
        .hasMessageContaining("nothing waits");
  }

  @Test
  void anUnconfirmedFirstGenerationLeavesTheNodeAsItWas() {
    kernel.apply(leadsTo("one", 7001), Duration.ofSeconds(1));
    serveBoth();
    assertThat(kernel.ask("web", "127.0.0.1", 7002)).isEqualTo("ECONNREFUSED");
    KernelTest.pause(Duration.ofMillis(2100));
    assertThat(kernel.ask("web", "127.0.0.1", 7002)).isEqualTo("two");
  }

  @Test
  void applyingOverAnUnconfirmedGenerationKeepsAWayBack() {
    kernel.apply(leadsTo("one", 7001));
    serveBoth();
    kernel.apply(leadsTo("two", 7002), Duration.ofMinutes(5));
    Applied again = kernel.apply(leadsTo("two", 7002), Duration.ofSeconds(1));
    assertThat(again.remarks()).anyMatch(remark -> remark.contains("never confirmed"));
    assertThat(kernel.ask("web", VIP, 80)).isEqualTo("two");
    KernelTest.pause(Duration.ofMillis(2100));
    assertThat(kernel.ask("web", VIP, 80)).isEqualTo("one");
  }

  @Test
  void anExpiredGenerationWhosePlanIsGoneDoesNotBarTheNext() throws java.io.IOException {
    kernel.apply(leadsTo("one", 7001));
    serveBoth();
    kernel.apply(leadsTo("two", 7002), Duration.ofSeconds(1));
    KernelTest.pause(Duration.ofMillis(2100));
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
