// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.node.bpf.BpfException;
import dev.weir.node.bpf.BpfMap;
import dev.weir.node.bpf.Errno;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.Verdict.Decision;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/** What the kernel tells the proxy of the connections it leads there. */
@Tag("kernel")
final class RedirectTest {

  private static final String VIP = "10.96.0.7";
  private static final String OTHER_VIP = "10.96.0.8";
  private static final String VIP6 = "fd00:96::7";

  @RegisterExtension final KernelTest kernel = new KernelTest();

  private PlanBuilder shop() {
    return kernel
        .plan()
        .workload("web")
        .workload("batch")
        .proxied("cart", VIP, 80)
        .proxied("orders", OTHER_VIP, 8080)
        .proxied("cart6", VIP6, 80);
  }

  private void startProxy() {
    kernel.serve(
        "proxy", "listen", "127.0.0.1", "15001", "--also", "::1", "--origin", "--backlog", "4096");
  }

  private int number(Plan plan, String key) {
    List<Integer> numbers = kernel.node().workloadNumbers(plan);
    for (int i = 0; i < numbers.size(); i++) {
      if (plan.workloads().get(i).key().equals(key)) {
        return numbers.get(i);
      }
    }
    throw new IllegalArgumentException(key);
  }

  private String origin(Plan plan, String address, int port, String source, String service) {
    return "{\"address\":\"%s\",\"port\":%d,\"protocol\":1,\"source\":%d,\"destination\":%d,\"cgroup\":%d}"
        .formatted(
            address,
            port,
            number(plan, "Workload/test/" + source),
            number(plan, "Service/test/" + service),
            Enrollment.Hierarchy.id(kernel.cgroup(source)).orElseThrow());
  }

  @Test
  void anIpv4ConnectionTellsWhereItWasMeantToGo() {
    Plan plan = shop().build();
    kernel.apply(plan);
    startProxy();
    assertThat(kernel.ask("web", VIP, 80))
        .isEqualTo(origin(plan, "::ffff:" + VIP, 80, "web", "cart"));
  }

  @Test
  void anIpv6ConnectionTellsWhereItWasMeantToGo() {
    Plan plan = shop().build();
    kernel.apply(plan);
    startProxy();
    assertThat(kernel.ask("web", VIP6, 80)).isEqualTo(origin(plan, VIP6, 80, "web", "cart6"));
  }

  @Test
  void aMappedConnectionTellsWhereItWasMeantToGo() {
    Plan plan = shop().build();
    kernel.apply(plan);
    startProxy();
    assertThat(kernel.ask("web", VIP, 80, "--v6-socket"))
        .isEqualTo(origin(plan, "::ffff:" + VIP, 80, "web", "cart"));
  }

  @Test
  void getpeernameTellsTheVirtualAddress() {
    kernel.apply(shop().build());
    startProxy();
    assertThat(kernel.run("web", "connect", VIP, "80", "--peername").text("peer")).contains(VIP);
  }

  @Test
  void anInspectedWorkloadIsReachedThroughTheProxyOnly() {
    Plan plan =
        shop()
            .workload("api")
            .owns("api", Protocol.TCP, 9090)
            .isolateIngress("api")
            .verdict("web", "api", Protocol.TCP, 9090, Decision.INSPECT)
            .allow("proxy", "api", Protocol.TCP, 9090)
            .build();
    kernel.apply(plan);
    startProxy();
    kernel.serve("api", "listen", "127.0.0.1", "9090", "--reply", "api");
    assertThat(kernel.ask("web", "127.0.0.1", 9090)).contains("\"port\":9090");
    assertThat(kernel.ask("batch", "127.0.0.1", 9090)).isEqualTo("ECONNREFUSED");
    assertThat(kernel.ask("proxy", "127.0.0.1", 9090)).isEqualTo("api");

    kernel.node().down();
    assertThat(kernel.ask("batch", "127.0.0.1", 9090)).isEqualTo("api");
  }

  @Test
  void withoutAProxyTheConnectionFails() {
    kernel.apply(shop().build());
    assertThat(kernel.ask("web", VIP, 80)).isEqualTo("ECONNREFUSED");
  }

  @Test
  void whoDialsTheProxyItselfIsToldNothing() {
    kernel.apply(shop().build());
    startProxy();
    assertThat(kernel.ask("web", "127.0.0.1", PlanBuilder.PROXY_PORT)).contains("ENOPROTOOPT");
  }

  @Test
  void withoutRoomForItsHandOverAConnectionReachesNobodyAndIsCounted() {
    Plan plan = shop().build();
    kernel.apply(plan);
    startProxy();
    int rows = 0;
    try (BpfMap handovers = BpfMap.open(Pins.in(kernel.places().pinDir()).map(Mesh.HANDOVERS))) {
      ByteBuffer key = handovers.newKey();
      while (rows <= handovers.maxEntries()) {
        key.putLong(0, Long.MIN_VALUE + rows);
        try {
          handovers.update(key, handovers.newValue());
        } catch (BpfException full) {
          assertThat(full.errno()).isIn(Errno.E2BIG, Errno.ENOMEM);
          if (full.errno() == Errno.E2BIG) {
            break;
          }
          KernelTest.pause(Duration.ofMillis(1)); // the allocator's own stock is filled up soon
          continue;
        }
        rows++;
      }
      assertThat(rows).isEqualTo(handovers.maxEntries());
      // The proxy is told nothing of it, and closes such a connection.
      assertThat(kernel.ask("web", VIP, 80)).contains("ENOPROTOOPT");
      assertThat(kernel.node().telemetry().counters())
          .containsEntry("handovers_full", 1L)
          .containsEntry("handovers_missed", 1L);
      for (int i = 0; i < 10; i++) {
        handovers.delete(key.putLong(0, Long.MIN_VALUE + i));
      }
    }
    assertThat(kernel.ask("web", VIP, 80))
        .isEqualTo(origin(plan, "::ffff:" + VIP, 80, "web", "cart"));
  }

  @Test
  void aPlanThatNeedsAProxyLaterGetsOne() {
    kernel.apply(kernel.plan().workload("web").build());
    Plan plan = shop().build();
    kernel.apply(plan);
    startProxy();
    assertThat(kernel.ask("web", VIP, 80))
        .isEqualTo(origin(plan, "::ffff:" + VIP, 80, "web", "cart"));
  }

  @Test
  void aProxyCgroupThatWasMadeAnewIsAttachedAgain() {
    Plan plan = shop().build();
    kernel.apply(plan);
    KernelTest.removeCgroups(kernel.node().proxyCgroup(plan));
    kernel.apply(plan);
    startProxy();
    assertThat(kernel.ask("web", VIP, 80))
        .isEqualTo(origin(plan, "::ffff:" + VIP, 80, "web", "cart"));
  }

  /** Two workloads race to two services: each of 10,000 connections must be told as its own. */
  @Test
  void tenThousandRacingConnectionsAreNeverMistaken() throws InterruptedException {
    Plan plan = shop().build();
    kernel.apply(plan);
    startProxy();
    Prober web = kernel.start("web", "race", VIP, "80", "--threads", "4", "--count", "1250");
    Prober batch =
        kernel.start("batch", "race", OTHER_VIP, "8080", "--threads", "4", "--count", "1250");
    assertThat(web.next().outcomes())
        .containsOnly(Map.entry(origin(plan, "::ffff:" + VIP, 80, "web", "cart"), 5000L));
    assertThat(batch.next().outcomes())
        .containsOnly(
            Map.entry(origin(plan, "::ffff:" + OTHER_VIP, 8080, "batch", "orders"), 5000L));
    assertThat(kernel.node().telemetry().counters())
        .containsEntry("handovers_full", 0L)
        .containsEntry("handovers_missed", 0L);
  }
}
