// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.Protocol;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

@Tag("kernel")
final class PortHoldersTest {

  @RegisterExtension final KernelTest kernel = new KernelTest();

  private PlanBuilder plan() {
    return kernel
        .plan()
        .workload("web")
        .workload("db")
        .owns("db", Protocol.TCP, 5432)
        .owns("db", Protocol.UDP, 5432)
        .owns("db", Protocol.TCP, 5433);
  }

  private List<String> held(Applied applied) {
    return applied.remarks().stream().filter(remark -> remark.startsWith("port ")).toList();
  }

  @Test
  void whoHeldADeclaredPortBeforeIsListedWithItsProcess() {
    kernel.serve("undeclared", "listen", "::1", "5432");
    kernel.serve("web/worker", "udp-echo", "127.0.0.1", "5432");
    kernel.serve("db/worker", "listen", "127.0.0.1", "5433");
    kernel.serve("web", "listen", "127.0.0.1", "8080");
    assertThat(held(kernel.apply(plan().build())))
        .satisfiesExactlyInAnyOrder(
            remark ->
                assertThat(remark)
                    .contains("port 5432 (TCP)", "test/db", "(prober)", "/undeclared;"),
            remark ->
                assertThat(remark)
                    .contains("port 5432 (UDP)", "test/db", "(prober)", "/web/worker;"));
  }

  @Test
  void nothingIsSaidWhereOwnersHoldTheirPorts() {
    kernel.serve("db", "listen", "0.0.0.0", "5432");
    kernel.serve("db/worker", "udp-echo", "::", "5432");
    assertThat(held(kernel.apply(plan().build()))).isEmpty();
  }
}
