// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.Protocol;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

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
                    .contains(
                        "port 5432 (TCP)", "test/db", "(prober)", "/undeclared; nothing comes"),
            remark ->
                assertThat(remark)
                    .contains(
                        "port 5432 (UDP)", "test/db", "(prober)", "/web/worker; nothing comes"));
  }

  /** Web may call db; who held db's port before has no leave to be called, nor needs any. */
  private PlanBuilder called() {
    return plan()
        .isolateIngress("db")
        .allow("web", "db", Protocol.TCP, 5432)
        .allow("web", "db", Protocol.UDP, 5432);
  }

  @ParameterizedTest
  @ValueSource(strings = {"undeclared", "web/worker"})
  void whoHeldAPortBeforeIsNotReachedInItsOwnersPlace(String holder) {
    Prober impostor = kernel.serve(holder, "listen", "127.0.0.1", "5432", "--reply", "impostor");
    assertThat(kernel.ask("web", "127.0.0.1", 5432)).isEqualTo("impostor");
    kernel.apply(called().build());
    assertThat(kernel.ask("web", "127.0.0.1", 5432)).isEqualTo("ECONNREFUSED");
    assertThat(kernel.ask("plain", "127.0.0.1", 5432)).isEqualTo("ECONNREFUSED");
    impostor.close();
    kernel.serve("db", "listen", "127.0.0.1", "5432", "--reply", "db");
    assertThat(kernel.ask("web", "127.0.0.1", 5432)).isEqualTo("db");
  }

  /** Its port stays bound, and a socket that is bound may listen without asking anybody. */
  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void whoListensAgainIsNotReachedEither(boolean v6) {
    String loopback = v6 ? "::1" : "127.0.0.1";
    Prober impostor = kernel.serve("undeclared", "listen", loopback, "5432", "--again");
    kernel.apply(called().build());
    assertThat(impostor.next().has("again")).isTrue();
    assertThat(kernel.ask("web", loopback, 5432)).isEqualTo("ETIMEDOUT");
    assertThat(kernel.node().telemetry().refusals())
        .anySatisfy(refusal -> assertThat(refusal.reason()).isEqualTo(Reason.PORT_OWNED));

    kernel.node().down();
    assertThat(kernel.run("web", "connect", loopback, "5432").text("result")).isEqualTo("ok");
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void datagramsDoNotComeToWhoHeldThePortBefore(boolean v6) {
    String loopback = v6 ? "::1" : "127.0.0.1";
    kernel.serve("undeclared", "udp-echo", loopback, "5432", "--reply", "impostor");
    assertThat(Pods.answer(kernel.run("web", Pods.command("sendto", loopback, 5432))))
        .isEqualTo("impostor");
    kernel.apply(called().build());
    assertThat(Pods.answer(kernel.run("web", Pods.command("sendto", loopback, 5432))))
        .isEqualTo("ETIMEDOUT");
    assertThat(Pods.answer(kernel.run("plain", Pods.command("sendto", loopback, 5432))))
        .isEqualTo("ETIMEDOUT");

    // Nobody owns the port any more: who has it may be called.
    kernel.apply(kernel.plan().workload("web").workload("db").build());
    assertThat(Pods.answer(kernel.run("web", Pods.command("sendto", loopback, 5432))))
        .isEqualTo("impostor");
  }

  @Test
  void aPortThatIsDeclaredLaterIsTakenFromWhoHasIt() {
    kernel.apply(kernel.plan().workload("web").workload("db").build());
    kernel.serve("web/worker", "listen", "127.0.0.1", "5432", "--reply", "impostor");
    assertThat(kernel.ask("web", "127.0.0.1", 5432)).isEqualTo("impostor");
    Applied applied = kernel.apply(called().build());
    assertThat(held(applied)).singleElement().asString().contains("/web/worker; nothing comes");
    assertThat(applied.remarks())
        .contains(
            "TCP port 5432 of Workload/test/db was taken from Workload/test/web, which had it"
                + " before");
    assertThat(kernel.ask("web", "127.0.0.1", 5432)).isEqualTo("ECONNREFUSED");
  }

  @Test
  void inAuditModeWhoHeldAPortBeforeIsOnlyListed() {
    kernel.serve("undeclared", "listen", "127.0.0.1", "5432", "--reply", "impostor");
    Applied applied = kernel.apply(called().audit().build());
    assertThat(held(applied)).singleElement().asString().contains("audit mode");
    assertThat(kernel.ask("web", "127.0.0.1", 5432)).isEqualTo("impostor");
  }

  @Test
  void nothingIsSaidWhereOwnersHoldTheirPorts() {
    kernel.serve("db", "listen", "0.0.0.0", "5432");
    kernel.serve("db/worker", "udp-echo", "::", "5432");
    assertThat(held(kernel.apply(plan().build()))).isEmpty();
  }
}
