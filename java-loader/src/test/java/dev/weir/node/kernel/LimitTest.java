// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.node.bpf.BpfMap;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.TrafficPolicy.ConnectionRate;
import dev.weir.policy.plan.TrafficPolicy.Scope;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/** Connections per second, refused by the kernel beyond. */
@Tag("kernel")
final class LimitTest {

  private static final String VIP = "10.96.0.5";

  @RegisterExtension final KernelTest kernel = new KernelTest();

  private PlanBuilder plan() {
    PlanBuilder plan =
        kernel
            .plan()
            .workload("one")
            .workload("two")
            .workload("server")
            .owns("server", Protocol.TCP, 7001)
            .owns("server", Protocol.TCP, 7002);
    int first = plan.backend("server", "127.0.0.1", 7001);
    int second = plan.backend("server", "127.0.0.1", 7002);
    return plan.service("shop", VIP, 80, Protocol.TCP, List.of(first))
        .service("shop", VIP, 81, Protocol.TCP, List.of(second));
  }

  private void serve() {
    kernel.serve("server", "listen", "127.0.0.1", "7001", "--reply", "shop");
    kernel.serve("server", "listen", "127.0.0.1", "7002", "--reply", "shop");
  }

  private Map<String, Long> connects(String client, String address, int port, int count) {
    return kernel
        .run(
            client,
            "connect",
            address,
            String.valueOf(port),
            "--read",
            "--count",
            String.valueOf(count))
        .outcomes();
  }

  private static long passed(Map<String, Long> outcomes) {
    return outcomes.getOrDefault("shop", 0L);
  }

  @Test
  void whatIsBeyondTheRateIsRefusedCountedAndExplained() {
    kernel.apply(plan().limits("shop", new ConnectionRate(1, 10, Scope.TOTAL)).build());
    serve();

    Map<String, Long> outcomes = connects("one", VIP, 80, 50);

    assertThat(passed(outcomes)).isBetween(10L, 12L);
    assertThat(outcomes.get("ECONNREFUSED")).isEqualTo(50 - passed(outcomes));
    assertThat(kernel.node().telemetry().refusals())
        .singleElement()
        .satisfies(
            refusal -> {
              assertThat(refusal.reason()).isEqualTo(Reason.RATE_LIMIT);
              assertThat(refusal.count()).isEqualTo(50 - passed(outcomes));
              assertThat(refusal.port()).isEqualTo(80);
              assertThat(kernel.node().workloadKey(refusal.destination()).orElse(""))
                  .contains("shop");
              assertThat(kernel.node().ruleKey(refusal.rule()).orElse("")).contains("limit-shop-0");
            });
  }

  @Test
  void withoutALimitOrForAnotherPortNothingIsRefused() {
    kernel.apply(plan().limits("shop", 80, new ConnectionRate(1, 2, Scope.TOTAL)).build());
    serve();
    assertThat(passed(connects("one", VIP, 80, 20))).isBetween(2L, 3L);
    assertThat(connects("one", VIP, 81, 200)).isEqualTo(Map.of("shop", 200L));
    assertThat(connects("one", "127.0.0.1", 7001, 200)).isEqualTo(Map.of("shop", 200L));
  }

  @Test
  void allPortsOfAServiceShareItsLimit() {
    kernel.apply(plan().limits("shop", new ConnectionRate(1, 10, Scope.TOTAL)).build());
    serve();
    long first = passed(connects("one", VIP, 80, 6));
    assertThat(first).isEqualTo(6);
    assertThat(passed(connects("one", VIP, 81, 20))).isBetween(4L, 6L);
  }

  @Test
  void eachSourceByItselfOrAllTogether() {
    kernel.apply(plan().limits("shop", new ConnectionRate(1, 10, Scope.SOURCE_IDENTITY)).build());
    serve();
    assertThat(passed(connects("one", VIP, 80, 30))).isBetween(10L, 12L);
    assertThat(passed(connects("two", VIP, 80, 30))).isBetween(10L, 12L);

    kernel.apply(plan().limits("shop", new ConnectionRate(1, 10, Scope.TOTAL)).build());
    assertThat(passed(connects("one", VIP, 80, 30)) + passed(connects("two", VIP, 80, 30)))
        .isBetween(10L, 12L);
  }

  @Test
  void aWorkloadIsLimitedWhicheverWayItIsReached() {
    kernel.apply(plan().limits("server", new ConnectionRate(1, 10, Scope.TOTAL)).build());
    serve();
    kernel.serve("server", "listen", "::ffff:127.0.0.1", "7003", "--reply", "shop");
    assertThat(passed(connects("one", VIP, 80, 5))).isEqualTo(5);
    assertThat(passed(connects("one", "127.0.0.1", 7002, 5))).isBetween(4L, 5L);
    assertThat(passed(connects("one", VIP, 81, 10))).isBetween(0L, 3L);
    assertThat(passed(connects("one", "::ffff:127.0.0.1", 7001, 10))).isBetween(0L, 2L);
    // Whoever is the limited one itself is not.
    assertThat(passed(connects("server", "127.0.0.1", 7001, 30))).isEqualTo(30);
  }

  /** As much gets through as may, and never more, however many ask at once. */
  @Test
  void processesAtOnceNeverGetMoreThanTheRateAndReachIt() {
    int rate = 500;
    int burst = 100;
    kernel.apply(plan().limits("shop", new ConnectionRate(rate, burst, Scope.TOTAL)).build());
    kernel.serve("server", "listen", "127.0.0.1", "7001", "--reply", "shop");
    List<Prober> racers = new ArrayList<>();
    long before = System.nanoTime();
    for (int i = 0; i < 4; i++) {
      racers.add(
          kernel.start(
              i % 2 == 0 ? "one" : "two", "race", VIP, "80", "--threads", "2", "--for", "3000"));
    }
    List<Prober.Line> lines = racers.stream().map(Prober::next).toList();
    double seconds = (System.nanoTime() - before) / 1e9;

    long passed = lines.stream().mapToLong(line -> passed(line.outcomes())).sum();
    double shortest =
        lines.stream()
            .mapToDouble(line -> Double.parseDouble(line.text("seconds")))
            .min()
            .orElse(0);
    assertThat(lines).allSatisfy(line -> assertThat(passed(line.outcomes())).isPositive());
    assertThat(lines.stream().mapToLong(line -> line.number("connects")).sum())
        .isGreaterThan(4 * passed);
    assertThat((double) passed).isLessThanOrEqualTo(burst + rate * seconds);
    assertThat((double) passed).isGreaterThanOrEqualTo(burst + rate * shortest * 0.97);
  }

  @Test
  void whatIsUsedUpStaysSoInTheNextGeneration() {
    kernel.apply(plan().limits("shop", new ConnectionRate(1, 20, Scope.TOTAL)).build());
    serve();
    assertThat(passed(connects("one", VIP, 80, 40))).isBetween(20L, 22L);

    kernel.apply(plan().limits("shop", new ConnectionRate(1, 20, Scope.TOTAL)).build());
    assertThat(passed(connects("one", VIP, 80, 40))).isLessThan(15);

    kernel.apply(plan().build());
    assertThat(passed(connects("one", VIP, 80, 40))).isEqualTo(40);
  }

  @Test
  void auditModeCountsAndLetsPass() {
    kernel.apply(plan().audit().limits("shop", new ConnectionRate(1, 5, Scope.TOTAL)).build());
    serve();
    assertThat(passed(connects("one", VIP, 80, 30))).isEqualTo(30);
    assertThat(kernel.node().telemetry().refusals())
        .singleElement()
        .satisfies(
            refusal -> {
              assertThat(refusal.reason()).isEqualTo(Reason.RATE_LIMIT);
              assertThat(refusal.audited()).isTrue();
              assertThat(refusal.count()).isBetween(20L, 25L);
            });
  }

  @Test
  void whatIsRefusedByPolicyUsesNothingUp() {
    kernel.apply(
        plan()
            .isolateIngress("server")
            .allow("two", "server", Protocol.TCP, 7001)
            .limits("shop", new ConnectionRate(1, 10, Scope.TOTAL))
            .build());
    serve();
    assertThat(passed(connects("one", VIP, 80, 50))).isZero();
    assertThat(passed(connects("two", VIP, 80, 50))).isBetween(10L, 12L);
  }

  @Test
  void connectionsToTheProxyCountForTheService() {
    kernel.apply(
        kernel
            .plan()
            .workload("one")
            .proxied("web", VIP, 80)
            .limits("web", new ConnectionRate(1, 10, Scope.TOTAL))
            .build());
    kernel.serve("proxy", "listen", "127.0.0.1", "15001", "--reply", "shop");
    assertThat(passed(connects("one", VIP, 80, 30))).isBetween(10L, 12L);
  }

  @Test
  void anUngovernedHostIsNotLimited() {
    kernel.apply(plan().limits("shop", new ConnectionRate(1, 5, Scope.TOTAL)).build());
    serve();
    assertThat(passed(connects("", VIP, 80, 30)) + passed(connects("elsewhere", VIP, 80, 30)))
        .isEqualTo(30);
  }

  @Test
  void withoutRoomToCountItIsRefusedAndSaid() {
    kernel.apply(
        plan().limits("shop", new ConnectionRate(1000, 1000, Scope.SOURCE_IDENTITY)).build());
    serve();
    assertThat(passed(connects("one", VIP, 80, 5))).isEqualTo(5);
    try (BpfMap states = BpfMap.open(Pins.in(kernel.places().pinDir()).map("limit_states"))) {
      ByteBuffer key = states.newKey();
      int entries = 0;
      while (entries < 1 << 20) {
        key.putInt(0, 1 << 20 | entries++);
        try {
          states.update(key, states.newValue());
        } catch (dev.weir.node.bpf.BpfException full) {
          break;
        }
      }
    }
    assertThat(passed(connects("one", VIP, 80, 5))).isEqualTo(5);
    assertThat(passed(connects("two", VIP, 80, 5))).isZero();
    assertThat(kernel.node().telemetry().counters().get("limits_full")).isEqualTo(5);
    assertThat(kernel.node().telemetry().refusals())
        .extracting(Snapshot.Refusal::reason)
        .containsExactly(Reason.RATE_LIMIT);
    // Of those that filled it everything had drained long ago: reading counters made room.
    assertThat(passed(connects("two", VIP, 80, 5))).isEqualTo(5);
  }
}
