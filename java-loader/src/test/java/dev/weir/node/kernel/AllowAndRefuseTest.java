// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.Verdict.Decision;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/** Every refusal has its control: the same program succeeds with Weir down. */
@Tag("kernel")
final class AllowAndRefuseTest {

  private static final int PORT = 5432;
  private static final String REFUSED = "ECONNREFUSED";

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

  private void serveDb() {
    kernel.serve("db", "listen", "127.0.0.1", "5432", "--also", "::1", "--reply", "db");
  }

  @Test
  void whoIsAllowedConnectsAndWhoIsNotIsRefused() {
    kernel.apply(onlyWebMayReachDb().build());
    serveDb();
    assertThat(kernel.ask("web", "127.0.0.1", PORT)).isEqualTo("db");
    assertThat(kernel.ask("stranger", "127.0.0.1", PORT)).isEqualTo(REFUSED);

    kernel.node().down();
    assertThat(kernel.ask("stranger", "127.0.0.1", PORT)).isEqualTo("db");
  }

  @Test
  void everyWayOfWritingTheAddressMeetsTheSameVerdict() {
    kernel.apply(onlyWebMayReachDb().build());
    serveDb();
    assertThat(kernel.ask("web", "::1", PORT)).isEqualTo("db");
    assertThat(kernel.ask("stranger", "::1", PORT)).isEqualTo(REFUSED);
    assertThat(kernel.ask("web", "127.0.0.1", PORT, "--v6-socket")).isEqualTo("db");
    assertThat(kernel.ask("stranger", "127.0.0.1", PORT, "--v6-socket")).isEqualTo(REFUSED);
    assertThat(kernel.ask("stranger", "0.0.0.0", PORT)).isEqualTo(REFUSED);
    assertThat(kernel.ask("stranger", "::", PORT)).isEqualTo(REFUSED);

    kernel.node().down();
    assertThat(kernel.ask("stranger", "::1", PORT)).isEqualTo("db");
    assertThat(kernel.ask("stranger", "127.0.0.1", PORT, "--v6-socket")).isEqualTo("db");
    assertThat(kernel.ask("stranger", "0.0.0.0", PORT)).isEqualTo("db");
    assertThat(kernel.ask("stranger", "::", PORT)).isEqualTo("db");
  }

  @Test
  void anAllowedWorkloadMayNotReachAnotherPort() {
    kernel.apply(onlyWebMayReachDb().owns("db", Protocol.TCP, 5433).build());
    kernel.serve("db", "listen", "127.0.0.1", "5433", "--reply", "admin");
    assertThat(kernel.ask("web", "127.0.0.1", 5433)).isEqualTo(REFUSED);

    kernel.node().down();
    assertThat(kernel.ask("web", "127.0.0.1", 5433)).isEqualTo("admin");
  }

  @Test
  void aChildCgroupInheritsItsParentsVerdicts() {
    kernel.apply(onlyWebMayReachDb().build());
    serveDb();
    assertThat(kernel.ask("web/worker/7", "127.0.0.1", PORT)).isEqualTo("db");
    assertThat(kernel.ask("stranger/worker/7", "127.0.0.1", PORT)).isEqualTo(REFUSED);
  }

  @Test
  void whoIsIsolatedForEgressReachesOnlyWhatIsAllowed() {
    kernel.apply(
        kernel
            .plan()
            .workload("web")
            .workload("db")
            .workload("cache")
            .owns("db", Protocol.TCP, PORT)
            .owns("cache", Protocol.TCP, 6379)
            .isolateEgress("web")
            .allow("web", "db", Protocol.TCP, PORT)
            .build());
    serveDb();
    kernel.serve("cache", "listen", "127.0.0.1", "6379", "--reply", "cache");
    assertThat(kernel.ask("web", "127.0.0.1", PORT)).isEqualTo("db");
    assertThat(kernel.ask("web", "127.0.0.1", 6379)).isEqualTo(REFUSED);

    kernel.node().down();
    assertThat(kernel.ask("web", "127.0.0.1", 6379)).isEqualTo("cache");
  }

  @Test
  void anExplicitRefusalGoesBeforeAWiderAllow() {
    kernel.apply(
        kernel
            .plan()
            .workload("web")
            .workload("db")
            .owns("db", Protocol.TCP, PORT)
            .isolateIngress("db")
            .allow("any", "db", Protocol.TCP, 0)
            .refuse("web", "db", Protocol.TCP, PORT)
            .build());
    serveDb();
    assertThat(kernel.ask("web", "127.0.0.1", PORT)).isEqualTo(REFUSED);

    kernel.node().down();
    assertThat(kernel.ask("web", "127.0.0.1", PORT)).isEqualTo("db");
  }

  @Test
  void aRangeOfPortsIsOneRow() {
    kernel.apply(
        kernel
            .plan()
            .workload("web")
            .workload("db")
            .owns("db", Protocol.TCP, 6001)
            .owns("db", Protocol.TCP, 6100)
            .isolateIngress("db")
            .portClass(6000, 6099)
            .allow("web", "db", Protocol.TCP, 6000)
            .build());
    kernel.serve("db", "listen", "127.0.0.1", "6001", "--reply", "inside");
    kernel.serve("db", "listen", "127.0.0.1", "6100", "--reply", "outside");
    assertThat(kernel.ask("web", "127.0.0.1", 6001)).isEqualTo("inside");
    assertThat(kernel.ask("web", "127.0.0.1", 6100)).isEqualTo(REFUSED);

    kernel.node().down();
    assertThat(kernel.ask("web", "127.0.0.1", 6100)).isEqualTo("outside");
  }

  @Test
  void aDatagramIsRefusedAsAConnectionIs() {
    kernel.apply(
        kernel
            .plan()
            .workload("web")
            .workload("stranger")
            .workload("db")
            .owns("db", Protocol.UDP, PORT)
            .isolateIngress("db")
            .allow("web", "db", Protocol.UDP, PORT)
            .build());
    kernel.serve("db", "udp-echo", "127.0.0.1", "5432", "--reply", "db");
    assertThat(sendto("web")).isEqualTo("ok");
    assertThat(sendto("stranger")).isEqualTo(REFUSED);
    assertThat(kernel.connect("stranger", "127.0.0.1", PORT, "--udp")).isEqualTo(REFUSED);

    kernel.node().down();
    assertThat(sendto("stranger")).isEqualTo("ok");
    assertThat(kernel.connect("stranger", "127.0.0.1", PORT, "--udp")).isEqualTo("ok");
  }

  private String sendto(String cgroup) {
    return kernel.run(cgroup, "sendto", "127.0.0.1", "5432", "--read").text("result");
  }

  @Test
  void anUndeclaredProcessInAGovernedPlaceIsRefusedWhereAPolicySelects() {
    kernel.apply(onlyWebMayReachDb().governed("").build());
    serveDb();
    kernel.serve("web", "listen", "127.0.0.1", "8080", "--reply", "open");
    assertThat(kernel.ask("nobody", "127.0.0.1", PORT)).isEqualTo(REFUSED);
    assertThat(kernel.ask("nobody", "127.0.0.1", 8080)).isEqualTo("open");

    kernel.node().down();
    assertThat(kernel.ask("nobody", "127.0.0.1", PORT)).isEqualTo("db");
  }

  @Test
  void theHostPasses() {
    kernel.apply(onlyWebMayReachDb().build());
    serveDb();
    assertThat(kernel.ask("undeclared", "127.0.0.1", PORT)).isEqualTo("db");
    assertThat(kernel.ask("", "127.0.0.1", PORT)).isEqualTo("db");
  }

  @Test
  void aGovernedHostIsJudgedLikeAnybody() {
    kernel.apply(onlyWebMayReachDb().governHost().build());
    serveDb();
    assertThat(kernel.ask("undeclared", "127.0.0.1", PORT)).isEqualTo(REFUSED);
  }

  @Test
  void auditModeRefusesNothingAndCountsEverything() {
    kernel.apply(onlyWebMayReachDb().audit().build());
    serveDb();
    assertThat(kernel.ask("stranger", "127.0.0.1", PORT)).isEqualTo("db");
    assertThat(kernel.node().telemetry().refusals())
        .singleElement()
        .satisfies(
            refusal -> {
              assertThat(refusal.audited()).isTrue();
              assertThat(refusal.reason()).isEqualTo(Reason.DEFAULT_DENY);
            });
  }

  @Test
  void anAuditRowLetsPassAndCounts() {
    kernel.apply(
        onlyWebMayReachDb().verdict("stranger", "db", Protocol.TCP, PORT, Decision.AUDIT).build());
    serveDb();
    assertThat(kernel.ask("stranger", "127.0.0.1", PORT)).isEqualTo("db");
    assertThat(kernel.node().telemetry().refusals())
        .singleElement()
        .satisfies(refusal -> assertThat(refusal.audited()).isTrue());
  }

  @Test
  void whatAPolicyInAuditWouldRefuseIsMadeAndCountedInItsName() {
    kernel.apply(onlyWebMayReachDb().auditIngress("db").build());
    serveDb();
    assertThat(kernel.ask("web", "127.0.0.1", PORT)).isEqualTo("db");
    assertThat(kernel.node().telemetry().refusals()).isEmpty();
    assertThat(kernel.ask("stranger", "127.0.0.1", PORT)).isEqualTo("db");
    assertThat(kernel.node().telemetry().refusals())
        .singleElement()
        .satisfies(
            refusal -> {
              assertThat(refusal.audited()).isTrue();
              assertThat(refusal.reason()).isEqualTo(Reason.DEFAULT_DENY);
              assertThat(kernel.node().ruleKey(refusal.rule()))
                  .hasValueSatisfying(key -> assertThat(key).contains("audit-ingress-db"));
            });
  }

  @Test
  void meshMayChooseTheErrno() {
    kernel.apply(onlyWebMayReachDb().refuseWithEperm().build());
    serveDb();
    assertThat(kernel.ask("stranger", "127.0.0.1", PORT)).isEqualTo("EPERM");
  }

  @Test
  void outsideBlocksAreToldApartByTheLongestPrefix() {
    KernelTest.ip("-n", kernel.netns(), "addr", "add", "192.0.2.7/32", "dev", "lo");
    KernelTest.ip("-n", kernel.netns(), "addr", "add", "192.0.2.130/32", "dev", "lo");
    kernel.apply(
        kernel
            .plan()
            .workload("web")
            .isolateEgress("web")
            .block("partner", "192.0.2.0", 120)
            .block("attacker", "192.0.2.128", 121)
            .allow("web", "partner", Protocol.TCP, 0)
            .build());
    kernel.serve("", "listen", "0.0.0.0", "9000", "--reply", "outside");
    assertThat(kernel.ask("web", "192.0.2.7", 9000)).isEqualTo("outside");
    assertThat(kernel.ask("web", "192.0.2.130", 9000)).isEqualTo(REFUSED);

    kernel.node().down();
    assertThat(kernel.ask("web", "192.0.2.130", 9000)).isEqualTo("outside");
  }

  @Test
  void aSocketOfAnotherWorkloadsMakingIsRefused() {
    kernel.apply(onlyWebMayReachDb().build());
    serveDb();
    String stranger = kernel.cgroup("stranger").toString();
    String web = kernel.cgroup("web").toString();
    assertThat(kernel.ask("web", "127.0.0.1", PORT, "--birth-cgroup", stranger)).isEqualTo(REFUSED);
    assertThat(kernel.ask("stranger", "127.0.0.1", PORT, "--birth-cgroup", web)).isEqualTo(REFUSED);
    assertThat(kernel.node().telemetry().refusals())
        .extracting(Snapshot.Refusal::reason)
        .contains(Reason.BIRTH);

    kernel.node().down();
    assertThat(kernel.ask("web", "127.0.0.1", PORT, "--birth-cgroup", stranger)).isEqualTo("db");
  }

  @Test
  void aWorkloadMayBeDeclaredToHandOutItsSockets() {
    kernel.apply(
        kernel
            .plan()
            .workload("supervisor", true)
            .workload("web")
            .workload("db")
            .owns("db", Protocol.TCP, PORT)
            .isolateIngress("db")
            .allow("web", "db", Protocol.TCP, PORT)
            .build());
    serveDb();
    String supervisor = kernel.cgroup("supervisor").toString();
    assertThat(kernel.ask("web", "127.0.0.1", PORT, "--birth-cgroup", supervisor)).isEqualTo("db");
  }

  @Test
  void aRefusalIsCountedWithSourceDestinationAndRule() {
    kernel.apply(onlyWebMayReachDb().build());
    serveDb();
    KernelNode node = kernel.node();
    for (int i = 0; i < 3; i++) {
      assertThat(kernel.ask("stranger", "127.0.0.1", PORT)).isEqualTo(REFUSED);
    }
    Snapshot.Refusal refusal = node.telemetry().refusals().getFirst();
    assertThat(refusal.count()).isEqualTo(3);
    assertThat(refusal.port()).isEqualTo(PORT);
    assertThat(refusal.protocol()).isEqualTo(Protocol.TCP);
    assertThat(refusal.reason()).isEqualTo(Reason.DEFAULT_DENY);
    assertThat(refusal.audited()).isFalse();
    assertThat(node.workloadKey(refusal.source())).contains("Workload/test/stranger");
    assertThat(node.workloadKey(refusal.destination())).contains("Workload/test/db");
    assertThat(node.ruleKey(refusal.rule())).contains("NetworkPolicy/test/isolate-ingress-db");
  }

  @Test
  void aRefusalIsReportedAsAnEvent() throws InterruptedException {
    kernel.apply(onlyWebMayReachDb().build());
    serveDb();
    List<Event> events = new java.util.concurrent.CopyOnWriteArrayList<>();
    try (KernelNode.Subscription subscription = kernel.node().events(events::add)) {
      assertThat(subscription).isNotNull();
      System.gc(); // the callbacks must not be collected while C holds them
      assertThat(kernel.ask("stranger", "127.0.0.1", PORT)).isEqualTo(REFUSED);
      long deadline = System.nanoTime() + 5_000_000_000L;
      while (events.stream().noneMatch(e -> e.hook() == Hook.CONNECT)
          && System.nanoTime() < deadline) {
        Thread.sleep(10);
      }
    }
    assertThat(events)
        .filteredOn(event -> event.hook() == Hook.CONNECT)
        .singleElement()
        .satisfies(
            event -> {
              assertThat(event.address()).isEqualTo(PlanBuilder.address("127.0.0.1"));
              assertThat(event.port()).isEqualTo(PORT);
              assertThat(event.command()).isEqualTo("prober");
              assertThat(event.reason()).isEqualTo(Reason.DEFAULT_DENY);
              assertThat(event.pid()).isPositive();
              assertThat(event.generation()).isEqualTo(2);
            });
  }

  @Test
  void connectionsAreCountedByPair() {
    kernel.apply(onlyWebMayReachDb().build());
    serveDb();
    for (int i = 0; i < 5; i++) {
      assertThat(kernel.ask("web", "127.0.0.1", PORT)).isEqualTo("db");
    }
    KernelNode node = kernel.node();
    Snapshot.Pair pair =
        node.telemetry().pairs().stream()
            .filter(
                p ->
                    node.workloadKey(p.source()).equals(java.util.Optional.of("Workload/test/web")))
            .findFirst()
            .orElseThrow();
    assertThat(node.workloadKey(pair.destination())).contains("Workload/test/db");
    assertThat(pair.port()).isEqualTo(PORT);
    assertThat(pair.opened()).isEqualTo(5);
    assertThat(pair.failed()).isZero();
    assertThat(pair.receivedBytes()).isBetween(0L, 5L * 4);
    assertThat(pair.connectHistogram().stream().mapToLong(Long::longValue).sum()).isEqualTo(5);
    assertThat(pair.receivedBytes()).isBetween(5L * 3, 5L * 4);
  }
}
