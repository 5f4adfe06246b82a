// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.Protocol;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/** Backends that do not answer connects are passed over for a while. */
final class EjectionTest {

  private static final String VIP = "10.96.0.9";
  private static final int FAILURES = 3;

  @RegisterExtension final KernelTest kernel = new KernelTest();

  /** A service of backends on some ports of one server. */
  private PlanBuilder service(int... ports) {
    PlanBuilder plan = kernel.plan().workload("one").workload("two").workload("server");
    List<Integer> backends = new ArrayList<>();
    for (int port : ports) {
      plan.owns("server", Protocol.TCP, port);
      backends.add(plan.backend("server", "127.0.0.1", port));
    }
    return plan.service("shop", VIP, 80, Protocol.TCP, backends);
  }

  private Plan ejecting(int baseMillis, int... ports) {
    return service(ports).ejects("shop", FAILURES, baseMillis, 100).build();
  }

  private Map<String, Long> connects(String client, int count) {
    return kernel
        .run(client, "connect", VIP, "80", "--read", "--count", String.valueOf(count))
        .outcomes();
  }

  @Test
  void withoutThePolicyEveryOtherConnectGoesOnFailing() {
    kernel.apply(service(7001, 7002).build());
    kernel.serve("server", "listen", "127.0.0.1", "7002", "--reply", "alive");
    assertThat(connects("one", 200).get("ECONNREFUSED")).isBetween(50L, 150L);
    assertThat(kernel.node().ejections()).isEmpty();
  }

  @Test
  void aBackendThatRefusesIsPassedOverAfterSoManyFailures() {
    kernel.apply(ejecting(60_000, 7001, 7002));
    kernel.serve("server", "listen", "127.0.0.1", "7002", "--reply", "alive");

    assertThat(connects("one", 200)).isEqualTo(Map.of("ECONNREFUSED", 3L, "alive", 197L));

    assertThat(kernel.node().ejections())
        .singleElement()
        .satisfies(
            ejection -> {
              assertThat(ejection.port()).isEqualTo(7001);
              assertThat(ejection.left()).isLessThanOrEqualTo(Duration.ofSeconds(60));
              assertThat(ejection.times()).isEqualTo(1);
              assertThat(kernel.node().workloadKey(ejection.source()).orElse("")).contains("one");
            });
    assertThat(kernel.node().telemetry().counters().get("ejected")).isEqualTo(1);
  }

  @Test
  void whatOneMeetsEjectsForNobodyElse() {
    kernel.apply(ejecting(60_000, 7001, 7002));
    kernel.serve("server", "listen", "127.0.0.1", "7002", "--reply", "alive");
    connects("one", 100);

    // Two meets its own three failures before the backend is passed over for it as well.
    assertThat(connects("two", 200).get("ECONNREFUSED")).isEqualTo(3L);
    assertThat(kernel.node().ejections()).hasSize(2);
  }

  @Test
  void theLastOneIsNeverEjected() {
    kernel.apply(ejecting(60_000, 7001, 7002));

    assertThat(connects("one", 100)).isEqualTo(Map.of("ECONNREFUSED", 100L));

    assertThat(kernel.node().ejections()).hasSize(1);
    int ejected = kernel.node().ejections().getFirst().port();
    kernel.serve(
        "server", "listen", "127.0.0.1", String.valueOf(7003 + 7000 - ejected), "--reply", "alive");
    assertThat(connects("one", 50)).isEqualTo(Map.of("alive", 50L));
  }

  @Test
  void noMoreThanTheShareOfBackendsIsEjected() {
    kernel.apply(service(7001, 7002, 7003, 7004).ejects("shop", FAILURES, 60_000, 50).build());
    kernel.serve("server", "listen", "127.0.0.1", "7004", "--reply", "alive");

    connects("one", 200);

    assertThat(kernel.node().ejections()).hasSize(2);
  }

  @Test
  void anAnswerBetweenLetsFailuresBeginAnew() {
    kernel.apply(ejecting(60_000, 7001, 7002));
    kernel.serve("server", "listen", "127.0.0.1", "7002", "--reply", "alive");
    for (int i = 0; i < FAILURES - 1; i++) {
      while (!kernel.connect("one", VIP, 80).equals("ECONNREFUSED")) {
        assertThat(kernel.node().ejections()).isEmpty();
      }
    }
    Prober back = kernel.serve("server", "listen", "127.0.0.1", "7001", "--reply", "back");
    assertThat(connects("one", 50)).containsKeys("back", "alive");
    back.close();

    while (!kernel.connect("one", VIP, 80).equals("ECONNREFUSED")) {
      assertThat(kernel.node().ejections()).isEmpty();
    }
    assertThat(kernel.node().ejections()).isEmpty();
  }

  @Test
  void itIsTriedAgainAfterItsTimeWhichGrows() {
    kernel.apply(ejecting(700, 7001, 7002));
    kernel.serve("server", "listen", "127.0.0.1", "7002", "--reply", "alive");
    assertThat(connects("one", 100).get("ECONNREFUSED")).isEqualTo(3L);
    KernelTest.pause(Duration.ofMillis(800));
    assertThat(kernel.node().ejections()).isEmpty();

    assertThat(connects("one", 100).get("ECONNREFUSED")).isEqualTo(3L);

    assertThat(kernel.node().ejections())
        .singleElement()
        .satisfies(
            ejection -> {
              assertThat(ejection.times()).isEqualTo(2);
              assertThat(ejection.left()).isGreaterThan(Duration.ofMillis(700));
            });
    kernel.serve("server", "listen", "127.0.0.1", "7001", "--reply", "back");
    KernelTest.pause(Duration.ofMillis(1500));
    assertThat(connects("one", 100)).containsKeys("back", "alive");
  }

  @Test
  void whatPolicyRefusesAndWhatTheClientGivesUpSaysNothingOfABackend() {
    kernel.apply(
        service(7001, 7002).ejects("shop", FAILURES, 60_000, 100).isolateIngress("server").build());
    assertThat(connects("one", 50)).isEqualTo(Map.of("ECONNREFUSED", 50L));
    assertThat(kernel.node().ejections()).isEmpty();
  }
}
