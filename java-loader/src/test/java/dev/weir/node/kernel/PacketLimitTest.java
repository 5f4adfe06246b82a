// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.TrafficPolicy.PacketRate;
import dev.weir.policy.plan.TrafficPolicy.Scope;
import java.nio.file.Files;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/** UDP packets per second, dropped by the kernel beyond. */
@Tag("kernel")
final class PacketLimitTest {

  private static final String VIP = "10.96.0.5";
  private static final String VIP6 = "fd00:96::5";

  @RegisterExtension final KernelTest kernel = new KernelTest();

  private PlanBuilder plan() {
    PlanBuilder plan =
        kernel
            .plan()
            .workload("one")
            .workload("two")
            .workload("dns")
            .owns("dns", Protocol.UDP, 5353)
            .owns("dns", Protocol.UDP, 5354);
    int first = plan.backend("dns", "127.0.0.1", 5353);
    int second = plan.backend("dns", "127.0.0.1", 5354);
    int third = plan.backend("dns", "::1", 5353);
    return plan.service("names", VIP, 53, Protocol.UDP, List.of(first))
        .service("names", VIP6, 53, Protocol.UDP, List.of(third))
        .service("others", VIP, 54, Protocol.UDP, List.of(second));
  }

  private static PacketRate burst(int packets) {
    return new PacketRate(1, packets, Scope.TOTAL);
  }

  private long sent(String client, String address, int port, int count, String... options) {
    List<String> arguments =
        new ArrayList<>(
            List.of("sendto", address, String.valueOf(port), "--count", String.valueOf(count)));
    arguments.addAll(List.of(options));
    Map<String, Long> outcomes = kernel.run(client, arguments.toArray(String[]::new)).outcomes();
    long passed = outcomes.getOrDefault("ok", 0L);
    // What is dropped on its way out fails with EPERM; nothing else fails.
    assertThat(outcomes.getOrDefault("EPERM", 0L)).isEqualTo(count - passed);
    return passed;
  }

  private boolean attached() {
    return Files.exists(kernel.places().pinDir().resolve("links/weir_packet"));
  }

  private void serve() {
    kernel.serve("dns", "udp-echo", "127.0.0.1", "5353", "--reply", "answer");
    kernel.serve("dns", "udp-echo", "127.0.0.1", "5354", "--reply", "answer");
    kernel.serve("dns", "udp-echo", "::1", "5353", "--reply", "answer");
  }

  @Test
  void packetsBeyondTheRateAreDroppedCountedAndExplained() {
    kernel.apply(plan().limits("names", burst(10)).build());
    serve();

    long passed = sent("one", VIP, 53, 50);

    assertThat(passed).isBetween(10L, 12L);
    assertThat(kernel.node().telemetry().refusals())
        .singleElement()
        .satisfies(
            refusal -> {
              assertThat(refusal.reason()).isEqualTo(Reason.RATE_LIMIT);
              assertThat(refusal.protocol()).isEqualTo(Protocol.UDP);
              assertThat(refusal.port()).isEqualTo(53);
              assertThat(refusal.count()).isEqualTo(50 - passed);
              assertThat(kernel.node().workloadKey(refusal.source()).orElse("")).contains("one");
              assertThat(kernel.node().workloadKey(refusal.destination()).orElse(""))
                  .contains("names");
              assertThat(kernel.node().ruleKey(refusal.rule()).orElse("")).contains("limit-names");
            });
    assertThat(sent("one", VIP, 54, 100)).isEqualTo(100);
  }

  @Test
  void connectedSocketsAndBothFamiliesShareTheLimit() {
    kernel.apply(plan().limits("names", burst(20)).build());
    serve();
    assertThat(sent("one", VIP, 53, 5, "--connected")).isEqualTo(5);
    assertThat(sent("one", VIP, 53, 5)).isEqualTo(5);
    assertThat(sent("one", VIP6, 53, 5)).isEqualTo(5);
    assertThat(sent("two", VIP6, 53, 50, "--connected")).isBetween(5L, 8L);
  }

  @Test
  void whatTheKernelCutsIntoSeveralCountsAsSeveral() {
    kernel.apply(plan().limits("names", burst(20)).build());
    serve();
    String text = "x".repeat(99);
    // 100 bytes in tens are ten packets each.
    assertThat(sent("one", VIP, 53, 10, "--text", text, "--segment", "10")).isEqualTo(2);
  }

  @Test
  void aWorkloadIsLimitedWhicheverWayItIsReached() {
    kernel.apply(plan().limits("dns", burst(20)).build());
    serve();
    assertThat(sent("one", VIP, 53, 5)).isEqualTo(5);
    assertThat(sent("one", "127.0.0.1", 5354, 5)).isEqualTo(5);
    assertThat(sent("one", "::1", 5353, 5, "--connected")).isEqualTo(5);
    assertThat(sent("two", "127.0.0.1", 5353, 50)).isBetween(5L, 9L);
    // Whoever is the limited one itself is not, nor is what it answers.
    assertThat(sent("dns", "127.0.0.1", 5353, 50)).isEqualTo(50);
  }

  @Test
  void auditModeCountsAndLetsPass() {
    kernel.apply(plan().audit().limits("names", burst(5)).build());
    serve();
    assertThat(sent("one", VIP, 53, 30)).isEqualTo(30);
    assertThat(kernel.node().telemetry().refusals())
        .singleElement()
        .satisfies(refusal -> assertThat(refusal.audited()).isTrue());
  }

  @Test
  void anAnswerIsNoPacketOfTheService() {
    kernel.apply(plan().limits("names", burst(40)).build());
    serve();
    Map<String, Long> outcomes =
        kernel.run("one", "sendto", VIP, "53", "--count", "30", "--read").outcomes();
    assertThat(outcomes).isEqualTo(Map.of("answer", 30L));
  }

  /** As much gets through as may, and never more, however many send at once. */
  @Test
  void processesAtOnceNeverGetMoreThanTheRateAndReachIt() {
    kernel.apply(plan().limits("names", new PacketRate(2000, 100, Scope.TOTAL)).build());
    Prober server = kernel.serve("dns", "udp-echo", "127.0.0.1", "5353", "--reply", "answer");
    long before = System.nanoTime();
    List<Prober> senders = new ArrayList<>();
    for (int i = 0; i < 4; i++) {
      senders.add(
          kernel.start(
              i % 2 == 0 ? "one" : "two",
              "sendto",
              VIP,
              "53",
              "--count",
              "100000",
              i < 2 ? "--connected" : "--graceful"));
    }
    List<Map<String, Long>> outcomes =
        senders.stream().map(Prober::next).map(Prober.Line::outcomes).toList();
    double seconds = (System.nanoTime() - before) / 1e9;
    server.close();

    long passed = outcomes.stream().mapToLong(o -> o.getOrDefault("ok", 0L)).sum();
    assertThat((double) passed).isLessThanOrEqualTo(100 + 2000 * seconds);
    // Senders start and end one after the other, so that not all the time is one at it.
    assertThat((double) passed).isGreaterThan(100 + 2000 * seconds * 0.5);
  }

  @Test
  void theHookIsThereOnlyWhileAPlanLimitsPackets() {
    kernel.apply(plan().build());
    assertThat(attached()).isFalse();

    kernel.apply(plan().limits("names", burst(10)).build());
    assertThat(attached()).isTrue();
    serve();
    assertThat(sent("one", VIP, 53, 50)).isBetween(10L, 12L);

    // Not confirmed, and so it may be needed again.
    kernel.apply(plan().build(), Duration.ofMinutes(5));
    assertThat(attached()).isTrue();
    assertThat(sent("one", VIP, 53, 50)).isEqualTo(50);

    kernel.apply(plan().build());
    assertThat(attached()).isFalse();
    assertThat(KernelNode.unattached(plan().build())).contains("weir_packet");
    assertThat(KernelNode.unattached(plan().limits("names", burst(1)).build()))
        .doesNotContain("weir_packet");
  }

  @Test
  void theFirstPlanMayLimitPackets() {
    kernel.apply(plan().limits("names", burst(1)).build());
    assertThat(attached()).isTrue();
    kernel.node().down();
    assertThat(attached()).isFalse();
  }
}
