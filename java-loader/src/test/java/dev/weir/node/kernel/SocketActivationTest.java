// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.Protocol;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.io.TempDir;

/**
 * A service whose listener is made in another cgroup and handed to it, as systemd does it: in
 * {@code db.socket} for {@code db.service}.
 */
@Tag("kernel")
final class SocketActivationTest {

  private static final int PORT = 5432;

  @RegisterExtension final KernelTest kernel = new KernelTest();

  @TempDir private Path directory;

  private PlanBuilder plan(String... cgroups) {
    return kernel
        .plan()
        .workload("web")
        .workload("stranger")
        .workloadAt("db", cgroups)
        .isolateIngress("db")
        .allow("web", "db", Protocol.TCP, PORT);
  }

  private PlanBuilder named() {
    return plan("db.service", "db.socket");
  }

  private PlanBuilder unnamed() {
    return plan("db.service");
  }

  /** What becomes of the listener where it is made. */
  private Prober.Line activate() {
    String socket = directory.resolve("activation").toString();
    Prober db = kernel.serve("db.service", "adopt", socket, "--reply", "db");
    Prober.Line made =
        kernel.start("db.socket", "hand-over", socket, "127.0.0.1", Integer.toString(PORT)).next();
    if (made.has("listening")) {
      assertThat(db.next().number("adopted")).isEqualTo(PORT);
    }
    return made;
  }

  private String ask(String cgroup) {
    return kernel.ask(cgroup, "127.0.0.1", PORT, "--timeout", "1000");
  }

  private List<String> held(Applied applied) {
    return applied.remarks().stream().filter(remark -> remark.startsWith("port ")).toList();
  }

  @Test
  void aNamedSocketUnitMayBindTheDeclaredPortAndClientsAreJudgedTowardsTheWorkload() {
    kernel.apply(named().owns("db", Protocol.TCP, PORT).build());
    assertThat(activate().number("listening")).isEqualTo(PORT);
    assertThat(ask("web")).isEqualTo("db");
    assertThat(ask("stranger")).isEqualTo("ECONNREFUSED");

    kernel.node().down();
    assertThat(ask("stranger")).isEqualTo("db");
  }

  @Test
  void oneThatIsNotNamedMayNotBindTheDeclaredPort() {
    kernel.apply(unnamed().owns("db", Protocol.TCP, PORT).build());
    Prober.Line refused = activate();
    assertThat(refused.text("call")).isEqualTo("bind");
    assertThat(refused.text("result")).isEqualTo("EACCES");
  }

  /** Without a declaration the listener alone says whose port it is. */
  @Test
  void onAPortThatNobodyDeclaredTheNamedUnitsListenerIsTheWorkloads() {
    kernel.apply(named().build());
    activate();
    assertThat(ask("web")).isEqualTo("db");
    assertThat(ask("stranger")).isEqualTo("ETIMEDOUT");
  }

  @Test
  void onAPortThatNobodyDeclaredWhatComesToAnUnnamedUnitIsNotJudgedForTheWorkload() {
    kernel.apply(unnamed().build());
    activate();
    assertThat(ask("stranger")).isEqualTo("db");
  }

  @Test
  void theListenerOfANamedUnitThatWasThereBeforeIsKept() {
    activate();
    Applied applied = kernel.apply(named().owns("db", Protocol.TCP, PORT).build());
    assertThat(held(applied)).isEmpty();
    assertThat(applied.remarks()).noneMatch(remark -> remark.contains("was taken from"));
    assertThat(ask("web")).isEqualTo("db");
    assertThat(ask("stranger")).isEqualTo("ECONNREFUSED");
  }

  @Test
  void theListenerOfAnUnnamedUnitThatWasThereBeforeIsCutAndSaidHowToNameIt() {
    activate();
    Applied applied = kernel.apply(unnamed().owns("db", Protocol.TCP, PORT).build());
    assertThat(held(applied))
        .singleElement()
        .asString()
        .contains(
            "/db.socket; nothing comes to it any more: stop its socket unit",
            "if it is the workload's own socket unit, name it in spec.systemdSockets");
    assertThat(ask("web")).isEqualTo("ECONNREFUSED");
  }

  @Test
  void systemdItselfIsNotToBeEnded() {
    assertThat(PortHolders.whatToDo("1", "/init.scope", true))
        .doesNotContain("end it")
        .contains("until you stop its socket unit", "spec.systemdSockets");
    assertThat(PortHolders.whatToDo("7", "/system.slice/web.service", false))
        .contains("end it")
        .doesNotContain("systemdSockets");
  }
}
