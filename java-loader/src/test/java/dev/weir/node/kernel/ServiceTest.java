// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.Protocol;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

@Tag("kernel")
final class ServiceTest {

  private static final String VIP = "10.96.0.5";
  private static final String VIP6 = "fd00:96::5";

  @RegisterExtension final KernelTest kernel = new KernelTest();

  private static List<Integer> slots(int first, int times, int second, int timesSecond) {
    List<Integer> slots = new ArrayList<>(Collections.nCopies(times, first));
    slots.addAll(Collections.nCopies(timesSecond, second));
    return slots;
  }

  private void serveBothVersions() {
    kernel.serve("v1", "listen", "127.0.0.1", "7001", "--reply", "v1");
    kernel.serve("v2", "listen", "127.0.0.1", "7002", "--reply", "v2");
  }

  private PlanBuilder versions() {
    return kernel
        .plan()
        .workload("web")
        .workload("v1")
        .workload("v2")
        .owns("v1", Protocol.TCP, 7001)
        .owns("v2", Protocol.TCP, 7002);
  }

  @Test
  void aVirtualAddressLeadsToItsBackends() {
    PlanBuilder plan = versions();
    int v1 = plan.backend("v1", "127.0.0.1", 7001);
    kernel.apply(plan.service("cart", VIP, 80, Protocol.TCP, List.of(v1)).build());
    serveBothVersions();
    assertThat(kernel.ask("web", VIP, 80)).isEqualTo("v1");
  }

  /** 600 of 800 slots; 8,000 connects miss a band of six standard deviations once in 10^9 runs. */
  @Test
  void connectionsSplitByCountsOfSlots() {
    PlanBuilder plan = versions();
    int v1 = plan.backend("v1", "127.0.0.1", 7001);
    int v2 = plan.backend("v2", "127.0.0.1", 7002);
    kernel.apply(plan.service("cart", VIP, 80, Protocol.TCP, slots(v1, 600, v2, 200)).build());
    serveBothVersions();
    Map<String, Long> outcomes =
        kernel.run("web", "race", VIP, "80", "--threads", "4", "--count", "2000").outcomes();
    assertThat(outcomes).containsOnlyKeys("v1", "v2");
    assertThat(outcomes.get("v1")).isBetween(6000L - 233, 6000L + 233);
  }

  @Test
  void aBackendWithoutSlotsGetsNothing() {
    PlanBuilder plan = versions();
    int v1 = plan.backend("v1", "127.0.0.1", 7001);
    plan.backend("v2", "127.0.0.1", 7002);
    kernel.apply(plan.service("cart", VIP, 80, Protocol.TCP, List.of(v1, v1, v1)).build());
    serveBothVersions();
    assertThat(kernel.run("web", "race", VIP, "80", "--threads", "2", "--count", "500").outcomes())
        .containsOnly(Map.entry("v1", 1000L));
  }

  @Test
  void getpeernameTellsTheVirtualAddress() {
    PlanBuilder plan = versions();
    int v1 = plan.backend("v1", "127.0.0.1", 7001);
    kernel.apply(plan.service("cart", VIP, 80, Protocol.TCP, List.of(v1)).build());
    serveBothVersions();
    assertThat(kernel.run("web", "connect", VIP, "80", "--peername").text("peer"))
        .contains(VIP)
        .contains("80");
  }

  @Test
  void anIpv6AddressLeadsToAnIpv6Backend() {
    PlanBuilder plan = versions();
    int v1 = plan.backend("v1", "::1", 7001);
    kernel.apply(plan.service("cart", VIP6, 80, Protocol.TCP, List.of(v1)).build());
    kernel.serve("v1", "listen", "::1", "7001", "--reply", "v1");
    assertThat(kernel.ask("web", VIP6, 80)).isEqualTo("v1");
  }

  @Test
  void theBackendsVerdictDecidesWhicheverAddressIsDialled() {
    PlanBuilder plan =
        versions().workload("stranger").isolateIngress("v1").allow("web", "v1", Protocol.TCP, 7001);
    int v1 = plan.backend("v1", "127.0.0.1", 7001);
    kernel.apply(plan.service("cart", VIP, 80, Protocol.TCP, List.of(v1)).build());
    serveBothVersions();
    assertThat(kernel.ask("web", VIP, 80)).isEqualTo("v1");
    assertThat(kernel.ask("web", "127.0.0.1", 7001)).isEqualTo("v1");
    assertThat(kernel.ask("stranger", VIP, 80)).isEqualTo("ECONNREFUSED");
    assertThat(kernel.ask("stranger", "127.0.0.1", 7001)).isEqualTo("ECONNREFUSED");

    kernel.node().down();
    assertThat(kernel.ask("stranger", "127.0.0.1", 7001)).isEqualTo("v1");
  }

  @Test
  void aServiceWithoutBackendsIsRefused() {
    kernel.apply(versions().service("cart", VIP, 80, Protocol.TCP, List.of()).build());
    assertThat(kernel.ask("web", VIP, 80)).isEqualTo("ECONNREFUSED");
    assertThat(kernel.node().telemetry().refusals())
        .extracting(Snapshot.Refusal::reason)
        .containsExactly(Reason.NO_BACKEND);
  }

  @Test
  void aDatagramToAVirtualAddressIsAnsweredByIt() {
    PlanBuilder plan =
        kernel.plan().workload("web").workload("dns").owns("dns", Protocol.UDP, 5353);
    int dns = plan.backend("dns", "127.0.0.1", 5353);
    kernel.apply(plan.service("dns-service", VIP, 53, Protocol.UDP, List.of(dns)).build());
    kernel.serve("dns", "udp-echo", "127.0.0.1", "5353", "--reply", "answer");
    Prober.Line line = kernel.run("web", "sendto", VIP, "53", "--read");
    assertThat(line.text("line")).isEqualTo("answer");
    assertThat(line.text("from")).contains(VIP);
  }
}
