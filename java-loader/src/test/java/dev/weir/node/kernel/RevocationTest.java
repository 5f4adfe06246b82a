// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.Reserved;
import dev.weir.policy.plan.TlsKeyPair;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** What is open already when a policy stops allowing it. */
final class RevocationTest {

  private static final String LOOPBACK = "127.0.0.1";

  /** The law: after the generation is in force. */
  private static final int MANY = KernelTest.fewer(1000);

  private static final Duration DEADLINE = KernelTest.patiently(Duration.ofMillis(200));

  @RegisterExtension final KernelTest kernel = new KernelTest();

  private final List<Held> held = new ArrayList<>();

  @AfterEach
  void end() {
    held.forEach(Held::close);
  }

  private Held hold(String cgroup, String... arguments) {
    return holdIn("/run/netns/" + kernel.netns(), cgroup, arguments);
  }

  private Held holdIn(String netns, String cgroup, String... arguments) {
    List<String> command =
        new ArrayList<>(
            List.of(
                System.getProperty("weir.probers") + "/hold",
                "--netns",
                netns,
                "--cgroup",
                kernel.cgroup(cgroup).toString()));
    command.addAll(List.of(arguments));
    Held one = Held.start(command);
    held.add(one);
    return one;
  }

  private Applied apply(Plan plan, RevocationWay way) {
    try (KernelNode node = kernel.node(way)) {
      return node.apply(plan, List.<TlsKeyPair>of(), Duration.ZERO);
    }
  }

  /** Two clients of one server, of which the plan allows some. */
  private Plan plan(String... allowed) {
    PlanBuilder plan =
        kernel
            .plan()
            .workload("client")
            .workload("other")
            .workload("server")
            .owns("server", Protocol.TCP, 8080)
            .owns("server", Protocol.UDP, 5353)
            .isolateIngress("server");
    for (String client : allowed) {
      plan.allow(client, "server", Protocol.TCP, 8080).allow(client, "server", Protocol.UDP, 5353);
    }
    return plan.build();
  }

  private static Held.Status after(Held held, long ended) {
    long patience = System.nanoTime() + KernelTest.patiently(Duration.ofSeconds(5)).toNanos();
    Held.Status status = held.status();
    while (status.ended() < ended && System.nanoTime() < patience) {
      KernelTest.pause(Duration.ofMillis(5));
      status = held.status();
    }
    return status;
  }

  private static void assertGoesOn(Held held, Held.Status before) {
    Held.Status now = held.status();
    assertThat(now.ended()).isZero();
    assertThat(now.wrong()).isZero();
    long patience = System.nanoTime() + KernelTest.patiently(Duration.ofSeconds(5)).toNanos();
    while (now.rounds() == before.rounds() && System.nanoTime() < patience) {
      KernelTest.pause(Duration.ofMillis(5));
      now = held.status();
    }
    assertThat(now.rounds()).isGreaterThan(before.rounds());
  }

  @ParameterizedTest
  @EnumSource(RevocationWay.class)
  void thousandConnectionsEndWithinTheDeadlineAndOthersNeverNotice(RevocationWay way) {
    apply(plan("client", "other"), way);
    kernel.serve("server", "listen", LOOPBACK, "8080", "--echo");
    Held refused = hold("client", "--quiet", LOOPBACK, "8080", "" + MANY);
    Held allowed = hold("other", LOOPBACK, "8080", "50");
    assertThat(refused.held()).isEqualTo(MANY);
    final Held.Status before = allowed.status();

    long started = System.nanoTime();
    Applied applied = apply(plan("other"), way);
    long inForce = started + applied.took().toNanos();

    Held.Status status = after(refused, MANY);
    Duration took = Duration.ofNanos(status.lastNanos() - inForce);
    System.out.printf(
        "revocation %s: %d connections ended within %d ms of the swap%n",
        way, MANY, took.toMillis());
    assertThat(status.outcomes()).isEqualTo(Map.of("ECONNABORTED", (long) MANY));
    assertThat(took).isLessThan(DEADLINE);
    assertThat(applied.revoked()).hasSize(MANY);
    assertThat(applied.remarks())
        .anyMatch(remark -> remark.contains(MANY + " open connections ended"));
    assertThat(kernel.node().telemetry().counters().get("revoked")).isEqualTo(MANY);
    assertGoesOn(allowed, before);
    assertThat(allowed.held()).isEqualTo(50);
  }

  @Test
  void nothingEndsWhenNothingIsWithdrawn() {
    kernel.apply(plan("client", "other"));
    kernel.serve("server", "listen", LOOPBACK, "8080", "--echo");
    Held client = hold("client", LOOPBACK, "8080", "20");
    Held.Status before = client.status();

    Applied applied = kernel.apply(plan("client"));

    assertThat(applied.revoked()).isEmpty();
    assertGoesOn(client, before);
  }

  @Test
  void auditModeEndsNothing() {
    kernel.apply(plan("client"));
    kernel.serve("server", "listen", LOOPBACK, "8080", "--echo");
    Held client = hold("client", LOOPBACK, "8080", "5");
    Held.Status before = client.status();

    Applied applied =
        kernel.apply(
            kernel
                .plan()
                .workload("client")
                .workload("server")
                .owns("server", Protocol.TCP, 8080)
                .isolateIngress("server")
                .audit()
                .build());

    assertThat(applied.revoked()).isEmpty();
    assertGoesOn(client, before);
  }

  @ParameterizedTest
  @EnumSource(RevocationWay.class)
  void connectedUdpSocketsEnd(RevocationWay way) {
    apply(plan("client", "other"), way);
    kernel.serve("server", "udp-echo", LOOPBACK, "5353");
    Held refused = hold("client", "--udp", LOOPBACK, "5353", "100");
    Held allowed = hold("other", "--udp", LOOPBACK, "5353", "5");
    final Held.Status before = allowed.status();
    assertThat(refused.held()).isEqualTo(100);

    Applied applied = apply(plan("other"), way);

    assertThat(after(refused, 100).outcomes()).isEqualTo(Map.of("ECONNABORTED", 100L));
    assertThat(applied.revoked()).hasSize(100);
    assertThat(applied.revoked()).allMatch(one -> one.protocol() == Protocol.UDP);
    assertGoesOn(allowed, before);
  }

  @ParameterizedTest
  @EnumSource(RevocationWay.class)
  void connectionsOlderThanTheFirstAttachAreAskedAsWell(RevocationWay way) {
    kernel.serve("server", "listen", LOOPBACK, "8080", "--echo");
    kernel.serve("server", "udp-echo", LOOPBACK, "5353");
    Held refused = hold("client", LOOPBACK, "8080", "10");
    Held refusedUdp = hold("client", "--udp", LOOPBACK, "5353", "10");
    Held allowed = hold("other", LOOPBACK, "8080", "10");
    final Held.Status before = allowed.status();

    Applied applied = apply(plan("other"), way);

    assertThat(applied.attached()).isTrue();
    assertThat(after(refused, 10).ended()).isEqualTo(10);
    assertThat(after(refusedUdp, 10).ended()).isEqualTo(10);
    assertThat(applied.revoked()).hasSize(20);
    assertGoesOn(allowed, before);
  }

  @Test
  void connectionsOlderThanTheAttachEndWithALaterGenerationToo() {
    kernel.serve("server", "listen", LOOPBACK, "8080", "--echo");
    Held client = hold("client", LOOPBACK, "8080", "10");

    assertThat(kernel.apply(plan("client")).revoked()).isEmpty();
    Applied applied = kernel.apply(plan());

    assertThat(applied.revoked()).hasSize(10);
    assertThat(after(client, 10).ended()).isEqualTo(10);
  }

  @Test
  void everyNetworkNamespaceIsWalked() {
    String second = kernel.netns() + "-b";
    KernelTest.ip("netns", "add", second);
    try {
      KernelTest.ip(
          "link",
          "add",
          "weirv0",
          "netns",
          kernel.netns(),
          "type",
          "veth",
          "peer",
          "name",
          "weirv1",
          "netns",
          second);
      KernelTest.ip("-n", kernel.netns(), "addr", "add", "10.99.0.1/24", "dev", "weirv0");
      KernelTest.ip("-n", kernel.netns(), "link", "set", "weirv0", "up");
      KernelTest.ip("-n", second, "addr", "add", "10.99.0.2/24", "dev", "weirv1");
      KernelTest.ip("-n", second, "link", "set", "weirv1", "up");
      kernel.apply(elsewhere("client", "other"));
      kernel.serve("server", "listen", "10.99.0.1", "8080", "--echo");
      Held refused = holdIn("/run/netns/" + second, "client", "10.99.0.1", "8080", "20");
      Held allowed = holdIn("/run/netns/" + second, "other", "10.99.0.1", "8080", "20");
      assertThat(refused.held()).isEqualTo(20);
      final Held.Status before = allowed.status();

      Applied applied = kernel.apply(elsewhere("other"));

      assertThat(after(refused, 20).outcomes()).isEqualTo(Map.of("ECONNABORTED", 20L));
      assertThat(applied.revoked()).hasSize(20);
      assertGoesOn(allowed, before);
    } finally {
      held.forEach(Held::close);
      KernelTest.ip("netns", "delete", second);
    }
  }

  /** The server at an address of its own, which clients in another namespace dial. */
  private Plan elsewhere(String... allowed) {
    PlanBuilder plan =
        kernel
            .plan()
            .workload("client")
            .workload("other")
            .workload("server")
            .endpoint("server", "10.99.0.1", false)
            .isolateIngress("server");
    for (String client : allowed) {
      plan.allow(client, "server", Protocol.TCP, 8080);
    }
    return plan.build();
  }

  @Test
  void theWayToTheProxyEndsWithTheServicesVerdict() {
    kernel.apply(proxied(true));
    kernel.serve("proxy", "listen", LOOPBACK, String.valueOf(PlanBuilder.PROXY_PORT), "--echo");
    Held client = hold("client", "10.96.0.1", "80", "10");
    Held.Status before = client.status();
    assertThat(client.held()).isEqualTo(10);

    assertThat(kernel.apply(proxied(true)).revoked()).isEmpty();
    assertGoesOn(client, before);

    assertThat(kernel.apply(proxied(false)).revoked()).hasSize(10);
    assertThat(after(client, 10).outcomes()).isEqualTo(Map.of("ECONNABORTED", 10L));
  }

  private Plan proxied(boolean allowed) {
    PlanBuilder plan =
        kernel
            .plan()
            .workload("client")
            .isolateEgress("client")
            .proxied("web", "10.96.0.1", 80)
            .owns("proxy", Protocol.TCP, PlanBuilder.PROXY_PORT);
    if (allowed) {
      plan.verdict(
          "client", "web", Protocol.TCP, 80, dev.weir.policy.plan.Verdict.Decision.INSPECT);
    }
    return plan.build();
  }

  @Test
  void aDirectConnectionEndsWhenItsPortIsToBeInspected() {
    kernel.apply(plan("client"));
    kernel.serve("server", "listen", LOOPBACK, "8080", "--echo");
    Held client = hold("client", LOOPBACK, "8080", "3");

    kernel.apply(
        kernel
            .plan()
            .workload("client")
            .workload("server")
            .owns("server", Protocol.TCP, 8080)
            .isolateIngress("server")
            .verdict(
                "client",
                "server",
                Protocol.TCP,
                8080,
                dev.weir.policy.plan.Verdict.Decision.INSPECT)
            .build());

    assertThat(after(client, 3).ended()).isEqualTo(3);
  }

  @Test
  void aBlockOfAddressesThatIsWithdrawnEndsWhatWentThere() {
    KernelTest.ip("-n", kernel.netns(), "addr", "add", "192.0.2.7/32", "dev", "lo");
    kernel.apply(blocks(true));
    kernel.serve("server", "listen", "192.0.2.7", "8080", "--echo");
    Held client = hold("client", "192.0.2.7", "8080", "4");
    assertThat(client.held()).isEqualTo(4);

    assertThat(kernel.apply(blocks(true)).revoked()).isEmpty();
    assertThat(kernel.apply(blocks(false)).revoked()).hasSize(4);
    assertThat(after(client, 4).ended()).isEqualTo(4);
  }

  private Plan blocks(boolean allowed) {
    PlanBuilder plan =
        kernel
            .plan()
            .workload("client")
            .workload("server")
            .isolateEgress("client")
            // The listener is on this node, whatever its address: its owner must be allowed too.
            .allow("client", "server", Protocol.TCP, 8080)
            .block("lab", "192.0.2.0", 120);
    if (allowed) {
      plan.allow("client", "lab", Protocol.TCP, 8080);
    }
    return plan.build();
  }

  @Test
  void aConnectionFromOutsideEndsAtTheSideThatWasCalled() {
    String second = kernel.netns() + "-c";
    KernelTest.ip("netns", "add", second);
    try {
      KernelTest.ip(
          "link",
          "add",
          "weirw0",
          "netns",
          kernel.netns(),
          "type",
          "veth",
          "peer",
          "name",
          "weirw1",
          "netns",
          second);
      KernelTest.ip("-n", kernel.netns(), "addr", "add", "10.98.0.1/24", "dev", "weirw0");
      KernelTest.ip("-n", kernel.netns(), "link", "set", "weirw0", "up");
      KernelTest.ip("-n", second, "addr", "add", "10.98.0.2/24", "dev", "weirw1");
      KernelTest.ip("-n", second, "link", "set", "weirw1", "up");
      KernelTest.ip("-n", second, "link", "set", "lo", "up");
      kernel.apply(fromOutside(true));
      kernel.serve("server", "listen", "10.98.0.1", "8080", "--echo");
      // From addresses that no interface of this machine has: for the mesh a machine elsewhere.
      KernelTest.ip("-n", second, "route", "add", "local", "10.98.1.0/24", "dev", "lo");
      KernelTest.ip(
          "-n", second, "route", "add", "10.98.0.1/32", "dev", "weirw1", "src", "10.98.1.7");
      KernelTest.ip("-n", kernel.netns(), "route", "add", "10.98.1.0/24", "via", "10.98.0.2");
      Held stranger = outside("/run/netns/" + second, "10.98.0.1", "8080", "6");
      Held.Status before = stranger.status();
      assertThat(stranger.held()).isEqualTo(6);

      assertThat(kernel.apply(fromOutside(true)).revoked()).isEmpty();
      assertGoesOn(stranger, before);
      Applied applied = kernel.apply(fromOutside(false));

      assertThat(applied.revoked()).hasSize(6);
      assertThat(applied.revoked())
          .allMatch(one -> one.accepted() && one.source() == Reserved.OUTSIDE.index());
      assertThat(after(stranger, 6).outcomes()).isEqualTo(Map.of("ECONNRESET", 6L));
    } finally {
      held.forEach(Held::close);
      KernelTest.ip("netns", "delete", second);
    }
  }

  private Plan fromOutside(boolean allowed) {
    PlanBuilder plan = kernel.plan().workload("server").isolateIngress("server");
    if (allowed) {
      plan.allow("outside", "server", Protocol.TCP, 8080);
    }
    return plan.build();
  }

  private Held outside(String netns, String... arguments) {
    List<String> command =
        new ArrayList<>(List.of(System.getProperty("weir.probers") + "/hold", "--netns", netns));
    command.addAll(List.of(arguments));
    Held one = Held.start(command);
    held.add(one);
    return one;
  }

  @Test
  void aServerKeepsItsConnectionsAlthoughItMayGoNowhere() {
    kernel.serve("server", "listen", LOOPBACK, "8080", "--echo");
    Held old = hold("client", LOOPBACK, "8080", "5");
    kernel.apply(silentServer());
    Held fresh = hold("client", LOOPBACK, "8080", "5");
    assertThat(fresh.held()).isEqualTo(5);

    assertThat(kernel.apply(silentServer()).revoked()).isEmpty();
    assertThat(old.status().ended()).isZero();
    assertThat(fresh.status().ended()).isZero();
  }

  private Plan silentServer() {
    return kernel
        .plan()
        .workload("client")
        .workload("server")
        .owns("server", Protocol.TCP, 8080)
        .isolateEgress("server")
        .build();
  }

  @Test
  void aWorkloadThatGetsAnotherNameKeepsWhatItMayDo() {
    kernel.apply(plan("client"));
    kernel.serve("server", "listen", LOOPBACK, "8080", "--echo");
    Held client = hold("client", LOOPBACK, "8080", "5");
    Held.Status before = client.status();

    Applied applied =
        kernel.apply(
            kernel
                .plan()
                .workloadIn("renamed", "client")
                .workloadIn("backend", "server")
                .owns("backend", Protocol.TCP, 8080)
                .isolateIngress("backend")
                .isolateEgress("renamed")
                .allow("renamed", "backend", Protocol.TCP, 8080)
                .build());

    assertThat(applied.revoked()).isEmpty();
    assertGoesOn(client, before);
  }

  @Test
  void aWorkloadThatGetsAnotherNameLosesWhatItMayNotDo() {
    kernel.apply(plan("client"));
    kernel.serve("server", "listen", LOOPBACK, "8080", "--echo");
    Held client = hold("client", LOOPBACK, "8080", "5");

    kernel.apply(
        kernel
            .plan()
            .workloadIn("renamed", "client")
            .workloadIn("backend", "server")
            .owns("backend", Protocol.TCP, 8080)
            .isolateIngress("backend")
            .build());

    assertThat(after(client, 5).ended()).isEqualTo(5);
  }

  @Test
  void anUnconfirmedGenerationsConnectionsEndWhenTheOneBeforeIsInForceAgain() {
    kernel.apply(plan("other"));
    kernel.serve("server", "listen", LOOPBACK, "8080", "--echo");
    kernel.apply(plan("client", "other"), KernelTest.patiently(Duration.ofSeconds(1)));
    Held tried = hold("client", LOOPBACK, "8080", "5");
    Held allowed = hold("other", LOOPBACK, "8080", "5");
    Held.Status before = allowed.status();
    assertThat(tried.held()).isEqualTo(5);

    KernelTest.pause(KernelTest.patiently(Duration.ofMillis(2100)));
    assertThat(kernel.node().rollBackIfExpired()).isTrue();

    assertThat(after(tried, 5).ended()).isEqualTo(5);
    assertGoesOn(allowed, before);
  }

  @Test
  void anEndedConnectionIsReportedWithTheRuleThatRefusesIt() throws InterruptedException {
    kernel.apply(plan("client"));
    kernel.serve("server", "listen", LOOPBACK, "8080", "--echo");
    hold("client", LOOPBACK, "8080", "1");
    var events = new java.util.concurrent.LinkedBlockingQueue<Event>();
    try (KernelNode.Subscription _ = kernel.node().events(events::add)) {
      Applied applied = kernel.apply(plan());
      Event event =
          Optional.ofNullable(events.poll(5, java.util.concurrent.TimeUnit.SECONDS)).orElseThrow();
      while (event.hook() == Hook.MOVED) { // the test's own programs
        event =
            Optional.ofNullable(events.poll(5, java.util.concurrent.TimeUnit.SECONDS))
                .orElseThrow();
      }
      assertThat(event.hook()).isEqualTo(Hook.REVOKE);
      assertThat(event.reason()).isEqualTo(Reason.DEFAULT_DENY);
      assertThat(event.generation()).isEqualTo(applied.generation());
      assertThat(event.port()).isEqualTo(8080);
      assertThat(kernel.node().ruleKey(event.rule()).orElse("")).contains("isolate-ingress-server");
      assertThat(kernel.node().workloadKey(event.source()).orElse("")).contains("client");
    }
  }

  @Test
  void whoComesLaterEndsWhatNobodyWasThereToEnd() {
    kernel.apply(plan());
    kernel.serve("server", "listen", LOOPBACK, "8080", "--echo");
    kernel.apply(plan("client"), KernelTest.patiently(Duration.ofSeconds(1)));
    Held tried = hold("client", LOOPBACK, "8080", "5");
    assertThat(tried.held()).isEqualTo(5);
    KernelTest.pause(KernelTest.patiently(Duration.ofMillis(2100)));
    assertThat(tried.status().ended()).isZero();

    assertThat(kernel.node().endOpenConnections()).hasSize(1);

    assertThat(after(tried, 5).ended()).isEqualTo(5);
    assertThat(kernel.node().endOpenConnections()).isEmpty();
  }

  @Test
  void socketsOutsideTheMeshAreNobodysToEnd() {
    kernel.apply(plan("client"));
    kernel.serve("server", "listen", LOOPBACK, "8080", "--echo");
    Held stranger =
        outside(Path.of("/run/netns", kernel.netns()).toString(), LOOPBACK, "8080", "3");
    Held.Status before = stranger.status();

    Applied applied =
        kernel.apply(
            kernel
                .plan()
                .workload("server")
                .owns("server", Protocol.TCP, 8080)
                .isolateIngress("server")
                .governHost()
                .build());

    assertThat(applied.revoked()).isEmpty();
    assertGoesOn(stranger, before);
  }
}
