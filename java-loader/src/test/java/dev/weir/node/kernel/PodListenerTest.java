// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.node.agent.ListenerMaker;
import dev.weir.policy.plan.Plan;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.io.TempDir;

/** The proxy's listeners in the network namespaces of pods: made from outside, and handed over. */
@Tag("kernel")
final class PodListenerTest {

  private static final String VIP = "10.96.0.9";
  private static final String VIP6 = "fd00:96::9";

  @RegisterExtension final KernelTest kernel = new KernelTest();
  @TempDir private Path directory;
  private Pods pods;

  @BeforeEach
  void makePods() {
    pods = new Pods(kernel, "web", "db");
  }

  @AfterEach
  void removePods() {
    pods.close();
  }

  private Plan plan() {
    return kernel
        .plan()
        .workload("web")
        .workload("db")
        .workload("api")
        .proxied("cart", VIP, 80)
        .proxied("cart6", VIP6, 80)
        .build();
  }

  private int make(Plan plan, Path socket, Map<Long, Path> namespaces) throws Exception {
    Path java = Path.of(System.getProperty("java.home"), "bin", "java");
    return ListenerMaker.start(
            java,
            kernel.node().proxyCgroup(plan),
            socket,
            PlanBuilder.PROXY_PORT,
            namespaces.values())
        .waitFor();
  }

  @Test
  void aPodsConnectionsReachTheProxyThroughAListenerThatWasHandedOver() throws Exception {
    Plan plan = plan();
    kernel.apply(plan);
    pods.serve("web", "listen", "0.0.0.0", "8080");
    Path socket = directory.resolve("listeners.sock");
    Prober proxy = kernel.serve("proxy", "adopt", socket.toString(), "--origin");
    assertThat(pods.ask("web", VIP, 80)).isEqualTo("ECONNREFUSED");

    assertThat(make(plan, socket, kernel.node().namespaces(plan))).isZero();

    assertThat(proxy.next().text("adopted")).isEqualTo("15001");
    assertThat(proxy.next().text("v6")).isEqualTo("true");
    long cgroup = Enrollment.Hierarchy.id(kernel.cgroup("web")).orElseThrow();
    assertThat(pods.ask("web", VIP, 80))
        .contains("::ffff:" + VIP, "\"port\":80", "\"cgroup\":" + cgroup);
    assertThat(pods.ask("web", VIP, 80, "--v6-socket"))
        .contains("::ffff:" + VIP, "\"port\":80", "\"cgroup\":" + cgroup);
    assertThat(pods.ask("web", VIP6, 80)).contains(VIP6, "\"cgroup\":" + cgroup);
    assertThat(pods.ask("web", "127.0.0.1", PlanBuilder.PROXY_PORT)).contains("ENOPROTOOPT");
    // db's namespace has none: nobody lives there.
    assertThat(pods.ask("db", VIP, 80)).isEqualTo("ECONNREFUSED");
  }

  @Test
  void namespacesAreThoseInWhichWorkloadsLive() {
    Plan plan = plan();
    kernel.apply(plan);
    assertThat(kernel.node().namespaces(plan)).isEmpty();
    Prober web = pods.serve("web", "listen", "0.0.0.0", "8080");
    // In a cgroup below, as a container's is; in the node's own namespace; and of no workload.
    Prober db = pods.serveAs("db/container", "db", "listen", "0.0.0.0", "8080");
    kernel.serve("api", "listen", "0.0.0.0", "8080");
    long first = cookie("web");
    long second = cookie("db");
    assertThat(kernel.node().namespaces(plan)).containsOnlyKeys(first, second);
    web.close();
    assertThat(kernel.node().namespaces(plan)).containsOnlyKeys(second);
    db.close();
    pods.serveAs("stranger", "web", "listen", "0.0.0.0", "8080");
    assertThat(kernel.node().namespaces(plan)).isEmpty();
  }

  private long cookie(String pod) {
    return dev.weir.node.bpf.SystemCalls.netnsCookie(
        Optional.of(Path.of("/run/netns", pods.netns(pod))));
  }

  @Test
  void aNamespaceThatHasGoneMeanwhileIsSaidAndTheOthersAreServed() throws Exception {
    Plan plan = plan();
    kernel.apply(plan);
    Path socket = directory.resolve("listeners.sock");
    Prober proxy = kernel.serve("proxy", "adopt", socket.toString(), "--origin");
    Path gone = Path.of("/proc/4194304/ns/net");
    assertThat(Files.exists(gone)).isFalse();
    Path web = Path.of("/run/netns", pods.netns("web"));
    assertThat(make(plan, socket, Map.of(1L, gone, 2L, web))).isEqualTo(1);
    assertThat(proxy.next().text("adopted")).isEqualTo("15001");
    assertThat(pods.ask("web", VIP, 80)).contains("\"port\":80");
  }
}
