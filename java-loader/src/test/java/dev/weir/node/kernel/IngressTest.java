// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.Verdict.Decision;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/**
 * What comes in is judged for the socket that takes it. Every refusal has its control: the same
 * program succeeds with Weir down.
 */
@Tag("kernel")
final class IngressTest {

  private static final int PORT = 5432;
  private static final String DROPPED = "ETIMEDOUT";

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

  private PlanBuilder isolatedDb() {
    return kernel
        .plan()
        .workload("web")
        .workload("stranger")
        .workload("db")
        .owns("db", Protocol.TCP, PORT)
        .owns("db", Protocol.UDP, PORT)
        .isolateIngress("db")
        .allow("web", "db", Protocol.TCP, PORT)
        .allow("web", "db", Protocol.UDP, PORT);
  }

  private void serveTcp(String address) {
    kernel.serve("db", "listen", address, "5432", "--reply", "db");
  }

  private Prober serveUdp(String address, String... options) {
    return kernel.serve(
        "db",
        java.util.stream.Stream.concat(
                java.util.stream.Stream.of("udp-echo", address, "5432", "--reply", "db"),
                java.util.Arrays.stream(options))
            .toArray(String[]::new));
  }

  private String localDatagram(String cgroup, String address, String... options) {
    Prober.Line line =
        kernel.run(
            cgroup,
            java.util.stream.Stream.concat(
                    java.util.stream.Stream.of(
                        "sendto", address, "5432", "--read", "--timeout", "500"),
                    java.util.Arrays.stream(options))
                .toArray(String[]::new));
    return line.text("result").equals("ok") ? line.text("line") : line.text("result");
  }

  @Test
  void aConnectionFromOutsideIsDroppedUnlessARuleLetsItIn() {
    kernel.apply(isolatedDb().build());
    serveTcp("0.0.0.0");
    assertThat(outside.ask(Outside.NODE, PORT)).isEqualTo(DROPPED);

    kernel.apply(isolatedDb().allow("outside", "db", Protocol.TCP, PORT).build());
    assertThat(outside.ask(Outside.NODE, PORT)).isEqualTo("db");

    kernel.apply(isolatedDb().build());
    assertThat(outside.ask(Outside.NODE, PORT)).isEqualTo(DROPPED);
    kernel.node().down();
    assertThat(outside.ask(Outside.NODE, PORT)).isEqualTo("db");
  }

  @Test
  void aListenerOfBothFamiliesIsJudgedInBoth() {
    kernel.apply(isolatedDb().build());
    serveTcp("::");
    assertThat(outside.ask(Outside.NODE, PORT)).isEqualTo(DROPPED);
    assertThat(outside.ask(Outside.NODE6, PORT)).isEqualTo(DROPPED);

    kernel.apply(
        isolatedDb()
            .block("lan", Outside.THERE, 128)
            .allow("lan", "db", Protocol.TCP, PORT)
            .build());
    assertThat(outside.ask(Outside.NODE, PORT)).isEqualTo("db");
    assertThat(outside.ask(Outside.NODE, PORT, "--from", Outside.THERE_SECOND)).isEqualTo(DROPPED);
    assertThat(outside.ask(Outside.NODE6, PORT)).isEqualTo(DROPPED);

    kernel.node().down();
    assertThat(outside.ask(Outside.NODE6, PORT)).isEqualTo("db");
    assertThat(outside.ask(Outside.NODE, PORT, "--from", Outside.THERE_SECOND)).isEqualTo("db");
  }

  @Test
  void aDatagramFromOutsideIsDroppedUnlessARuleLetsItIn() {
    kernel.apply(isolatedDb().build());
    serveUdp("::");
    assertThat(outside.send(Outside.NODE, PORT)).isEqualTo(DROPPED);
    assertThat(outside.send(Outside.NODE6, PORT)).isEqualTo(DROPPED);

    kernel.apply(isolatedDb().allow("outside", "db", Protocol.UDP, PORT).build());
    assertThat(outside.send(Outside.NODE, PORT)).isEqualTo("db");
    assertThat(outside.send(Outside.NODE6, PORT)).isEqualTo("db");

    kernel.node().down();
    assertThat(outside.send(Outside.NODE6, PORT)).isEqualTo("db");
  }

  @Test
  void whoIsNotIsolatedAndTheHostTakeWhatComes() {
    kernel.apply(isolatedDb().build());
    kernel.serve("web", "listen", "0.0.0.0", "8080", "--reply", "web");
    kernel.serve("plain", "listen", "0.0.0.0", "22", "--reply", "sshd");
    assertThat(outside.ask(Outside.NODE, 8080)).isEqualTo("web");
    assertThat(outside.ask(Outside.NODE, 22)).isEqualTo("sshd");
  }

  @Test
  void aGovernedHostIsJudgedAsAnybody() {
    kernel.apply(
        isolatedDb()
            .governHost()
            .isolateIngress("host")
            .allow("outside", "host", Protocol.TCP, 22)
            .build());
    kernel.serve("plain", "listen", "0.0.0.0", "22", "--reply", "sshd");
    kernel.serve("plain", "listen", "0.0.0.0", "23", "--reply", "telnetd");
    assertThat(outside.ask(Outside.NODE, 22)).isEqualTo("sshd");
    assertThat(outside.ask(Outside.NODE, 23)).isEqualTo(DROPPED);

    kernel.node().down();
    assertThat(outside.ask(Outside.NODE, 23)).isEqualTo("telnetd");
  }

  @Test
  void theProxyTakesWhatComesToItsListeners() {
    kernel.apply(isolatedDb().build());
    kernel.serve("proxy", "listen", "0.0.0.0", "443", "--reply", "gateway");
    assertThat(outside.ask(Outside.NODE, 443)).isEqualTo("gateway");
  }

  @Test
  void theNodesOwnLanAddressIsNotOutside() {
    kernel.apply(isolatedDb().allow("outside", "db", Protocol.TCP, PORT).build());
    serveTcp("0.0.0.0");
    // Open to the world, and still not to a workload of this node.
    assertThat(kernel.ask("web", Outside.NODE, PORT)).isEqualTo("db");
    assertThat(kernel.ask("plain", Outside.NODE, PORT)).isEqualTo("db");
    assertThat(kernel.ask("stranger", Outside.NODE, PORT)).isEqualTo("ECONNREFUSED");
    kernel.apply(isolatedDb().build());
    // Closed to the world, and still open to the host.
    assertThat(outside.ask(Outside.NODE, PORT)).isEqualTo(DROPPED);
    assertThat(kernel.ask("plain", Outside.NODE, PORT)).isEqualTo("db");

    kernel.node().down();
    assertThat(kernel.ask("stranger", Outside.NODE, PORT)).isEqualTo("db");
  }

  @Test
  void aPortThatNobodyDeclaredIsJudgedForWhoListens() {
    kernel.apply(isolatedDb().build());
    kernel.serve("db", "listen", "::", "7777", "--reply", "admin");
    assertThat(kernel.ask("stranger", "127.0.0.1", 7777, "--timeout", "500")).isEqualTo(DROPPED);
    assertThat(kernel.ask("web", "::1", 7777, "--timeout", "500")).isEqualTo(DROPPED);
    assertThat(kernel.ask("web", Outside.NODE, 7777, "--timeout", "500")).isEqualTo(DROPPED);
    assertThat(kernel.ask("db", "127.0.0.1", 7777)).isEqualTo("admin");
    assertThat(kernel.ask("plain", "127.0.0.1", 7777)).isEqualTo("admin");

    kernel.apply(isolatedDb().allow("web", "db", Protocol.TCP, 7777).build());
    assertThat(kernel.ask("web", "::1", 7777)).isEqualTo("admin");
    assertThat(kernel.ask("web", "127.0.0.1", 7777, "--v6-socket")).isEqualTo("admin");

    kernel.node().down();
    assertThat(kernel.ask("stranger", "127.0.0.1", 7777)).isEqualTo("admin");
  }

  @Test
  void aDatagramToAPortThatNobodyDeclaredIsJudgedForWhoListens() {
    kernel.apply(isolatedDb().build());
    kernel.serve("db", "udp-echo", "0.0.0.0", "7777", "--reply", "admin");
    String[] send = {"sendto", "127.0.0.1", "7777", "--read", "--timeout", "500"};
    assertThat(kernel.run("stranger", send).text("result")).isEqualTo(DROPPED);
    assertThat(kernel.run("plain", send).text("line")).isEqualTo("admin");
    assertThat(kernel.run("db", send).text("line")).isEqualTo("admin");

    kernel.node().down();
    assertThat(kernel.run("stranger", send).text("line")).isEqualTo("admin");
  }

  @Test
  void ofListenersThatShareAPortOnlyThoseThatAreAllowedTakeAConnection() {
    kernel.apply(isolatedDb().build());
    kernel.serve("db", "listen", "127.0.0.1", "7777", "--reuseport", "--reply", "db");
    kernel.serve("plain", "listen", "127.0.0.1", "7777", "--reuseport", "--reply", "plain");
    String[] connects = {
      "connect", "127.0.0.1", "7777", "--read", "--count", "24", "--timeout", "100"
    };
    Map<String, Long> outcomes = kernel.run("stranger", connects).outcomes();
    assertThat(outcomes).containsOnlyKeys("plain", DROPPED);

    kernel.node().down();
    assertThat(kernel.run("stranger", connects).outcomes()).containsOnlyKeys("plain", "db");
  }

  @Test
  void aBroadcastFromOutsideIsJudgedForEachReceiver() {
    kernel.apply(isolatedDb().build());
    serveUdp("0.0.0.0");
    assertThat(outside.send(Outside.BROADCAST, PORT)).isEqualTo(DROPPED);

    kernel.apply(isolatedDb().allow("outside", "db", Protocol.UDP, PORT).build());
    assertThat(outside.send(Outside.BROADCAST, PORT)).isEqualTo("db");

    kernel.apply(isolatedDb().build());
    assertThat(outside.send(Outside.BROADCAST, PORT)).isEqualTo(DROPPED);
    kernel.node().down();
    assertThat(outside.send(Outside.BROADCAST, PORT)).isEqualTo("db");
  }

  @Test
  void aBroadcastOfThisNodeIsJudgedForItsSender() {
    // The sender's own port is not declared, so that nothing but the receiver's verdict counts.
    kernel.apply(isolatedDb().allow("outside", "db", Protocol.UDP, 7777).build());
    kernel.serve("db", "udp-echo", "0.0.0.0", "7777", "--reply", "db");
    String[] send = {"sendto", Outside.BROADCAST, "7777", "--read", "--timeout", "500"};
    assertThat(kernel.run("stranger", send).text("result")).isEqualTo(DROPPED);

    kernel.node().down();
    assertThat(kernel.run("stranger", send).text("line")).isEqualTo("db");
  }

  @Test
  void aMulticastFromOutsideIsJudgedForEachMember() {
    kernel.apply(isolatedDb().build());
    String[] join = {"--join", "239.1.2.3", "--interface", Outside.NODE_DEVICE};
    serveUdp("0.0.0.0", join);
    assertThat(outside.send("239.1.2.3", PORT)).isEqualTo(DROPPED);

    kernel.apply(isolatedDb().allow("outside", "db", Protocol.UDP, PORT).build());
    assertThat(outside.send("239.1.2.3", PORT)).isEqualTo("db");
  }

  @Test
  void anIpv6MulticastFromOutsideIsJudgedForEachMember() {
    kernel.apply(isolatedDb().build());
    serveUdp("::", "--join", "ff05::77", "--interface", Outside.NODE_DEVICE);
    String[] by = {"--interface", Outside.DEVICE};
    assertThat(outside.send("ff05::77", PORT, by)).isEqualTo(DROPPED);

    kernel.node().down();
    assertThat(outside.send("ff05::77", PORT, by)).isEqualTo("db");
  }

  @Test
  void aMulticastOfThisNodeIsJudgedForItsSender() {
    kernel.apply(isolatedDb().allow("outside", "db", Protocol.UDP, 7777).build());
    kernel.serve(
        "db",
        "udp-echo",
        "0.0.0.0",
        "7777",
        "--reply",
        "db",
        "--join",
        "239.1.2.3",
        "--interface",
        Outside.NODE_DEVICE);
    String[] send = {"sendto", "239.1.2.3", "7777", "--read", "--timeout", "500"};
    assertThat(kernel.run("stranger", send).text("result")).isEqualTo(DROPPED);
    assertThat(kernel.run("plain", send).text("line")).isEqualTo("db");

    kernel.node().down();
    assertThat(kernel.run("stranger", send).text("line")).isEqualTo("db");
  }

  @Test
  void aSourceSpoofedAsTheNodesOwnIsOutside() {
    kernel.apply(isolatedDb().build());
    Prober server = serveUdp(Outside.NODE6_SECOND);
    outside.address(Outside.NODE6 + "/128");
    String[] spoofed = {
      "sendto", Outside.NODE6_SECOND, "5432", "--from", Outside.NODE6, "--text", "spoofed"
    };
    assertThat(outside.run(spoofed).text("result")).isEqualTo("ok");
    // The node itself, which may, is heard; the one before it was not.
    assertThat(localDatagram("plain", Outside.NODE6_SECOND, "--from", Outside.NODE6_SECOND))
        .isEqualTo("db");
    assertThat(server.next().text("from")).startsWith("[" + Outside.NODE6_SECOND + "]");

    kernel.node().down();
    assertThat(outside.run(spoofed).text("result")).isEqualTo("ok");
    assertThat(server.next().text("from")).startsWith("[" + Outside.NODE6 + "]");
  }

  @Test
  void anAddressThatThePlanGivesToAnotherNodesWorkloadIsThatWorkload() {
    serveTcpAfter(
        isolatedDb()
            .workload("far")
            .believed("far", "far-by-address", Outside.THERE)
            .allow("far-by-address", "db", Protocol.TCP, PORT));
    assertThat(outside.ask(Outside.NODE, PORT)).isEqualTo("db");
    assertThat(outside.ask(Outside.NODE, PORT, "--from", Outside.THERE_SECOND)).isEqualTo(DROPPED);
  }

  @Test
  void whoComesFromSuchAnAddressHasNotThePrincipalOfThatWorkload() {
    serveTcpAfter(
        isolatedDb()
            .workload("far")
            .believed("far", "far-by-address", Outside.THERE)
            .allow("far", "db", Protocol.TCP, PORT));
    assertThat(outside.ask(Outside.NODE, PORT)).isEqualTo(DROPPED);

    kernel.node().down();
    assertThat(outside.ask(Outside.NODE, PORT)).isEqualTo("db");
  }

  @Test
  void anAddressOfThisNodesWorkloadProvesNothingFromOutside() {
    serveTcpAfter(isolatedDb().endpoint("web", Outside.THERE, false));
    assertThat(outside.ask(Outside.NODE, PORT)).isEqualTo(DROPPED);

    kernel.node().down();
    assertThat(outside.ask(Outside.NODE, PORT)).isEqualTo("db");
  }

  @Test
  void aWorkloadInANamespaceOfItsOwnIsKnownWhenItConnects() {
    serveTcpAfter(
        isolatedDb().endpoint("web", Outside.THERE, false).endpoint("db", Outside.NODE, false));
    String[] connect = {"connect", Outside.NODE, "5432", "--read"};
    assertThat(outside.runAs("web", connect).text("line")).isEqualTo("db");
    assertThat(outside.runAs("plain", connect).text("line")).isEqualTo("db");
    assertThat(outside.runAs("stranger", connect).text("result")).isEqualTo("ECONNREFUSED");
    assertThat(outside.ask(Outside.NODE, PORT)).isEqualTo(DROPPED);
  }

  @Test
  void aListenerInANamespaceOfItsOwnIsJudgedToo() {
    kernel.apply(isolatedDb().build());
    outside.serveAs("db", "listen", "0.0.0.0", "7777", "--reply", "db");
    String[] connect = {"connect", Outside.THERE, "7777", "--read", "--timeout", "500"};
    assertThat(kernel.run("stranger", connect).text("result")).isEqualTo(DROPPED);

    kernel.node().down();
    assertThat(kernel.run("stranger", connect).text("line")).isEqualTo("db");
  }

  private void serveTcpAfter(PlanBuilder plan) {
    kernel.apply(plan.build());
    serveTcp("0.0.0.0");
  }

  @Test
  void whatOnlyTheProxyMayLookIntoDoesNotComePastIt() {
    serveTcpAfter(isolatedDb().verdict("outside", "db", Protocol.TCP, PORT, Decision.INSPECT));
    assertThat(outside.ask(Outside.NODE, PORT)).isEqualTo(DROPPED);

    kernel.node().down();
    assertThat(outside.ask(Outside.NODE, PORT)).isEqualTo("db");
  }

  @Test
  void auditModeLetsInAndCounts() {
    serveTcpAfter(isolatedDb().audit());
    assertThat(outside.ask(Outside.NODE, PORT)).isEqualTo("db");
    assertThat(kernel.node().telemetry().refusals())
        .singleElement()
        .satisfies(refusal -> assertThat(refusal.audited()).isTrue());
  }

  @Test
  void aRefusalIsCountedAndReportedWithThePeersAddress() throws InterruptedException {
    serveTcpAfter(isolatedDb());
    List<Event> events = new CopyOnWriteArrayList<>();
    KernelNode node = kernel.node();
    try (KernelNode.Subscription subscription = node.events(events::add)) {
      assertThat(subscription).isNotNull();
      assertThat(outside.ask(Outside.NODE, PORT)).isEqualTo(DROPPED);
      long deadline = System.nanoTime() + 5_000_000_000L;
      while (events.stream().noneMatch(e -> e.hook() == Hook.INGRESS)
          && System.nanoTime() < deadline) {
        Thread.sleep(10);
      }
    }
    assertThat(events)
        .filteredOn(event -> event.hook() == Hook.INGRESS)
        .first()
        .satisfies(
            event -> {
              assertThat(event.address()).isEqualTo(PlanBuilder.address(Outside.THERE));
              assertThat(event.port()).isEqualTo(PORT);
              assertThat(event.reason()).isEqualTo(Reason.DEFAULT_DENY);
              assertThat(event.generation()).isEqualTo(2);
              assertThat(event.pid()).isZero();
              assertThat(node.ruleKey(event.rule()))
                  .hasValueSatisfying(key -> assertThat(key).contains("isolate-ingress-db"));
            });
    Snapshot.Refusal refusal = node.telemetry().refusals().getFirst();
    assertThat(node.workloadKey(refusal.source()))
        .hasValueSatisfying(key -> assertThat(key).contains("outside"));
    assertThat(node.workloadKey(refusal.destination())).contains("Workload/test/db");
    assertThat(refusal.count()).isPositive();
  }

  @Test
  void aPingOfTheNodeIsAnsweredAsBefore() {
    kernel.apply(isolatedDb().build());
    assertThat(outside.run("echo", Outside.NODE).text("result")).isEqualTo("ok");
  }
}
