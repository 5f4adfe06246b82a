// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static java.nio.charset.StandardCharsets.US_ASCII;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.weir.policy.plan.AccessPlan;
import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.ProxyPlan.Listener;
import dev.weir.policy.plan.ProxyPlan.Tls;
import dev.weir.policy.plan.TlsKeyPair;
import dev.weir.proxy.tls.Certificates;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.InetAddress;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.SecureRandom;
import java.security.cert.X509Certificate;
import java.util.Base64;
import java.util.List;
import java.util.Optional;
import javax.net.ssl.SNIHostName;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLHandshakeException;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManager;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

@Timeout(60)
final class TlsTest {

  @TempDir Path directory;

  /** A self-signed key pair, as PEM, made by the JDK's keytool. */
  private TlsKeyPair keyPair(String name, String host) throws Exception {
    Path store = directory.resolve(name.replace('/', '-') + System.nanoTime() + ".p12");
    Process keytool =
        new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "keytool").toString(),
                "-genkeypair",
                "-keyalg",
                "EC",
                "-groupname",
                "secp256r1",
                "-alias",
                "key",
                "-dname",
                "CN=" + host,
                "-ext",
                "SAN=DNS:" + host,
                "-storetype",
                "PKCS12",
                "-storepass",
                "changeit",
                "-keystore",
                store.toString())
            .inheritIO()
            .start();
    assertThat(keytool.waitFor()).isZero();
    KeyStore keys = KeyStore.getInstance(store.toFile(), "changeit".toCharArray());
    return new TlsKeyPair(
        name,
        pem("CERTIFICATE", keys.getCertificate("key").getEncoded()),
        pem("PRIVATE KEY", keys.getKey("key", "changeit".toCharArray()).getEncoded()));
  }

  private static String pem(String type, byte[] der) {
    return "-----BEGIN "
        + type
        + "-----\n"
        + Base64.getMimeEncoder(64, new byte[] {'\n'}).encodeToString(der)
        + "\n-----END "
        + type
        + "-----\n";
  }

  private static Listener https(int port, String name, String hostname, String certificate) {
    return new Listener(
        "shop/edge",
        name,
        Optional.of(Address.LOOPBACK4),
        port,
        hostname,
        Optional.of(new Tls(List.of(certificate))),
        List.of(Mesh.route(Mesh.weighted(Mesh.any(), 1))));
  }

  private static void serve(Mesh mesh, int backend, List<TlsKeyPair> keys, Listener... listeners)
      throws Exception {
    mesh.proxy.update(mesh.update(List.of(), List.of(listeners), keys, List.of(), backend));
  }

  private static SSLSocket connect(int port, String serverName, String... protocols)
      throws Exception {
    return connect(port, serverName, new String[] {"http/1.1"}, protocols);
  }

  private static SSLSocket connect(
      int port, String serverName, String[] applications, String... protocols) throws Exception {
    SSLContext context = SSLContext.getInstance("TLS");
    context.init(null, new TrustManager[] {new Authority.TrustAll()}, new SecureRandom());
    SSLSocket socket =
        (SSLSocket) context.getSocketFactory().createSocket(InetAddress.getLoopbackAddress(), port);
    SSLParameters parameters = socket.getSSLParameters();
    parameters.setServerNames(List.of(new SNIHostName(serverName)));
    parameters.setApplicationProtocols(applications);
    parameters.setProtocols(protocols);
    socket.setSSLParameters(parameters);
    socket.startHandshake();
    return socket;
  }

  private static String subject(SSLSocket socket) throws Exception {
    X509Certificate leaf = (X509Certificate) socket.getSession().getPeerCertificates()[0];
    return leaf.getSubjectX500Principal().getName();
  }

  @ParameterizedTest
  @ValueSource(strings = {"TLSv1.2", "TLSv1.3"})
  void tlsEndsHereAndTheBackendGetsPlainHttp(String protocol) throws Exception {
    assertThat(Certificates.boringSsl()).isTrue();
    try (RawBackend backend =
            new RawBackend(
                connection -> {
                  for (String head = connection.head(); !head.isEmpty(); head = connection.head()) {
                    connection.respond("", RawBackend.Connection.value(head, "x-forwarded-proto"));
                  }
                });
        Mesh mesh = new Mesh()) {
      mesh.origin = Optional.empty();
      int port = FreePorts.next();
      serve(
          mesh,
          backend.port(),
          List.of(keyPair("shop/tls", "shop.test")),
          https(port, "https", "", "shop/tls"));
      SSLSocket socket = connect(port, "shop.test", protocol);
      assertThat(socket.getApplicationProtocol()).isEqualTo("http/1.1");
      try (Client client = new Client(socket)) {
        for (int i = 0; i < 10; i++) {
          assertThat(client.get("/", "x-forwarded-proto: http\r\n").text()).isEqualTo("https");
        }
      }
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"TLSv1.2", "TLSv1.3"})
  void aClientThatSpeaksHttp2GetsIt(String protocol) throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh()) {
      mesh.origin = Optional.empty();
      int port = FreePorts.next();
      serve(
          mesh,
          backend.port(),
          List.of(keyPair("shop/tls", "shop.test")),
          https(port, "https", "", "shop/tls"));
      SSLSocket socket = connect(port, "shop.test", new String[] {"h2", "http/1.1"}, protocol);
      assertThat(socket.getApplicationProtocol()).isEqualTo("h2");
      try (Http2Peer client = Http2Peer.client(socket)) {
        client.get(1, "/");
        assertThat(client.answer(1).head()).containsEntry("x-version", "v1");
      }
    }
  }

  @Test
  void withinTlsTheHandshakeSaysWhichVersionIsSpoken() throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh()) {
      mesh.origin = Optional.empty();
      int port = FreePorts.next();
      serve(
          mesh,
          backend.port(),
          List.of(keyPair("shop/tls", "shop.test")),
          https(port, "https", "", "shop/tls"));
      try (Client client = new Client(connect(port, "shop.test", "TLSv1.3"))) {
        client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        assertThat(client.read(false).status()).isEqualTo(400);
      }
    }
  }

  @Test
  void theServerNameChoosesTheCertificate() throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh()) {
      mesh.origin = Optional.empty();
      int port = FreePorts.next();
      serve(
          mesh,
          backend.port(),
          List.of(keyPair("shop/a", "a.test"), keyPair("shop/star", "*.b.test")),
          https(port, "a", "a.test", "shop/a"),
          https(port, "star", "*.b.test", "shop/star"));
      try (SSLSocket socket = connect(port, "a.test", "TLSv1.3")) {
        assertThat(subject(socket)).isEqualTo("CN=a.test");
      }
      try (SSLSocket socket = connect(port, "x.b.test", "TLSv1.3")) {
        assertThat(subject(socket)).isEqualTo("CN=*.b.test");
      }
      assertThatThrownBy(() -> connect(port, "c.test", "TLSv1.3"))
          .isInstanceOfAny(SSLHandshakeException.class, IOException.class);
    }
  }

  /** RFC 9110 7.4 and 15.5.20: the certificate that the client looked at is not this host's. */
  @Test
  void aRequestForAnotherListenersHostIsMisdirected() throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh()) {
      mesh.origin = Optional.empty();
      int port = FreePorts.next();
      serve(
          mesh,
          backend.port(),
          List.of(keyPair("shop/a", "a.test"), keyPair("shop/star", "*.test")),
          https(port, "a", "a.test", "shop/a"),
          https(port, "star", "*.test", "shop/star"));
      try (Client client = new Client(connect(port, "x.test", "TLSv1.3"))) {
        client.send("GET / HTTP/1.1\r\nHost: y.test\r\n\r\n");
        assertThat(client.read(false).status()).isEqualTo(200);
        client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
        assertThat(client.read(false).status()).isEqualTo(421);
        client.send("GET / HTTP/1.1\r\nHost: elsewhere\r\n\r\n");
        assertThat(client.read(false).status()).isEqualTo(404);
      }
    }
  }

  @Test
  void aPolicyMayAskForTheServerName() throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh()) {
      mesh.origin = Optional.empty();
      int port = FreePorts.next();
      AccessPlan access =
          new AccessPlan(
              "cluster.local",
              List.of(
                  new AccessPlan.Policy(
                      3,
                      AccessPlan.Action.DENY,
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
                                          List.of("old.test"),
                                          List.of()))))))),
              List.of(),
              List.of(new AccessPlan.GatewayGuard("shop/edge", List.of(0))));
      mesh.proxy.update(
          AuthorizationTest.with(
              mesh.update(
                  List.of(),
                  List.of(https(port, "https", "", "shop/tls")),
                  List.of(keyPair("shop/tls", "*.test")),
                  List.of(),
                  backend.port()),
              access,
              false));
      assertThat(status(port, "new.test")).contains(" 200 ");
      assertThat(status(port, "old.test")).contains(" 403 ");
    }
  }

  private static String status(int port, String serverName) throws Exception {
    try (SSLSocket socket = connect(port, serverName, "TLSv1.3")) {
      socket
          .getOutputStream()
          .write(("GET / HTTP/1.1\r\nHost: " + serverName + "\r\n\r\n").getBytes(US_ASCII));
      return new BufferedReader(new InputStreamReader(socket.getInputStream(), US_ASCII))
          .readLine();
    }
  }

  @Test
  void aNewCertificateServesNewConnectionsAndOldOnesGoOn() throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh()) {
      mesh.origin = Optional.empty();
      int port = FreePorts.next();
      Listener listener = https(port, "https", "", "shop/tls");
      serve(mesh, backend.port(), List.of(keyPair("shop/tls", "old.test")), listener);
      try (Client before = new Client(connect(port, "old.test", "TLSv1.3"))) {
        assertThat(before.get("/").status()).isEqualTo(200);
        serve(mesh, backend.port(), List.of(keyPair("shop/tls", "new.test")), listener);
        assertThat(before.get("/").status()).isEqualTo(200);
      }
      try (SSLSocket socket = connect(port, "old.test", "TLSv1.3")) {
        assertThat(subject(socket)).isEqualTo("CN=new.test");
      }
    }
  }

  @Test
  void oldVersionsAreRefused() throws Exception {
    try (Mesh mesh = new Mesh()) {
      mesh.origin = Optional.empty();
      int port = FreePorts.next();
      serve(
          mesh, 1, List.of(keyPair("shop/tls", "shop.test")), https(port, "https", "", "shop/tls"));
      try (Client client = new Client(port)) {
        client.socket().getOutputStream().write(helloOfTls11());
        // RFC 5246 7.2: a fatal alert, protocol_version.
        assertThat(client.in().readNBytes(7)).startsWith(21).endsWith(2, 70);
        assertThat(client.closed()).isTrue();
      }
      assertThat(mesh.proxy.metrics()).contains("weir_proxy_tls_handshakes_failed_total 1\n");
    }
  }

  /** RFC 4346 7.4.1.2; the JDK's own client would not send one. */
  private static byte[] helloOfTls11() {
    byte[] body = new byte[2 + 32 + 1 + 2 + 4 + 2];
    ByteBuffer.wrap(body)
        .putShort((short) 0x0302)
        .position(35)
        .putShort((short) 4)
        .putShort((short) 0xc013)
        .putShort((short) 0x002f)
        .put((byte) 1)
        .put((byte) 0);
    return ByteBuffer.allocate(9 + body.length)
        .put((byte) 22)
        .putShort((short) 0x0301)
        .putShort((short) (4 + body.length))
        .putInt(1 << 24 | body.length)
        .put(body)
        .array();
  }
}
