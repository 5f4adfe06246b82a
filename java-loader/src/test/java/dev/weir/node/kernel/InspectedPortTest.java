// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.Verdict.Decision;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * A port that has rules about requests is reached through the proxy, which alone can look into
 * them, however it is dialled. The server answers "api", the proxy's stand-in the destination that
 * the kernel told it. Every way has its control: with Weir down the same call reaches the server.
 */
@Tag("kernel")
final class InspectedPortTest {

  private static final int PORT = 9090;
  private static final int OTHER_PORT = 9091;
  private static final int NODE_PORT = 30090;
  private static final String SERVER = "api";
  private static final String REFUSED = "ECONNREFUSED";
  private static final String DROPPED = "ETIMEDOUT";
  private static final String VIP = "10.96.0.7";
  private static final String SECOND_VIP = "10.96.0.8";

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

  /** What requests web may make to api, rules say; batch may make none. */
  private PlanBuilder inspected() {
    return kernel
        .plan()
        .workload("web")
        .workload("batch")
        .workload("api")
        .proxied("first", VIP, 80)
        .owns("api", Protocol.TCP, PORT)
        .owns("proxy", Protocol.TCP, PlanBuilder.PROXY_PORT)
        .isolateIngress("proxy")
        .isolateIngress("api")
        .verdict("web", "api", Protocol.TCP, PORT, Decision.INSPECT)
        .verdict("web", "api", Protocol.TCP, OTHER_PORT, Decision.INSPECT)
        .allow("proxy", "api", Protocol.TCP, PORT);
  }

  private void serve() {
    kernel.serve(
        "proxy", "listen", "127.0.0.1", "15001", "--also", "::1", "--origin", "--backlog", "64");
    kernel.serve("api", "listen", "::", Integer.toString(PORT), "--reply", SERVER);
  }

  private static String answer(Prober.Line line) {
    return line.text("result").equals("ok") ? line.text("line") : line.text("result");
  }

  /** With Weir down, or past it, the server answers itself. */
  private void assertThatItIsWeir(String cgroup, String address, int port, String... options) {
    kernel.node().down();
    assertThat(kernel.ask(cgroup, address, port, options)).isEqualTo(SERVER);
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
    Outside.NODE + ",",
    Outside.NODE + ", --v6-socket",
    Outside.NODE6 + ",",
    Outside.NODE_LINK + "%" + Outside.NODE_DEVICE + ",",
  })
  void noFormOfAnAddressOfThisNodeLeadsPastTheProxy(String address, String option) {
    String[] options = option == null ? new String[0] : new String[] {option};
    kernel.apply(inspected().build());
    serve();
    assertThat(kernel.ask("web", address, PORT, options)).contains("\"port\":9090");
    assertThat(kernel.ask("batch", address, PORT, options)).isEqualTo(REFUSED);
    assertThatItIsWeir("web", address, PORT, options);
  }

  @Test
  void theBackendsOwnAddressLeadsToTheProxy() {
    kernel.apply(inspected().endpoint("api", Outside.NODE, false).build());
    serve();
    assertThat(kernel.ask("web", Outside.NODE, PORT)).contains("\"port\":9090");
    assertThat(kernel.ask("batch", Outside.NODE, PORT)).isEqualTo(REFUSED);
    assertThatItIsWeir("web", Outside.NODE, PORT);
  }

  @ParameterizedTest
  @ValueSource(strings = {"127.0.0.1", Outside.NODE})
  void aSecondServiceWithoutRoutesLeadsToTheProxyAsTheFirstDoes(String backend) {
    PlanBuilder plan = inspected();
    int place = plan.backend("api", backend, PORT);
    kernel.apply(plan.service("second", SECOND_VIP, 8080, Protocol.TCP, List.of(place)).build());
    serve();
    assertThat(kernel.ask("web", VIP, 80)).contains("\"port\":80");
    assertThat(kernel.ask("web", SECOND_VIP, 8080)).contains("\"port\":8080");
    assertThat(kernel.ask("batch", SECOND_VIP, 8080)).isEqualTo(REFUSED);
    // Without rules about requests the service leads straight there.
    PlanBuilder open = kernel.plan().workload("web").workload("batch").workload("api");
    int openly = open.owns("api", Protocol.TCP, PORT).backend("api", backend, PORT);
    kernel.apply(open.service("second", SECOND_VIP, 8080, Protocol.TCP, List.of(openly)).build());
    assertThat(kernel.ask("web", SECOND_VIP, 8080)).isEqualTo(SERVER);
  }

  /** A port of the node's own address that stands for the service. */
  @Test
  void aNodePortLeadsToTheProxy() {
    PlanBuilder plan = inspected();
    int place = plan.backend("api", "127.0.0.1", PORT);
    kernel.apply(
        plan.service("node-port", Outside.NODE, NODE_PORT, Protocol.TCP, List.of(place)).build());
    serve();
    assertThat(kernel.ask("web", Outside.NODE, NODE_PORT)).contains("\"port\":30090");
    assertThat(kernel.ask("batch", Outside.NODE, NODE_PORT)).isEqualTo(REFUSED);
    assertThat(outside.ask(Outside.NODE, NODE_PORT)).isEqualTo(REFUSED);
    // Without rules about requests it leads straight there.
    PlanBuilder open = kernel.plan().workload("web").workload("api");
    int openly = open.owns("api", Protocol.TCP, PORT).backend("api", "127.0.0.1", PORT);
    kernel.apply(
        open.service("node-port", Outside.NODE, NODE_PORT, Protocol.TCP, List.of(openly)).build());
    assertThat(kernel.ask("web", Outside.NODE, NODE_PORT)).isEqualTo(SERVER);
  }

  @ParameterizedTest
  @ValueSource(strings = {"fastopen", "fastopen-connect", "uring", "reconnect"})
  void noOtherCallThatConnectsLeadsPastTheProxy(String way) {
    kernel.apply(inspected().build());
    serve();
    kernel.serve("", "listen", "127.0.0.1", "8081", "--reply", "open");
    String[] call = {
      "way", way, "127.0.0.1", Integer.toString(PORT), "--third", "127.0.0.1", "8081"
    };
    assertThat(answer(kernel.run("web", call))).contains("\"port\":9090");
    assertThat(answer(kernel.run("batch", call))).isEqualTo(REFUSED);
    kernel.node().down();
    assertThat(answer(kernel.run("web", call))).isEqualTo(SERVER);
  }

  @Test
  void aPortThatTheServerDidNotDeclareIsNotReachedPastTheProxy() {
    kernel.apply(inspected().build());
    kernel.serve("api", "listen", "::", Integer.toString(OTHER_PORT), "--reply", SERVER);
    String[] soon = {"--timeout", "500"};
    assertThat(kernel.ask("web", "127.0.0.1", OTHER_PORT, soon)).isEqualTo(DROPPED);
    assertThat(kernel.ask("web", "::1", OTHER_PORT, soon)).isEqualTo(DROPPED);
    assertThatItIsWeir("web", "127.0.0.1", OTHER_PORT);
  }

  @Test
  void aWorkloadInANamespaceOfItsOwnDoesNotComePastTheProxy() {
    kernel.apply(
        inspected()
            .endpoint("web", Outside.THERE, false)
            .endpoint("api", Outside.NODE, false)
            .build());
    serve();
    String[] connect = {"connect", Outside.NODE, Integer.toString(PORT), "--read"};
    assertThat(answer(outside.runAs("web", connect))).isNotEqualTo(SERVER);
    assertThat(answer(outside.runAs("batch", connect))).isEqualTo(REFUSED);
    kernel.node().down();
    assertThat(answer(outside.runAs("web", connect))).isEqualTo(SERVER);
  }

  @Test
  void fromOutsideNobodyComesPastTheProxy() {
    kernel.apply(
        inspected().verdict("outside", "api", Protocol.TCP, PORT, Decision.INSPECT).build());
    serve();
    assertThat(outside.ask(Outside.NODE, PORT)).isEqualTo(DROPPED);
    assertThat(outside.ask(Outside.NODE6, PORT)).isEqualTo(DROPPED);
    kernel.node().down();
    assertThat(outside.ask(Outside.NODE, PORT)).isEqualTo(SERVER);
    assertThat(outside.ask(Outside.NODE6, PORT)).isEqualTo(SERVER);
  }

  @Test
  void theHostPassesUnlessMeshGovernsIt() {
    kernel.apply(inspected().build());
    serve();
    assertThat(kernel.ask("plain", "127.0.0.1", PORT)).isEqualTo(SERVER);

    kernel.apply(
        inspected()
            .governHost()
            .verdict("host", "api", Protocol.TCP, PORT, Decision.INSPECT)
            .build());
    assertThat(kernel.ask("plain", "127.0.0.1", PORT)).contains("\"port\":9090");
    assertThat(kernel.ask("plain", Outside.NODE, PORT)).contains("\"port\":9090");
    assertThatItIsWeir("plain", "127.0.0.1", PORT);
  }

  @Test
  void theVirtualAddressLeadsTheHostToTheProxyToo() {
    kernel.apply(inspected().build());
    serve();
    assertThat(kernel.ask("plain", VIP, 80)).contains("\"port\":80");
  }

  @Test
  void withoutAProxyNobodyReachesThePort() {
    kernel.apply(inspected().build());
    kernel.serve("api", "listen", "::", Integer.toString(PORT), "--reply", SERVER);
    assertThat(kernel.ask("web", "127.0.0.1", PORT)).isEqualTo(REFUSED);
    assertThat(kernel.ask("web", Outside.NODE, PORT)).isEqualTo(REFUSED);
    assertThatItIsWeir("web", "127.0.0.1", PORT);
  }

  @ParameterizedTest
  @ValueSource(strings = {"127.0.0.1", "127.9.9.9", "0.0.0.0", "::1", "::", Outside.NODE})
  void theProxysOwnPortIsNobodysToDial(String address) {
    kernel.apply(inspected().build());
    kernel.serve(
        "proxy", "listen", "::", Integer.toString(PlanBuilder.PROXY_PORT), "--reply", SERVER);
    for (String workload : List.of("web", "batch", "api")) {
      assertThat(kernel.ask(workload, address, PlanBuilder.PROXY_PORT)).isEqualTo(REFUSED);
    }
    assertThatItIsWeir("web", address, PlanBuilder.PROXY_PORT);
  }

  @ParameterizedTest
  @ValueSource(ints = {PlanBuilder.METRICS_PORT, PlanBuilder.HEALTH_PORT})
  void theAgentsOwnPortsAreTheHostsAlone(int port) {
    kernel.apply(inspected().owns("host", Protocol.TCP, port).build());
    kernel.serve("", "listen", "::", Integer.toString(port), "--reply", SERVER);
    for (String address : List.of("127.0.0.1", "::1", "0.0.0.0", Outside.NODE)) {
      assertThat(kernel.ask("web", address, port)).as(address).isEqualTo(REFUSED);
      assertThat(kernel.ask("plain", address, port)).as(address).isEqualTo(SERVER);
    }
    assertThat(kernel.run("web", "bind", "127.0.0.1", Integer.toString(port)).text("result"))
        .isEqualTo("EACCES");
    assertThatItIsWeir("web", "127.0.0.1", port);
  }
}
