// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.node.bpf.BpfMap;
import dev.weir.policy.plan.Protocol;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Workloads in network namespaces of their own, as pods are: who may reach whom, from pod to pod,
 * from pod to node and back, and where virtual addresses lead. Every refusal has its control: the
 * same program succeeds with Weir down.
 */
@Tag("kernel")
final class PodTest {

  private static final int PORT = 5432;
  private static final int NODE_PORT = 7070;
  private static final String VIP = "10.96.0.9";
  private static final String VIP6 = "fd00:96::9";
  private static final String REFUSED = "ECONNREFUSED";
  private static final String DROPPED = "ETIMEDOUT";

  @RegisterExtension final KernelTest kernel = new KernelTest();
  private Pods pods;

  @BeforeEach
  void makePods() {
    pods = new Pods(kernel, "web", "db", "stranger");
  }

  @AfterEach
  void removePods() {
    pods.close();
  }

  /** Pods web, db and stranger; api on the node itself. db and api take web alone. */
  private PlanBuilder shop() {
    PlanBuilder plan = kernel.plan();
    for (String pod : new String[] {"web", "db", "stranger"}) {
      plan.workload(pod)
          .endpoint(pod, pods.address(pod), false)
          .endpoint(pod, pods.address6(pod), false);
    }
    return plan.workload("api")
        .owns("api", Protocol.TCP, NODE_PORT)
        .owns("api", Protocol.UDP, NODE_PORT)
        .isolateIngress("db")
        .isolateIngress("api")
        .allow("web", "db", Protocol.TCP, PORT)
        .allow("web", "db", Protocol.UDP, PORT)
        .allow("web", "api", Protocol.TCP, NODE_PORT)
        .allow("web", "api", Protocol.UDP, NODE_PORT);
  }

  /** A virtual address whose one backend is db, in its pod. */
  private PlanBuilder database(PlanBuilder plan, String vip, Protocol protocol, boolean v6) {
    int backend = plan.backend("db", pods.address("db", v6), PORT);
    return plan.service("database", vip, 80, protocol, List.of(backend));
  }

  /** A virtual address whose one backend is api, on the node's loopback. */
  private static PlanBuilder front(PlanBuilder plan, String vip, Protocol protocol, boolean v6) {
    int backend = plan.backend("api", v6 ? "::1" : "127.0.0.1", NODE_PORT);
    return plan.service("front", vip, 80, protocol, List.of(backend));
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void aPodReachesAnotherOfThisNodeByRuleOnly(boolean v6) {
    kernel.apply(shop().build());
    pods.serve("db", "listen", v6 ? "::" : "0.0.0.0", "5432", "--reply", "db");
    String db = pods.address("db", v6);
    assertThat(pods.ask("web", db, PORT)).isEqualTo("db");
    assertThat(pods.ask("stranger", db, PORT)).isEqualTo(REFUSED);

    kernel.node().down();
    assertThat(pods.ask("stranger", db, PORT)).isEqualTo("db");
  }

  /** The record by which a SYN is known takes room: it ends with the handshake. */
  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void noRecordIsLeftOfAConnectionThatIsOpen(boolean v6) {
    kernel.apply(shop().build());
    pods.serve("db", "listen", v6 ? "::" : "0.0.0.0", "5432", "--reply", "db");
    Prober held = pods.start("web", "connect", pods.address("db", v6), "5432", "--hold", "20000");
    assertThat(held.next().has("holding")).isTrue();
    assertThat(pods.ask("web", pods.address("db", v6), PORT)).isEqualTo("db");
    assertThat(records()).isZero();
  }

  @Test
  void withoutRoomForARecordAPodIsTakenForAStrangerWhichIsCounted() {
    kernel.apply(shop().build());
    pods.serve("db", "listen", "0.0.0.0", "5432", "--reply", "db");
    try (BpfMap map = table("handovers")) {
      fill(map, map.maxEntries());
      assertThat(pods.ask("web", pods.address("db"), PORT)).isEqualTo(DROPPED);
      assertThat(kernel.node().telemetry().counters().get("handovers_full")).isEqualTo(1);
      assertThat(kernel.node().telemetry().refusals())
          .singleElement()
          .satisfies(refusal -> assertThat(refusal.reason()).isEqualTo(Reason.DEFAULT_DENY));
      map.delete(map.newKey().putLong(0, 0));
    }
    assertThat(pods.ask("web", pods.address("db"), PORT)).isEqualTo("db");
  }

  @Test
  void aTableFullOfOthersDatagramsStillKnowsTheLatest() {
    kernel.apply(shop().build());
    pods.serve("db", "udp-echo", "0.0.0.0", "5432", "--reply", "db");
    try (BpfMap map = table("datagrams")) {
      fill(map, map.maxEntries() * 2);
    }
    assertThat(pods.send("web", pods.address("db"), PORT)).isEqualTo("db");
    assertThat(pods.send("stranger", pods.address("db"), PORT)).isEqualTo(REFUSED);
  }

  private BpfMap table(String name) {
    return BpfMap.open(kernel.places().pinDir().resolve("maps").resolve(name));
  }

  private static void fill(BpfMap map, int entries) {
    ByteBuffer key = map.newKey();
    ByteBuffer value = map.newValue();
    for (int i = 0; i < entries; i++) {
      map.update(key.putLong(0, i), value);
    }
  }

  private int records() {
    try (BpfMap map = table("handovers")) {
      AtomicInteger records = new AtomicInteger();
      map.forEach((key, value) -> records.incrementAndGet());
      return records.get();
    }
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void aPodReachesAWorkloadOfTheNodeByRuleOnly(boolean v6) {
    kernel.apply(shop().build());
    kernel.serve("api", "listen", v6 ? "::" : "0.0.0.0", "7070", "--reply", "api");
    String node = v6 ? Pods.NODE6 : Pods.NODE;
    assertThat(pods.ask("web", node, NODE_PORT)).isEqualTo("api");
    assertThat(pods.ask("stranger", node, NODE_PORT)).isEqualTo(REFUSED);

    kernel.node().down();
    assertThat(pods.ask("stranger", node, NODE_PORT)).isEqualTo("api");
  }

  @Test
  void anIsolatedPodNeedsNoRuleForTheNodesAddressToReachAWorkloadThere() {
    kernel.apply(shop().isolateEgress("web").build());
    kernel.serve("api", "listen", "0.0.0.0", "7070", "--reply", "api");
    assertThat(pods.ask("web", Pods.NODE, NODE_PORT)).isEqualTo("api");
    assertThat(pods.ask("web", Pods.NODE, NODE_PORT + 1)).isEqualTo(REFUSED);
    assertThat(kernel.node().telemetry().refusals())
        .singleElement()
        .satisfies(refusal -> assertThat(refusal.port()).isEqualTo(NODE_PORT + 1));
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void aWorkloadOfTheNodeAndItsHostReachAPod(boolean v6) {
    kernel.apply(shop().allow("api", "db", Protocol.TCP, PORT).workload("batch").build());
    pods.serve("db", "listen", v6 ? "::" : "0.0.0.0", "5432", "--reply", "db");
    String db = pods.address("db", v6);
    assertThat(kernel.ask("api", db, PORT)).isEqualTo("db");
    assertThat(kernel.ask("plain", db, PORT)).isEqualTo("db");
    assertThat(kernel.ask("batch", db, PORT)).isEqualTo(REFUSED);

    kernel.node().down();
    assertThat(kernel.ask("batch", db, PORT)).isEqualTo("db");
  }

  @Test
  void aPortThatTheNodeOwnsIsAnotherOneInAPod() {
    // The same port, of the node and of the pod; "batch" may reach the pod's, and "web" the node's.
    kernel.apply(
        shop()
            .workload("batch")
            .allow("batch", "db", Protocol.TCP, NODE_PORT)
            .allow("web", "db", Protocol.TCP, NODE_PORT)
            .build());
    kernel.serve("api", "listen", "0.0.0.0", "7070", "--reply", "api");
    pods.serve("db", "listen", "0.0.0.0", "7070", "--reply", "db");
    assertThat(kernel.ask("batch", pods.address("db"), NODE_PORT)).isEqualTo("db");
    assertThat(kernel.ask("batch", Pods.NODE, NODE_PORT)).isEqualTo(REFUSED);
    assertThat(pods.ask("web", pods.address("db"), NODE_PORT)).isEqualTo("db");
    assertThat(pods.ask("web", Pods.NODE, NODE_PORT)).isEqualTo("api");
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void loopbackIsThePodsOwn(boolean v6) {
    // 7070 of the node's loopback is api's, and db's own in the pod.
    kernel.apply(shop().isolateEgress("db").isolateEgress("web").build());
    String lo = v6 ? "::1" : "127.0.0.1";
    kernel.serve("api", "listen", lo, "7070", "--reply", "api");
    pods.serve("db", "listen", lo, "7070", "--reply", "db");
    assertThat(pods.ask("db", lo, NODE_PORT)).isEqualTo("db");
    assertThat(pods.ask("db", pods.address("db", v6), NODE_PORT)).isEqualTo(REFUSED);
    assertThat(kernel.ask("api", lo, NODE_PORT)).isEqualTo("api");
    // Nobody listens in web's pod, where it may reach the node's api.
    assertThat(pods.ask("web", lo, NODE_PORT)).isEqualTo(REFUSED);
    assertThat(kernel.node().telemetry().refusals()).isEmpty();
  }

  @Test
  void loopbackOfAPodIsWhoseListensThere() {
    // A second workload in db's namespace, as a container of a pod that is declared by itself.
    kernel.apply(
        shop()
            .workload("sidecar")
            .isolateIngress("sidecar")
            .allow("db", "sidecar", Protocol.TCP, 9000)
            .build());
    pods.serveAs("sidecar", "db", "listen", "127.0.0.1", "9000", "--reply", "sidecar");
    assertThat(pods.ask("db", "127.0.0.1", 9000)).isEqualTo("sidecar");
    assertThat(
            Pods.answer(pods.runAs("stranger", "db", Pods.command("connect", "127.0.0.1", 9000))))
        .isEqualTo(REFUSED);
    assertThat(
            Pods.answer(
                pods.runAs("stranger", "db", Pods.command("connect", pods.address("db"), 9000))))
        .isEqualTo(REFUSED);

    kernel.node().down();
    assertThat(
            Pods.answer(pods.runAs("stranger", "db", Pods.command("connect", "127.0.0.1", 9000))))
        .isEqualTo("sidecar");
  }

  @Test
  void aListenerOfAPodIsJudgedOnArrivalForWhoReallyListens() {
    kernel.apply(shop().build());
    // Nobody said that this is db's address; who listens there is db all the same.
    KernelTest.ip("-n", pods.netns("db"), "addr", "add", "10.88.0.99/24", "dev", "eth0");
    pods.serve("db", "listen", "0.0.0.0", "5432", "--reply", "db");
    assertThat(pods.ask("stranger", "10.88.0.99", PORT)).isEqualTo(DROPPED);

    kernel.node().down();
    assertThat(pods.ask("stranger", "10.88.0.99", PORT)).isEqualTo("db");
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void aVirtualAddressLeadsFromAPodIntoAnotherPod(boolean v6) {
    String vip = v6 ? VIP6 : VIP;
    kernel.apply(database(shop(), vip, Protocol.TCP, v6).build());
    pods.serve("db", "listen", v6 ? "::" : "0.0.0.0", "5432", "--reply", "db");
    assertThat(pods.ask("web", vip, 80)).isEqualTo("db");
    assertThat(pods.run("web", "connect", vip, "80", "--peername").text("peer")).contains(vip);
    assertThat(pods.ask("stranger", vip, 80)).isEqualTo(REFUSED);
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void aVirtualAddressLeadsFromTheNodeIntoAPod(boolean v6) {
    String vip = v6 ? VIP6 : VIP;
    kernel.apply(
        database(shop(), vip, Protocol.TCP, v6).allow("api", "db", Protocol.TCP, PORT).build());
    pods.serve("db", "listen", v6 ? "::" : "0.0.0.0", "5432", "--reply", "db");
    assertThat(kernel.ask("api", vip, 80)).isEqualTo("db");
    assertThat(kernel.ask("plain", vip, 80)).isEqualTo("db");
  }

  /** As by DHCP, or of a bridge that is made later. */
  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void aPodFollowsTheNodeToAnotherAddress(boolean v6) {
    String vip = v6 ? VIP6 : VIP;
    kernel.apply(front(shop(), vip, Protocol.TCP, v6).build());
    kernel.serve("api", "listen", v6 ? "::" : "0.0.0.0", "7070", "--reply", "api");
    assertThat(pods.ask("web", vip, 80)).isEqualTo("api");

    String before = v6 ? Pods.NODE6 + "/64" : Pods.NODE + "/24";
    KernelTest.ip("-n", kernel.netns(), "addr", "del", before, "dev", "cni0");
    if (v6) {
      KernelTest.ip("-n", kernel.netns(), "addr", "add", "fd88::5/64", "nodad", "dev", "cni0");
    } else {
      KernelTest.ip("-n", kernel.netns(), "addr", "add", "10.88.0.5/24", "dev", "cni0");
    }
    assertThat(pods.ask("web", vip, 80)).isNotEqualTo("api");
    kernel.node().followNamespaces();
    assertThat(pods.ask("web", vip, 80)).isEqualTo("api");
    assertThat(pods.ask("stranger", vip, 80)).isEqualTo(REFUSED);
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void datagramsGoFromPodToPodByRuleOnly(boolean v6) {
    kernel.apply(shop().isolateEgress("db").isolateIngress("web").isolateEgress("web").build());
    pods.serve("db", "udp-echo", v6 ? "::" : "0.0.0.0", "5432", "--reply", "db");
    String db = pods.address("db", v6);
    assertThat(pods.send("web", db, PORT)).isEqualTo("db");
    assertThat(pods.ask("web", db, PORT, "--udp", "--text", "hello")).isEqualTo("db");
    assertThat(pods.send("stranger", db, PORT)).isEqualTo(REFUSED);
    assertThat(pods.ask("stranger", db, PORT, "--udp", "--text", "hello")).isEqualTo(REFUSED);
    assertThat(Pods.answer(kernel.run("plain", Pods.command("sendto", db, PORT)))).isEqualTo("db");

    kernel.node().down();
    assertThat(pods.send("stranger", db, PORT)).isEqualTo("db");
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void datagramsGoFromPodToNodeByRuleOnly(boolean v6) {
    kernel.apply(shop().isolateEgress("web").isolateEgress("api").build());
    String node = v6 ? Pods.NODE6 : Pods.NODE;
    kernel.serve("api", "udp-echo", node, "7070", "--reply", "api");
    assertThat(pods.send("web", node, NODE_PORT)).isEqualTo("api");
    assertThat(pods.ask("web", node, NODE_PORT, "--udp", "--text", "hello")).isEqualTo("api");
    assertThat(pods.send("stranger", node, NODE_PORT)).isEqualTo(REFUSED);

    kernel.node().down();
    assertThat(pods.send("stranger", node, NODE_PORT)).isEqualTo("api");
  }

  @Test
  void aDatagramWithThePodsAddressOfAnotherIsItsOwn() {
    kernel.apply(shop().build());
    pods.serve("db", "udp-echo", "0.0.0.0", "5432", "--reply", "db");
    // stranger's namespace takes web's address on: no word was left of what it sends from there.
    KernelTest.ip(
        "-n", pods.netns("web"), "addr", "del", pods.address("web") + "/24", "dev", "eth0");
    KernelTest.ip(
        "-n", pods.netns("stranger"), "addr", "add", pods.address("web") + "/24", "dev", "eth0");
    kernel.node().followNamespaces();
    assertThat(pods.send("stranger", pods.address("db"), PORT, "--from", pods.address("web")))
        .isEqualTo(REFUSED);
    // And in its own place of an undeclared address of db's, where only the arrival is judged.
    KernelTest.ip("-n", pods.netns("db"), "addr", "add", "10.88.0.99/24", "dev", "eth0");
    assertThat(pods.send("stranger", "10.88.0.99", PORT, "--from", pods.address("web")))
        .isEqualTo(DROPPED);

    kernel.node().down();
    assertThat(pods.send("stranger", "10.88.0.99", PORT, "--from", pods.address("web")))
        .isEqualTo("db");
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void repliesOfAVirtualAddressCarryIt(boolean v6) {
    String vip = v6 ? VIP6 : VIP;
    kernel.apply(database(shop(), vip, Protocol.UDP, v6).build());
    pods.serve("db", "udp-echo", v6 ? "::" : "0.0.0.0", "5432", "--reply", "db");
    Prober.Line unconnected = pods.run("web", Pods.command("sendto", vip, 80));
    assertThat(Pods.answer(unconnected)).isEqualTo("db");
    assertThat(unconnected.text("from")).contains(vip);
    Prober.Line connected =
        pods.run("web", Pods.command("connect", vip, 80, "--udp", "--text", "hello", "--peername"));
    assertThat(Pods.answer(connected)).isEqualTo("db");
    assertThat(connected.text("peer")).contains(vip);
    assertThat(pods.send("stranger", vip, 80)).isEqualTo(REFUSED);
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void datagramsToAVirtualAddressLeadFromAPodToTheNode(boolean v6) {
    String vip = v6 ? VIP6 : VIP;
    kernel.apply(front(shop(), vip, Protocol.UDP, v6).build());
    kernel.serve("api", "udp-echo", v6 ? Pods.NODE6 : Pods.NODE, "7070", "--reply", "api");
    Prober.Line line = pods.run("web", Pods.command("sendto", vip, 80));
    assertThat(Pods.answer(line)).isEqualTo("api");
    assertThat(line.text("from")).contains(vip);
    assertThat(pods.send("stranger", vip, 80)).isEqualTo(REFUSED);
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void aVirtualAddressLeadsFromAPodToTheNode(boolean v6) {
    String vip = v6 ? VIP6 : VIP;
    // A backend on the node's loopback, and a trap: the pod has a listener there of its own.
    kernel.apply(front(shop(), vip, Protocol.TCP, v6).build());
    kernel.serve("api", "listen", v6 ? "::" : "0.0.0.0", "7070", "--reply", "api");
    pods.serve("web", "listen", v6 ? "::" : "0.0.0.0", "7070", "--reply", "trap");
    assertThat(pods.ask("web", vip, 80)).isEqualTo("api");
    assertThat(pods.run("web", "connect", vip, "80", "--peername").text("peer")).contains(vip);
    assertThat(pods.ask("stranger", vip, 80)).isEqualTo(REFUSED);
    assertThat(kernel.ask("plain", vip, 80)).isEqualTo("api");
  }

  private void proxyIn(String pod) {
    pods.serveAs("proxy", pod, "listen", "127.0.0.1", "15001", "--also", "::1", "--origin");
  }

  @Test
  void aConnectionOfAPodIsLedToTheProxyThatListensThere() {
    kernel.apply(shop().proxied("cart", VIP, 80).proxied("cart6", VIP6, 80).build());
    proxyIn("web");
    long cgroup = Enrollment.Hierarchy.id(kernel.cgroup("web")).orElseThrow();
    assertThat(pods.ask("web", VIP, 80))
        .contains("\"address\":\"::ffff:" + VIP + "\"", "\"port\":80", "\"cgroup\":" + cgroup);
    assertThat(pods.ask("web", VIP, 80, "--v6-socket"))
        .contains("\"address\":\"::ffff:" + VIP + "\"", "\"port\":80", "\"cgroup\":" + cgroup);
    assertThat(pods.ask("web", VIP6, 80))
        .contains("\"address\":\"" + VIP6 + "\"", "\"port\":80", "\"cgroup\":" + cgroup);
    assertThat(pods.ask("web", "127.0.0.1", PlanBuilder.PROXY_PORT)).contains("ENOPROTOOPT");
  }

  @Test
  void aPodWithoutAProxysListenerIsRefusedAndCounted() {
    kernel.apply(shop().proxied("cart", VIP, 80).build());
    // One on the node does not help a pod.
    kernel.serve("proxy", "listen", "127.0.0.1", "15001", "--origin");
    assertThat(pods.ask("web", VIP, 80)).isEqualTo(REFUSED);
    assertThat(kernel.node().telemetry().refusals())
        .singleElement()
        .satisfies(refusal -> assertThat(refusal.reason()).isEqualTo(Reason.NO_PROXY));
    proxyIn("web");
    assertThat(pods.ask("web", VIP, 80)).contains("\"port\":80");
  }

  @Test
  void nobodyTakesTheProxysPlaceInAPod() {
    kernel.apply(shop().proxied("cart", VIP, 80).build());
    String[] bind = {"bind", "127.0.0.1", "15001"};
    assertThat(pods.run("web", bind).text("result")).isEqualTo("EACCES");
    assertThat(pods.runAs("plain", "web", bind).text("result")).isEqualTo("EACCES");

    kernel.node().down();
    assertThat(pods.run("web", bind).text("result")).isEqualTo("ok");
  }
}
