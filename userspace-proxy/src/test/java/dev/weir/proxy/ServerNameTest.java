// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static java.nio.charset.StandardCharsets.US_ASCII;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.weir.policy.plan.AccessPlan;
import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.ProxyPlan.L4Route;
import dev.weir.policy.plan.ProxyPlan.Listener;
import dev.weir.policy.plan.ProxyPlan.ListenerProtocol;
import dev.weir.policy.plan.ProxyPlan.Tls;
import dev.weir.policy.plan.Verdict;
import dev.weir.proxy.listen.OriginSource;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import javax.net.ssl.SNIHostName;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.SSLException;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.SSLSocket;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** TLS connections that are led on by their server name. */
@Timeout(60)
final class ServerNameTest {

  @TempDir static Path directory;

  private static Authority authority;

  @BeforeAll
  static void issue() throws Exception {
    authority = new Authority(directory, "names");
    authority.issue("a", "DNS:a.test").issue("b", "DNS:b.test");
  }

  private static RawBackend tls(String alias) throws Exception {
    return new RawBackend(authority.listen(alias), RawBackend.named(alias));
  }

  private static L4Route to(int cluster, String... hostnames) {
    int[] weights = new int[cluster + 1];
    Arrays.fill(weights, -1);
    weights[cluster] = 1;
    return Streams.route("to-" + cluster, List.of(hostnames), weights);
  }

  private static Listener passthrough(int port, String name, String hostname, L4Route... routes) {
    return Streams.listener(
        port, name, hostname, ListenerProtocol.TLS_PASSTHROUGH, List.of(), routes);
  }

  private static String answer(SSLSocket socket) throws Exception {
    try (Client client = new Client(socket)) {
      return client.get("/").header("x-version");
    }
  }

  /** The ClientHello of the JDK for a name. */
  private static byte[] hello(String serverName) throws Exception {
    SSLEngine engine = SSLContext.getDefault().createSSLEngine();
    engine.setUseClientMode(true);
    SSLParameters parameters = engine.getSSLParameters();
    parameters.setServerNames(List.of(new SNIHostName(serverName)));
    engine.setSSLParameters(parameters);
    ByteBuffer out = ByteBuffer.allocate(20_000);
    engine.wrap(ByteBuffer.allocate(0), out);
    byte[] bytes = new byte[out.flip().remaining()];
    out.get(bytes);
    return bytes;
  }

  @Test
  void theServerNameChoosesTheBackendWhoseTlsItIs() throws Exception {
    try (RawBackend a = tls("a");
        RawBackend b = tls("b");
        Mesh mesh = new Mesh()) {
      int port = FreePorts.next();
      Streams.gateway(
          mesh,
          List.of(passthrough(port, "tls", "", to(0, "a.test"), to(1, "*.b.test", "b.test"))),
          List.of(),
          a.port(),
          b.port());
      for (String name : List.of("a.test", "A.test")) {
        try (SSLSocket socket = Authority.connect(port, name)) {
          assertThat(Authority.subject(socket)).isEqualTo("a");
          assertThat(answer(socket)).isEqualTo("a");
        }
      }
      for (String name : List.of("b.test", "x.b.test", "x.y.b.test")) {
        try (SSLSocket socket = Authority.connect(port, name)) {
          assertThat(Authority.subject(socket)).isEqualTo("b");
        }
      }
      assertThat(mesh.proxy.metrics()).contains("weir_proxy_tls_handshakes_failed_total 0\n");
    }
  }

  /** RFC 6066 3, RFC 8446 6.2: the fatal alert 112. */
  @Test
  void aNameThatNobodyHasGetsTheAlert() throws Exception {
    try (RawBackend a = tls("a");
        Mesh mesh = new Mesh()) {
      int port = FreePorts.next();
      for (Listener listener :
          List.of(
              passthrough(port, "tls", "", to(0, "a.test")),
              passthrough(port, "tls", "a.test", to(0, "a.test")))) {
        Streams.gateway(mesh, List.of(listener), List.of(), a.port());
        try (Client client = new Client(port)) {
          client.socket().getOutputStream().write(hello("c.test"));
          assertThat(client.in().readNBytes(7)).containsExactly(21, 3, 3, 0, 2, 2, 112);
          assertThat(client.closed()).isTrue();
        }
        assertThatThrownBy(() -> Authority.connect(port, "c.test"))
            .isInstanceOf(SSLException.class)
            .hasMessageContaining("unrecognized_name");
      }
      assertThat(a.accepted()).isZero();
      assertThat(mesh.proxy.metrics())
          .contains("weir_proxy_connections_refused_total{reason=\"no_route\"} 4\n");
    }
  }

  @Test
  void withoutANameOnlyARouteForAllServes() throws Exception {
    try (RawBackend a = tls("a");
        RawBackend b = tls("b");
        Mesh mesh = new Mesh()) {
      int port = FreePorts.next();
      Streams.gateway(
          mesh,
          List.of(passthrough(port, "tls", "", to(0, "a.test"), to(1))),
          List.of(),
          a.port(),
          b.port());
      try (SSLSocket socket = Authority.connect(port, "")) {
        assertThat(Authority.subject(socket)).isEqualTo("b");
      }
    }
  }

  @Test
  void aHelloMayComeByteByByteAndInSeveralRecords() throws Exception {
    try (RawBackend a = tls("a");
        Mesh mesh = new Mesh()) {
      int port = FreePorts.next();
      Streams.gateway(
          mesh, List.of(passthrough(port, "tls", "", to(0, "a.test"))), List.of(), a.port());
      byte[] whole = hello("a.test");
      // RFC 8446 5.1: handshake messages may be fragmented over records.
      ByteArrayOutputStream records = new ByteArrayOutputStream();
      for (int at = 5; at < whole.length; at += 50) {
        int length = Math.min(50, whole.length - at);
        records.write(new byte[] {22, 3, 1, 0, (byte) length});
        records.write(whole, at, length);
      }
      try (Client client = new Client(port)) {
        OutputStream out = client.socket().getOutputStream();
        for (byte one : records.toByteArray()) {
          out.write(one);
        }
        // The backend's ServerHello, in a handshake record.
        assertThat(client.in().read()).isEqualTo(22);
      }
      assertThat(a.accepted()).isEqualTo(1);
    }
  }

  @Test
  void whatIsNoTlsIsClosed() throws Exception {
    try (RawBackend a = tls("a");
        Mesh mesh = new Mesh()) {
      int port = FreePorts.next();
      Streams.gateway(mesh, List.of(passthrough(port, "tls", "", to(0))), List.of(), a.port());
      try (Client client = new Client(port)) {
        client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
        assertThat(client.closed()).isTrue();
      }
      assertThat(a.accepted()).isZero();
      assertThat(mesh.proxy.metrics()).contains("weir_proxy_tls_handshakes_failed_total 1\n");
    }
  }

  @Test
  void aHelloThatDoesNotComeIsNotWaitedForForever() throws Exception {
    try (Mesh mesh = new Mesh()) {
      int port = FreePorts.next();
      Streams.gateway(mesh, List.of(passthrough(port, "tls", "", to(0))), List.of(), 1);
      try (Client client = new Client(port)) {
        client.socket().getOutputStream().write(hello("a.test"), 0, 40);
        long before = System.nanoTime();
        assertThat(client.closed()).isTrue();
        assertThat((System.nanoTime() - before) / 1_000_000_000).isBetween(8L, 12L);
      }
      assertThat(mesh.proxy.metrics()).contains("weir_proxy_tls_handshakes_failed_total 1\n");
    }
  }

  @Test
  void onePortMayEndTlsForOneNameAndLeadItOnForAnother() throws Exception {
    try (RawBackend plain = new RawBackend(RawBackend.named("plain"));
        RawBackend b = tls("b");
        Mesh mesh = new Mesh()) {
      int port = FreePorts.next();
      Streams.gateway(
          mesh,
          List.of(
              new Listener(
                  "shop/edge",
                  "https",
                  Optional.of(Address.LOOPBACK4),
                  port,
                  "a.test",
                  Optional.of(new Tls(List.of("shop/a"))),
                  List.of(Mesh.route(Mesh.weighted(Mesh.any(), 1)))),
              passthrough(port, "tls", "b.test", to(1))),
          List.of(authority.keyPair("a")),
          plain.port(),
          b.port());
      try (SSLSocket socket = Authority.connect(port, "a.test")) {
        assertThat(Authority.subject(socket)).isEqualTo("a");
        socket.getOutputStream().write("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n".getBytes(US_ASCII));
        assertThat(new Client(socket).read(false).header("x-version")).isEqualTo("plain");
      }
      try (SSLSocket socket = Authority.connect(port, "b.test")) {
        assertThat(Authority.subject(socket)).isEqualTo("b");
        assertThat(answer(socket)).isEqualTo("b");
      }
    }
  }

  @Test
  void tlsMayEndHereAndTheBackendGetsBytes() throws Exception {
    try (RawBackend plain = new RawBackend(RawBackend.named("plain"));
        Mesh mesh = new Mesh()) {
      int port = FreePorts.next();
      Streams.gateway(
          mesh,
          List.of(
              Streams.listener(
                  port, "tls", "", ListenerProtocol.TLS_TERMINATE, List.of("shop/a"), to(0))),
          List.of(authority.keyPair("a")),
          plain.port());
      try (SSLSocket socket = Authority.connect(port, "a.test")) {
        assertThat(Authority.subject(socket)).isEqualTo("a");
        assertThat(answer(socket)).isEqualTo("plain");
      }
    }
  }

  @Test
  void aServicesConnectionsAreLedByServerName() throws Exception {
    try (RawBackend a = tls("a");
        RawBackend b = tls("b");
        Mesh mesh = new Mesh()) {
      mesh.proxy.update(
          Streams.service(
              mesh,
              List.of(to(0, "a.test"), to(1, "b.test")),
              List.of(Mesh.verdict(8, a.port()), Mesh.verdict(8, b.port())),
              a.port(),
              b.port()));
      try (SSLSocket socket = Authority.connect(mesh.port, "b.test")) {
        assertThat(Authority.subject(socket)).isEqualTo("b");
      }
      mesh.origin = Optional.of(new OriginSource.Handover(Mesh.VIP, 80, Mesh.STRANGER));
      assertThatThrownBy(() -> Authority.connect(mesh.port, "b.test"))
          .isInstanceOf(IOException.class);
      assertThat(mesh.proxy.metrics())
          .contains("weir_proxy_connections_refused_total{reason=\"verdict\"} 1\n");
    }
  }

  @Test
  void anAuthorizationPolicyIsAskedAboutTheConnection() throws Exception {
    try (RawBackend a = tls("a");
        Mesh mesh = new Mesh()) {
      AccessPlan access =
          new AccessPlan(
              "cluster.local",
              List.of(
                  new AccessPlan.Policy(
                      3,
                      AccessPlan.Action.ALLOW,
                      false,
                      List.of(
                          new AccessPlan.Clause(
                              4,
                              List.of(),
                              List.of(),
                              new AccessPlan.Term(
                                  List.of(
                                      new AccessPlan.Condition(
                                          AccessPlan.Attribute.CONNECTION_SNI,
                                          List.of(),
                                          List.of("a.test"),
                                          List.of()))))))),
              List.of(new AccessPlan.Guard(8, List.of(new AccessPlan.Bound(0, List.of(a.port()))))),
              List.of());
      mesh.proxy.update(
          AuthorizationTest.with(
              Streams.service(
                  mesh,
                  List.of(to(0, "*.test")),
                  List.of(new Verdict(0, 10, Protocol.TCP, a.port(), Verdict.Decision.INSPECT, 2)),
                  a.port()),
              access,
              false));
      try (SSLSocket socket = Authority.connect(mesh.port, "a.test")) {
        assertThat(Authority.subject(socket)).isEqualTo("a");
      }
      assertThatThrownBy(() -> Authority.connect(mesh.port, "b.test"))
          .isInstanceOf(IOException.class);
      assertThat(a.accepted()).isEqualTo(1);
      assertThat(mesh.log()).contains("may not connect to shop/cart-v1", "(authz.yaml:3)");
    }
  }
}
