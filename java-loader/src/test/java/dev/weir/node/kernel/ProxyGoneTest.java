// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.TrafficPolicy.ConnectionRate;
import dev.weir.policy.plan.TrafficPolicy.Scope;
import dev.weir.policy.plan.Verdict.Decision;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/** A service that leads to the proxy, while there is none. */
@Tag("kernel")
final class ProxyGoneTest {

  private static final String VIP = "10.96.0.5";
  private static final String VIP6 = "fd00:96::5";

  @RegisterExtension final KernelTest kernel = new KernelTest();

  private PlanBuilder plan() {
    return kernel
        .plan()
        .workload("web")
        .workload("stranger")
        .workload("cart")
        .owns("cart", Protocol.TCP, 7001);
  }

  private PlanBuilder bypassing() {
    PlanBuilder plan = plan();
    int backend = plan.backend("cart", "127.0.0.1", 7001);
    int backend6 = plan.backend("cart", "::1", 7001);
    return plan.proxied("shop", VIP, 80, List.of(backend))
        .proxied("shop6", VIP6, 80, List.of(backend6));
  }

  private Prober proxy() {
    return kernel.serve(
        "proxy", "listen", "127.0.0.1", "15001", "--also", "::1", "--reply", "proxy");
  }

  private void serve() {
    kernel.serve("cart", "listen", "127.0.0.1", "7001", "--also", "::1", "--reply", "cart");
  }

  @Test
  void refusesUnlessAnythingElseIsSaid() {
    kernel.apply(plan().proxied("shop", VIP, 80).build());
    serve();
    Prober proxy = proxy();
    assertThat(kernel.ask("web", VIP, 80)).isEqualTo("proxy");
    proxy.close();
    assertThat(kernel.ask("web", VIP, 80)).isEqualTo("ECONNREFUSED");
  }

  @Test
  void leadsStraightToABackendWhereThatIsSaidAndBackWhenTheProxyIs() {
    kernel.apply(bypassing().build());
    serve();
    assertThat(kernel.ask("web", VIP, 80)).isEqualTo("cart");
    assertThat(kernel.ask("web", VIP6, 80)).isEqualTo("cart");
    assertThat(kernel.ask("web", VIP, 80, "--v6-socket")).isEqualTo("cart");

    Prober proxy = proxy();
    assertThat(kernel.ask("web", VIP, 80)).isEqualTo("proxy");
    assertThat(kernel.ask("web", VIP6, 80)).isEqualTo("proxy");
    assertThat(kernel.ask("web", VIP, 80, "--v6-socket")).isEqualTo("proxy");

    proxy.close();
    assertThat(kernel.ask("web", VIP, 80)).isEqualTo("cart");
    assertThat(kernel.run("web", "connect", VIP, "80", "--peername").text("peer")).contains(VIP);
  }

  @Test
  void theBackendsVerdictDecidesThen() {
    kernel.apply(
        bypassing().isolateIngress("cart").allow("web", "cart", Protocol.TCP, 7001).build());
    serve();
    assertThat(kernel.ask("web", VIP, 80)).isEqualTo("cart");
    assertThat(kernel.ask("stranger", VIP, 80)).isEqualTo("ECONNREFUSED");
  }

  @Test
  void whatOnlyTheProxyMayJudgeIsRefusedAllTheSame() {
    kernel.apply(
        bypassing()
            .isolateIngress("cart")
            .verdict("web", "cart", Protocol.TCP, 7001, Decision.INSPECT)
            .build());
    serve();
    assertThat(kernel.ask("web", VIP, 80)).isEqualTo("ECONNREFUSED");
    proxy();
    assertThat(kernel.ask("web", VIP, 80)).isEqualTo("proxy");
  }

  @Test
  void theServicesLimitHoldsEitherWay() {
    kernel.apply(bypassing().limits("shop", new ConnectionRate(1, 5, Scope.TOTAL)).build());
    serve();
    assertThat(
            kernel
                .run("web", "connect", VIP, "80", "--read", "--count", "20")
                .outcomes()
                .get("cart"))
        .isBetween(5L, 7L);
  }
}
