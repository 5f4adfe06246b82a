// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static java.nio.charset.StandardCharsets.US_ASCII;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.weir.policy.plan.AccessPlan;
import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Hbone;
import dev.weir.policy.plan.TlsKeyPair;
import dev.weir.policy.plan.Verdict.Decision;
import dev.weir.proxy.listen.OriginSource;
import dev.weir.proxy.outbound.UpdateRefusedException;
import io.netty.util.internal.PlatformDependent;
import java.io.IOException;
import java.net.SocketException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Queue;
import java.util.concurrent.Callable;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Two nodes' proxies, and connections from one to the other, over real sockets. */
@Timeout(60)
final class TunnelTest {

  @TempDir static Path directory;

  private static Authority authority;
  private static Authority other;

  @TempDir Path files;
  private Identities eastIdentities;
  private Identities westIdentities;
  private TunnelNode east;
  private TunnelNode west;

  @BeforeAll
  static void issue() throws Exception {
    authority = new Authority(directory, "right");
    other = new Authority(directory, "wrong");
    for (Authority each : List.of(authority, other)) {
      Identities.issue(each, "shop/web");
      Identities.issue(each, "shop/cart");
    }
    Identities.issue(authority, "shop/stranger");
    Identities.issue(authority, "weir/west");
  }

  @BeforeEach
  void start() throws Exception {
    eastIdentities =
        new Identities(Files.createDirectories(files.resolve("east")))
            .believe(authority)
            .put(authority, "shop/web");
    westIdentities =
        new Identities(Files.createDirectories(files.resolve("west")))
            .believe(authority)
            .put(authority, "shop/cart");
    east = new TunnelNode(eastIdentities);
    west = new TunnelNode(westIdentities);
  }

  @AfterEach
  void stop() {
    east.close();
    west.close();
  }

  private TunnelNode.Policy east(int port) {
    TunnelNode.Policy policy = new TunnelNode.Policy();
    policy.port = port;
    policy.peer = Optional.of(west.peer(""));
    return policy;
  }

  private static TunnelNode.Policy west(int port) {
    TunnelNode.Policy policy = new TunnelNode.Policy();
    policy.port = port;
    policy.cart = true;
    return policy;
  }

  /** Requests to cart by this path and of this principal, and no others. */
  private static AccessPlan onlyPath(String path, String principal) {
    AccessPlan.Clause clause =
        new AccessPlan.Clause(
            2,
            List.of(
                new AccessPlan.Term(
                    List.of(
                        new AccessPlan.Condition(
                            AccessPlan.Attribute.SOURCE_PRINCIPAL,
                            List.of(),
                            List.of(principal),
                            List.of())))),
            List.of(),
            new AccessPlan.Term(
                List.of(
                    new AccessPlan.Condition(
                        AccessPlan.Attribute.PATH, List.of(), List.of(path), List.of()))));
    return new AccessPlan(
        "cluster.local",
        List.of(new AccessPlan.Policy(2, AccessPlan.Action.ALLOW, false, List.of(clause))),
        List.of(new AccessPlan.Guard(7, List.of(new AccessPlan.Bound(0, List.of())))),
        List.of());
  }

  private static RawBackend.Behaviour echo() {
    return connection -> {
      byte[] piece = new byte[8192];
      for (int n = connection.in.read(piece); n >= 0; n = connection.in.read(piece)) {
        connection.out.write(piece, 0, n);
      }
    };
  }

  private static String all(Client client) throws IOException {
    return new String(client.in().readAllBytes(), US_ASCII);
  }

  @Test
  void aConnectionGoesFromNodeToNodeAndEachDirectionEndsByItself() throws Exception {
    try (RawBackend cart = new RawBackend(echo())) {
      west.apply(west(cart.port()));
      east.apply(east(cart.port()));
      for (int i = 0; i < 3; i++) {
        try (Client client = east.client()) {
          client.send("hello");
          assertThat(client.in().readNBytes(5)).isEqualTo("hello".getBytes(US_ASCII));
          assertThat(east.proxy.status())
              .contains(
                  "\"clients\":[{\"listener\":\"outbound\",\"protocol\":\"",
                  "\"tunnel_peers\":[{\"direction\":\"out\",\"peer\":\"west\","
                      + "\"principal\":\"cluster.local/ns/shop/sa/web\",\"open\":1}]");
          assertThat(west.proxy.status())
              .contains(
                  "\"clients\":[{\"listener\":\"tunnel\",\"protocol\":\"tcp\",\"open\":1}]",
                  "\"tunnel_peers\":[{\"direction\":\"in\",\"peer\":\"127.0.0.1\","
                      + "\"principal\":\"cluster.local/ns/shop/sa/web\",\"open\":1}]");
          client.send(" again");
          client.socket().shutdownOutput();
          assertThat(all(client)).isEqualTo(" again");
        }
      }
      assertThat(east.sample("weir_proxy_tunnels_opened_total")).isEqualTo(1);
      assertThat(west.sample("weir_proxy_tunnels_accepted_total")).isEqualTo(1);
      assertThat(west.sample("weir_proxy_tunnel_streams_total{direction=\"inbound\"}"))
          .isEqualTo(3);
    }
  }

  @Test
  void whoDialsAWorkloadOfAnotherNodeGoesByTunnelToo() throws Exception {
    try (RawBackend cart = new RawBackend(echo())) {
      TunnelNode.Policy there = west(cart.port());
      there.verdicts =
          List.of(TunnelNode.verdict(TunnelNode.WEB_IDENTITY, cart.port(), Decision.ALLOW));
      west.apply(there);
      TunnelNode.Policy policy = east(cart.port());
      policy.verdicts =
          List.of(TunnelNode.verdict(TunnelNode.WEB_IDENTITY, cart.port(), Decision.INSPECT));
      east.apply(policy);
      east.origin = new OriginSource.Handover(Address.LOOPBACK4, cart.port(), 16);
      try (Client client = east.client()) {
        client.send("x");
        assertThat(client.in().read()).isEqualTo('x');
        // A new plan that allows it still, does not end it.
        east.apply(policy);
        client.send("y");
        assertThat(client.in().read()).isEqualTo('y');
      }
      assertThat(west.sample("weir_proxy_tunnels_accepted_total")).isEqualTo(1);
      policy.verdicts =
          List.of(TunnelNode.verdict(TunnelNode.CART_IDENTITY, cart.port(), Decision.ALLOW));
      east.apply(policy);
      try (Client client = east.client()) {
        assertThat(client.in().read()).isEqualTo(-1);
      }
      assertThat(cart.accepted()).isEqualTo(1);
    }
  }

  @Test
  void whoTakesTunnelsItselfIsReachedAtTheAddressThatIsDialled() throws Exception {
    try (RawBackend cart = new RawBackend(echo())) {
      west.apply(west(cart.port()));
      TunnelNode.Policy policy = east(cart.port());
      policy.elsewhere =
          List.of(new Hbone.Peer("west", Address.parse("fd00::9").orElseThrow(), 15008, ""));
      east.apply(policy);
      try (Client client = east.client()) {
        client.send("x");
        assertThat(client.in().read()).isEqualTo('x');
      }
    }
  }

  @Test
  void requestsGoFromNodeToNodeOverKeptConnections() throws Exception {
    try (RawBackend cart = new RawBackend(RawBackend.named("v1"))) {
      west.apply(west(cart.port()));
      TunnelNode.Policy policy = east(cart.port());
      policy.requests = true;
      east.apply(policy);
      for (int i = 0; i < 3; i++) {
        try (Client client = east.client()) {
          assertThat(client.get("/").header("x-version")).isEqualTo("v1");
        }
      }
      assertThat(cart.accepted()).isEqualTo(1);
    }
  }

  @Test
  void theDestinationsVerdictDecidesAboutThePeersIdentity() throws Exception {
    try (RawBackend cart = new RawBackend(RawBackend.named("v1"))) {
      TunnelNode.Policy there = west(cart.port());
      there.verdicts =
          List.of(TunnelNode.verdict(TunnelNode.CART_IDENTITY, cart.port(), Decision.ALLOW));
      west.apply(there);
      TunnelNode.Policy policy = east(cart.port());
      policy.requests = true;
      east.apply(policy);
      try (Client client = east.client()) {
        assertThat(client.get("/").status()).isEqualTo(502);
      }
      assertThat(west.log())
          .contains("shop/web may not connect to shop/cart")
          .contains("policy.yaml:12");
      assertThat(east.log()).contains("was refused there: 403");
      there.verdicts =
          List.of(TunnelNode.verdict(TunnelNode.WEB_IDENTITY, cart.port(), Decision.ALLOW));
      west.apply(there);
      try (Client client = east.client()) {
        assertThat(client.get("/").status()).isEqualTo(200);
      }
    }
  }

  private int status(int port) throws Exception {
    TunnelNode.Policy policy = east(port);
    policy.requests = true;
    east.apply(policy);
    try (Client client = east.client()) {
      return client.get("/").status();
    }
  }

  @Test
  void aNodeOfAnotherAuthorityIsNotBelieved() throws Exception {
    try (RawBackend cart = new RawBackend(RawBackend.named("v1"))) {
      westIdentities.put(other, "shop/cart");
      west.apply(west(cart.port()));
      assertThat(status(cart.port())).isEqualTo(502);
      assertThat(east.log()).contains("none of the roots that are believed");
      assertThat(cart.accepted()).isZero();
    }
  }

  @Test
  void aCallerOfAnotherAuthorityIsNotBelieved() throws Exception {
    try (RawBackend cart = new RawBackend(RawBackend.named("v1"))) {
      eastIdentities.put(other, "shop/web");
      west.apply(west(cart.port()));
      assertThat(status(cart.port())).isEqualTo(502);
      assertThat(west.log()).contains("none of the roots that are believed");
      assertThat(west.sample("weir_proxy_tunnels_refused_total")).isEqualTo(1);
      assertThat(cart.accepted()).isZero();
    }
  }

  @Test
  void aTunnelOfACallerWhoseRootIsNotBelievedAnyMoreTakesNothingNew() throws Exception {
    takesNothingNewWhenOnlyTheOtherIsBelieved(westIdentities, west);
    assertThat(west.sample("weir_proxy_tunnels_refused_total")).isPositive();
  }

  @Test
  void aTunnelToANodeWhoseRootIsNotBelievedAnyMoreTakesNothingNew() throws Exception {
    takesNothingNewWhenOnlyTheOtherIsBelieved(eastIdentities, east);
  }

  private void takesNothingNewWhenOnlyTheOtherIsBelieved(Identities identities, TunnelNode node)
      throws Exception {
    try (RawBackend cart = new RawBackend(echo())) {
      west.apply(west(cart.port()));
      east.apply(east(cart.port()));
      try (Client kept = east.client()) {
        kept.send("a");
        assertThat(kept.in().read()).isEqualTo('a');
        identities.believe(other);
        until(() -> node.log().contains("takes nothing new"));
        try (Client client = east.client()) {
          assertThat(refused(client)).isTrue();
        }
        // What stands was proven when it began, and goes on.
        kept.send("b");
        assertThat(kept.in().read()).isEqualTo('b');
      }
    }
  }

  @Test
  void aTunnelGoesOnWhenARootIsBelievedBesides() throws Exception {
    try (RawBackend cart = new RawBackend(RawBackend.named("v1"))) {
      west.apply(west(cart.port()));
      assertThat(status(cart.port())).isEqualTo(200);
      westIdentities.believe(authority, other);
      eastIdentities.believe(other, authority);
      until(() -> believing(west, 2) && believing(east, 2));
      // Longer than it takes to look at a tunnel.
      Thread.sleep(600);
      try (Client client = east.client()) {
        assertThat(client.get("/").status()).isEqualTo(200);
      }
      assertThat(east.sample("weir_proxy_tunnels_opened_total")).isEqualTo(1);
    }
  }

  private static boolean believing(TunnelNode node, int roots) {
    return node.log().contains("believing " + roots + " root(s)");
  }

  private static boolean refused(Client client) {
    try {
      client.send("x");
      return client.in().read() < 0;
    } catch (IOException reset) {
      return true;
    }
  }

  @Test
  void aNodeThatShowsAnotherAccountIsNotTaken() throws Exception {
    try (RawBackend cart = new RawBackend(RawBackend.named("v1"))) {
      westIdentities.put(authority, "shop/stranger");
      TunnelNode.Policy policy = west(cart.port());
      policy.account = "shop/stranger";
      west.apply(policy);
      assertThat(status(cart.port())).isEqualTo(502);
      assertThat(east.log())
          .contains(
              "it is cluster.local/ns/shop/sa/stranger, and ought to be"
                  + " cluster.local/ns/shop/sa/cart");
      assertThat(cart.accepted()).isZero();
    }
  }

  @Test
  void aNodeMayShowAnAccountOfItsOwn() throws Exception {
    try (RawBackend cart = new RawBackend(RawBackend.named("v1"))) {
      westIdentities.put(authority, "weir/west");
      TunnelNode.Policy there = west(cart.port());
      there.account = "weir/west";
      west.apply(there);
      TunnelNode.Policy policy = east(cart.port());
      policy.requests = true;
      policy.peer = Optional.of(west.peer("weir/west"));
      east.apply(policy);
      try (Client client = east.client()) {
        assertThat(client.get("/").status()).isEqualTo(200);
      }
    }
  }

  @Test
  void withoutACertificateThereIsNoConnection() throws Exception {
    try (RawBackend cart = new RawBackend(RawBackend.named("v1"))) {
      Files.delete(files.resolve("east/ns/shop/sa/web/svid.pem"));
      west.apply(west(cart.port()));
      assertThat(status(cart.port())).isEqualTo(502);
      assertThat(east.log()).contains("there is no certificate of cluster.local/ns/shop/sa/web");
      assertThat(west.sample("weir_proxy_tunnels_accepted_total")).isZero();
      assertThat(cart.accepted()).isZero();
    }
  }

  @Test
  void aNodeWithoutTunnelsIsNotReachedInPlainText() throws Exception {
    try (RawBackend cart = new RawBackend(RawBackend.named("v1"))) {
      TunnelNode.Policy there = west(cart.port());
      there.hbone = false;
      west.apply(there);
      assertThat(status(cart.port())).isEqualTo(502);
      assertThat(cart.accepted()).isZero();
      assertThat(east.sample("weir_proxy_tunnels_failed_total")).isGreaterThanOrEqualTo(1);
    }
  }

  private TunnelNode at(Identities identities, Duration ahead) throws Exception {
    return new TunnelNode(identities, () -> Instant.now().plus(ahead));
  }

  @Test
  void aCertificateThatHasEndedIsNotShown() throws Exception {
    east.close();
    east = at(eastIdentities, Duration.ofDays(100));
    try (RawBackend cart = new RawBackend(RawBackend.named("v1"))) {
      west.apply(west(cart.port()));
      assertThat(status(cart.port())).isEqualTo(502);
      assertThat(east.log()).contains("the certificate ended at");
      assertThat(east.proxy.status()).contains("\"problem\":\"cluster.local/ns/shop/sa/web: the");
      assertThat(
              east.sample(
                  "weir_certificate_expiry_seconds{principal=\"cluster.local/ns/shop/sa/web\"}"))
          .isNegative();
    }
  }

  @Test
  void aClockThatIsBehindIsNamed() throws Exception {
    west.close();
    west = at(westIdentities, Duration.ofDays(-10));
    westIdentities.put(authority, "shop/cart");
    try (RawBackend cart = new RawBackend(RawBackend.named("v1"))) {
      west.apply(west(cart.port()));
      assertThat(status(cart.port())).isEqualTo(502);
      assertThat(west.log()).contains("this clock is behind, or that of whoever issued it ahead");
      assertThat(cart.accepted()).isZero();
    }
  }

  @Test
  void aCertificateNearItsEndIsTold() throws Exception {
    east.close();
    east = at(eastIdentities, Duration.ofDays(80));
    east.apply(east(1));
    assertThat(east.log()).contains("was not renewed");
    assertThat(
            east.sample(
                "weir_certificate_expiry_seconds{principal=\"cluster.local/ns/shop/sa/web\"}"))
        .isBetween(1L, 11L * 24 * 3600);
  }

  @Test
  void certificatesAreRenewedWithoutAFailedRequest() throws Exception {
    try (RawBackend cart = new RawBackend(RawBackend.named("v1"))) {
      west.apply(west(cart.port()));
      TunnelNode.Policy policy = east(cart.port());
      policy.requests = true;
      east.apply(policy);
      Authority next = new Authority(directory, "next-" + cart.port());
      Identities.issue(next, "shop/web");
      Identities.issue(next, "shop/cart");
      AtomicInteger answered = new AtomicInteger();
      AtomicBoolean enough = new AtomicBoolean();
      List<Thread> clients = new ArrayList<>();
      Queue<Throwable> failures = new ConcurrentLinkedQueue<>();
      for (int i = 0; i < 4; i++) {
        clients.add(
            Thread.ofVirtual()
                .start(
                    () -> {
                      try {
                        while (!enough.get()) {
                          try (Client client = east.client()) {
                            assertThat(client.get("/").status()).isEqualTo(200);
                            answered.incrementAndGet();
                          }
                        }
                      } catch (IOException | AssertionError e) {
                        failures.add(e);
                      }
                    }));
      }
      eastIdentities.believe(next, authority);
      westIdentities.believe(next, authority);
      until(() -> east.log().contains("believing 2") && west.log().contains("believing 2"));
      eastIdentities.put(next, "shop/web");
      westIdentities.put(next, "shop/cart");
      until(() -> east.sample("weir_proxy_tunnels_opened_total") >= 2);
      int before = answered.get();
      until(() -> answered.get() > before + 100);
      eastIdentities.believe(next);
      westIdentities.believe(next);
      until(() -> east.log().contains("believing 1 root") && west.log().contains("believing 1"));
      int after = answered.get();
      until(() -> answered.get() > after + 100);
      enough.set(true);
      for (Thread client : clients) {
        client.join();
      }
      assertThat(failures).isEmpty();
    }
  }

  private static void until(Callable<Boolean> condition) throws Exception {
    for (int i = 0; i < 600; i++) {
      if (condition.call()) {
        return;
      }
      Thread.sleep(50);
    }
    throw new AssertionError("it never comes true");
  }

  @Test
  void whatAPlanDoesNotAllowAnyMoreEnds() throws Exception {
    try (RawBackend cart = new RawBackend(echo())) {
      west.apply(west(cart.port()));
      east.apply(east(cart.port()));
      try (Client client = east.client()) {
        client.send("x");
        assertThat(client.in().read()).isEqualTo('x');
        TunnelNode.Policy there = west(cart.port());
        there.verdicts =
            List.of(TunnelNode.verdict(TunnelNode.CART_IDENTITY, cart.port(), Decision.ALLOW));
        west.apply(there);
        assertThatThrownBy(() -> client.in().read()).isInstanceOf(SocketException.class);
      }
      assertThat(west.sample("weir_proxy_connections_revoked_total")).isEqualTo(1);
    }
  }

  @Test
  void aResetIsAResetAtTheOtherEnd() throws Exception {
    try (RawBackend cart =
        new RawBackend(
            connection -> {
              connection.in.read();
              connection.socket.setSoLinger(true, 0);
            })) {
      west.apply(west(cart.port()));
      east.apply(east(cart.port()));
      try (Client client = east.client()) {
        client.send("x");
        assertThatThrownBy(() -> client.in().read()).isInstanceOf(SocketException.class);
      }
    }
  }

  @Test
  void whoDoesNotReadHoldsNobodyElseUp() throws Exception {
    byte[] piece = new byte[1 << 20];
    try (RawBackend cart =
        new RawBackend(
            connection -> {
              if (connection.in.read() == 'm') {
                for (int i = 0; i < 50; i++) {
                  connection.out.write(piece);
                }
              } else {
                connection.send("small");
              }
            })) {
      west.apply(west(cart.port()));
      east.apply(east(cart.port()));
      long direct = PlatformDependent.usedDirectMemory();
      try (Client slow = east.client();
          Client slower = east.client()) {
        slow.send("m");
        slower.send("m");
        Thread.sleep(1_000);
        for (int i = 0; i < 20; i++) {
          try (Client other = east.client()) {
            other.send("s");
            assertThat(all(other)).isEqualTo("small");
          }
        }
        assertThat(PlatformDependent.usedDirectMemory() - direct).isLessThan(16L << 20);
        assertThat(slow.in().readAllBytes()).hasSize(50 << 20);
      }
      assertThat(east.sample("weir_proxy_tunnels_opened_total")).isEqualTo(1);
    }
  }

  @Test
  void anotherTunnelIsMadeWhenOneHasEnded() throws Exception {
    try (RawBackend cart = new RawBackend(RawBackend.named("v1"))) {
      west.apply(west(cart.port()));
      TunnelNode.Policy policy = east(cart.port());
      policy.requests = true;
      policy.peer = Optional.of(west.peer(""));
      east.apply(policy);
      try (Client client = east.client()) {
        assertThat(client.get("/").status()).isEqualTo(200);
      }
      int port = west.tunnels;
      west.proxy.drain(5_000);
      west.proxy.drained().get(20, TimeUnit.SECONDS);
      west.close();
      west = new TunnelNode(westIdentities, InstantSource.system(), port);
      west.apply(west(cart.port()));
      try (Client client = east.client()) {
        assertThat(client.get("/").status()).isEqualTo(200);
      }
      assertThat(east.sample("weir_proxy_tunnels_opened_total")).isEqualTo(2);
    }
  }

  @Test
  void manyConnectionsShareATunnelUntilItIsFull() throws Exception {
    try (RawBackend cart = new RawBackend(echo())) {
      west.apply(west(cart.port()));
      east.apply(east(cart.port()));
      List<Client> clients = new ArrayList<>();
      try {
        for (int i = 0; i < 150; i++) {
          Client client = east.client();
          clients.add(client);
          client.send("x");
        }
        for (Client client : clients) {
          assertThat(client.in().read()).isEqualTo('x');
        }
        assertThat(east.sample("weir_proxy_tunnels_opened_total")).isEqualTo(2);
      } finally {
        for (Client client : clients) {
          client.close();
        }
      }
    }
  }

  @Test
  void requestsOfATunnelMeetTheDestinationsPolicies() throws Exception {
    try (RawBackend cart = new RawBackend(RawBackend.named("v1"))) {
      TunnelNode.Policy there = west(cart.port());
      there.verdicts =
          List.of(TunnelNode.verdict(TunnelNode.WEB_IDENTITY, cart.port(), Decision.INSPECT));
      there.access = onlyPath("/open", "cluster.local/ns/shop/sa/web");
      west.apply(there);
      TunnelNode.Policy policy = east(cart.port());
      policy.requests = true;
      east.apply(policy);
      try (Client client = east.client()) {
        assertThat(client.get("/open").status()).isEqualTo(200);
        assertThat(client.get("/closed").status()).isEqualTo(403);
      }
      assertThat(counted(west, "403"))
          .contains("reporter=\"destination\"")
          .contains("connection_security_policy=\"mutual_tls\"")
          .contains("source_principal=\"spiffe://cluster.local/ns/shop/sa/web\"");
      assertThat(counted(east, "403"))
          .contains("reporter=\"source\"")
          .contains("connection_security_policy=\"unknown\"");
      there.access = onlyPath("/open", "cluster.local/ns/shop/sa/stranger");
      west.apply(there);
      try (Client client = east.client()) {
        assertThat(client.get("/open").status()).isEqualTo(403);
      }
    }
  }

  @Test
  void certificatesMayComeWithThePlanAndBeRenewedByAnotherOne() throws Exception {
    Authority outside = new Authority(directory, "outside" + System.nanoTime());
    Identities.issue(outside, "shop/web");
    Identities.issue(outside, "shop/cart");
    try (RawBackend cart = new RawBackend(RawBackend.named("v1"))) {
      TunnelNode.Policy there = west(cart.port());
      there.secrets = List.of(outside.keyPair("shop/cart"));
      there.authorities = List.of(authority.pem(), outside.pem());
      TunnelNode.Policy here = east(cart.port());
      here.requests = true;
      west.apply(there);
      east.apply(here);
      try (Client before = east.client()) {
        // Files against a plan: east does not believe the authority of west's Secret.
        assertThat(before.get("/").status()).isEqualTo(502);
        here.authorities = List.of(outside.pem());
        east.apply(here);
        assertThat(before.get("/").status()).isEqualTo(200);
        here.secrets = List.of(outside.keyPair("shop/web"));
        east.apply(here);
        for (int i = 0; i < 10; i++) {
          assertThat(before.get("/").status()).isEqualTo(200);
        }
        there.authorities = List.of(outside.pem());
        west.apply(there);
        assertThat(before.get("/").status()).isEqualTo(200);
      }
      assertThat(east.log()).doesNotContain("PRIVATE KEY");
    }
  }

  /** A certificate with the key of another one, as when half of a renewal was copied. */
  private static TlsKeyPair mixed() throws Exception {
    return new TlsKeyPair(
        "shop/web",
        authority.keyPair("shop/web").chainPem(),
        authority.keyPair("shop/stranger").keyPem());
  }

  @Test
  void aPlanWhoseKeyIsNotItsCertificatesIsRefusedAndWhatWasThereStays() throws Exception {
    try (RawBackend cart = new RawBackend(RawBackend.named("v1"))) {
      west.apply(west(cart.port()));
      TunnelNode.Policy policy = east(cart.port());
      policy.requests = true;
      east.apply(policy);
      policy.secrets = List.of(mixed());
      assertThatThrownBy(() -> east.apply(policy))
          .isInstanceOf(UpdateRefusedException.class)
          .hasMessage("Secret shop/web: the key in it is not that of its certificate");
      try (Client client = east.client()) {
        assertThat(client.get("/").status()).isEqualTo(200);
      }
    }
  }

  @Test
  void aFileWhoseKeyIsNotItsCertificatesIsNotTakenAndWhatWasThereStays() throws Exception {
    try (RawBackend cart = new RawBackend(RawBackend.named("v1"))) {
      west.apply(west(cart.port()));
      TunnelNode.Policy policy = east(cart.port());
      policy.requests = true;
      east.apply(policy);
      eastIdentities.put(mixed(), "shop/web");
      until(() -> east.log().contains("cannot be used: the key in it is not that of"));
      try (Client client = east.client()) {
        assertThat(client.get("/").status()).isEqualTo(200);
      }
    }
  }

  /** Where the certificate was shown: what the caller says of itself goes no further. */
  @Test
  void theBackendIsToldOfTheCallersCertificate() throws Exception {
    try (RawBackend cart =
        new RawBackend(
            connection -> {
              for (String head = connection.head(); !head.isEmpty(); head = connection.head()) {
                connection.respond("", head);
              }
            })) {
      TunnelNode.Policy there = west(cart.port());
      there.verdicts =
          List.of(TunnelNode.verdict(TunnelNode.WEB_IDENTITY, cart.port(), Decision.INSPECT));
      there.access = onlyPath("/", "cluster.local/ns/shop/sa/web");
      west.apply(there);
      TunnelNode.Policy policy = east(cart.port());
      policy.requests = true;
      east.apply(policy);
      try (Client client = east.client()) {
        assertThat(
                client
                    .get("/", "x-forwarded-client-cert: URI=spiffe://cluster.local/ns/a/sa/b\r\n")
                    .text()
                    .lines()
                    .filter(line -> line.startsWith("x-forwarded-client-cert: ")))
            .singleElement()
            .asString()
            .matches(
                "x-forwarded-client-cert: By=spiffe://cluster.local/ns/shop/sa/cart;"
                    + "Hash=[0-9a-f]{64};Subject=\"CN=shop/web\";"
                    + "URI=spiffe://cluster.local/ns/shop/sa/web");
      }
    }
  }

  /** The line of requests that were answered with a status. */
  private static String counted(TunnelNode node, String status) {
    return node.proxy
        .metrics()
        .lines()
        .filter(l -> l.startsWith("istio_requests_total{"))
        .filter(l -> l.contains("response_code=\"" + status + "\""))
        .findFirst()
        .orElseThrow();
  }

  @Test
  void whoeverMayBeOneOfSeveralMustSayWhich() throws Exception {
    try (RawBackend cart = new RawBackend(RawBackend.named("v1"))) {
      TunnelNode.Policy there = west(cart.port());
      there.webs = List.of(Address.ofV4(0x0a090001), Address.ofV4(0x0a090002));
      west.apply(there);
      assertThat(status(cart.port())).isEqualTo(200);
      there.apartWebs = true;
      west.apply(there);
      try (Client client = east.client()) {
        // The connection that stands is kept; a new one has to say more.
        assertThat(client.get("/").status()).isEqualTo(200);
      }
      TunnelNode.Policy stranger = west(cart.port());
      stranger.webs = List.of();
      west.apply(stranger);
      try (Client client = east.client()) {
        assertThat(client.get("/").status()).isEqualTo(502);
      }
      assertThat(west.log()).contains("no workload elsewhere has this service account");
    }
  }

  @Test
  void metricsNameTheOneOfSeveralThatItsNodeSaysItIs() throws Exception {
    try (RawBackend cart = new RawBackend(RawBackend.named("v1"))) {
      TunnelNode.Policy there = west(cart.port());
      there.webs = List.of(Address.ofV4(0x0a090001), Address.ofV4(0x0a090002));
      there.lastWebFirst = true;
      west.apply(there);
      assertThat(status(cart.port())).isEqualTo(200);
      assertThat(west.proxy.metrics())
          .contains("istio_tcp_connections_opened_total{", "source_workload=\"web\"")
          .doesNotContain("source_workload=\"web-1\"");
    }
  }
}
