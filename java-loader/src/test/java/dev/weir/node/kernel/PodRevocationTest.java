// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.Verdict;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/** What pods have open ends with the policy that allowed it, and nothing else does. */
@Tag("kernel")
final class PodRevocationTest {

  private static final int PORT = 5432;
  private static final String VIP = "10.96.0.9";

  @RegisterExtension final KernelTest kernel = new KernelTest();
  private final List<Held> held = new ArrayList<>();
  private Pods pods;

  @BeforeEach
  void makePods() {
    pods = new Pods(kernel, "web", "db", "batch");
  }

  @AfterEach
  void end() {
    held.forEach(Held::close);
    pods.close();
  }

  private Held hold(String pod, String address, int port) {
    Held one =
        Held.start(
            List.of(
                System.getProperty("weir.probers") + "/hold",
                "--netns",
                "/run/netns/" + pods.netns(pod),
                "--cgroup",
                kernel.cgroup(pod).toString(),
                address,
                Integer.toString(port),
                "10"));
    held.add(one);
    assertThat(one.held()).isEqualTo(10);
    return one;
  }

  private static void assertAllEnd(Held held) {
    long patience = System.nanoTime() + Duration.ofSeconds(5).toNanos();
    while (held.status().ended() < 10 && System.nanoTime() < patience) {
      KernelTest.pause(Duration.ofMillis(5));
    }
    assertThat(held.status().outcomes()).isEqualTo(Map.of("ECONNABORTED", 10L));
  }

  private static void assertGoOn(Held held) {
    long rounds = held.status().rounds();
    long patience = System.nanoTime() + Duration.ofSeconds(5).toNanos();
    while (held.status().rounds() == rounds && System.nanoTime() < patience) {
      KernelTest.pause(Duration.ofMillis(5));
    }
    assertThat(held.status().rounds()).isGreaterThan(rounds);
    assertThat(held.status().ended()).isZero();
  }

  private PlanBuilder shop() {
    PlanBuilder plan = kernel.plan();
    for (String pod : List.of("web", "db", "batch")) {
      plan.workload(pod).endpoint(pod, pods.address(pod), false);
    }
    return plan.isolateIngress("db").allow("web", "db", Protocol.TCP, PORT);
  }

  @Test
  void connectionsBetweenPodsEndWhenTheyAreWithdrawn() {
    kernel.apply(shop().allow("batch", "db", Protocol.TCP, PORT).build());
    pods.serve("db", "listen", "0.0.0.0", "5432", "--echo");
    Held withdrawn = hold("batch", pods.address("db"), PORT);
    Held allowed = hold("web", pods.address("db"), PORT);

    assertThat(kernel.apply(shop().build()).revoked()).hasSize(10);
    assertAllEnd(withdrawn);
    assertGoOn(allowed);
  }

  private Plan proxied(boolean allowed) {
    PlanBuilder plan = shop().isolateEgress("web").proxied("cart", VIP, 80);
    if (allowed) {
      plan.verdict("web", "cart", Protocol.TCP, 80, Verdict.Decision.INSPECT);
    }
    return plan.build();
  }

  @Test
  void theWayToTheProxyWithinAPodEndsWithTheServicesVerdict() {
    kernel.apply(proxied(true));
    pods.serveAs("proxy", "web", "listen", "127.0.0.1", "15001", "--also", "::1", "--echo");
    Held client = hold("web", VIP, 80);
    assertThat(kernel.apply(proxied(true)).revoked()).isEmpty();
    assertGoOn(client);

    assertThat(kernel.apply(proxied(false)).revoked()).hasSize(10);
    assertAllEnd(client);
  }
}
