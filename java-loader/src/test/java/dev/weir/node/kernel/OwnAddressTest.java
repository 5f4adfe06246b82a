// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.Protocol;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * Whatever address leads to this node, the owner of the port must be allowed as well, however wide
 * the rule for the outside is.
 */
@Tag("kernel")
final class OwnAddressTest {

  private static final int PORT = 5432;
  private static final String LATE = "10.77.0.9";

  @RegisterExtension final KernelTest kernel = new KernelTest();
  private Outside outside;

  @BeforeEach
  void connectTheNode() {
    outside = new Outside(kernel);
  }

  @AfterEach
  void disconnectTheNode() {
    outside.close();
  }

  @ParameterizedTest
  @CsvSource({
    "127.0.0.1,",
    "127.9.9.9,",
    "0.0.0.0,",
    "::1,",
    "::,",
    "127.0.0.1, --v6-socket",
    "0.0.0.0, --v6-socket",
    "127.9.9.9, --v6-socket",
    Outside.NODE + ",",
    Outside.NODE + ", --v6-socket",
    Outside.NODE6 + ",",
    Outside.NODE6_SECOND + ",",
    Outside.NODE_LINK + "%" + Outside.NODE_DEVICE + ",",
    LATE + ",",
    LATE + ", --v6-socket",
  })
  void aRuleForEveryAddressDoesNotOpenThisNode(String address, String option) {
    String[] options = option == null ? new String[0] : new String[] {option};
    kernel.apply(
        kernel
            .plan()
            .workload("web")
            .workload("db")
            .owns("db", Protocol.TCP, PORT)
            .isolateEgress("web")
            .isolateIngress("db")
            .block("everything4", "0.0.0.0", 96)
            .block("everything6", "::", 0)
            .allow("web", "everything4", Protocol.TCP, 0)
            .allow("web", "everything6", Protocol.TCP, 0)
            .build());
    KernelTest.ip("-n", kernel.netns(), "addr", "add", LATE + "/24", "dev", Outside.NODE_DEVICE);
    kernel.serve("db", "listen", "::", "5432", "--reply", "db");
    outside.serve("listen", "::", "9000", "--reply", "elsewhere");
    assertThat(kernel.ask("web", address, PORT, options)).isEqualTo("ECONNREFUSED");
    // The rule is in force, for ports that nobody declared here.
    assertThat(kernel.ask("web", Outside.THERE, 9000)).isEqualTo("elsewhere");
    assertThat(kernel.ask("web", Outside.THERE6, 9000)).isEqualTo("elsewhere");

    kernel.node().down();
    assertThat(kernel.ask("web", address, PORT, options)).isEqualTo("db");
  }
}
