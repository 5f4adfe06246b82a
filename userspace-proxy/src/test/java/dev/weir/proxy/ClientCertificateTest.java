// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static java.nio.charset.StandardCharsets.US_ASCII;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.ProxyPlan.ClientTrust;
import dev.weir.policy.plan.ProxyPlan.Listener;
import dev.weir.policy.plan.ProxyPlan.ListenerProtocol;
import dev.weir.policy.plan.ProxyPlan.Tls;
import dev.weir.policy.plan.TlsKeyPair;
import dev.weir.proxy.tls.ClientCertificates;
import java.io.IOException;
import java.net.InetAddress;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.cert.CertificateException;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneId;
import java.time.format.DateTimeFormatter;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import javax.net.ssl.SNIHostName;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.SSLSocket;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Listeners that ask their clients for certificates (GEP-91). */
@Timeout(60)
final class ClientCertificateTest {

  @TempDir static Path directory;

  private static Authority ours;
  private static Authority other;
  private static TlsKeyPair edge;

  @BeforeAll
  static void issue() throws Exception {
    ours =
        new Authority(directory, "ours")
            .issue("edge", "DNS:*.test")
            .issue("phone", "URI:spiffe://shop/phone", "-validity", "30")
            .issue("ended", "DNS:ended.test", "-startdate", "-3d", "-validity", "1")
            .issue("server", "DNS:server.test", "-ext", "eku=serverAuth")
            .issue(
                "odd",
                "DNS:odd.test,DNS:b.test",
                "-dname",
                "CN=a\\\"\\;URI=spiffe://shop/admin\\,b\\\\, O=\u00e4")
            .issue("between", "DNS:between.test", "-ext", "bc:c")
            .issue("below", "DNS:below.test", "-signer", "between");
    other = new Authority(directory, "other").issue("phone", "URI:spiffe://shop/phone");
    edge = ours.keyPair("edge");
  }

  private static Optional<ClientTrust> by(Authority authority) throws Exception {
    return Optional.of(new ClientTrust(List.of(authority.pem()), true));
  }

  private static Listener listener(int port, String host, Optional<ClientTrust> clients) {
    return new Listener(
        "shop/edge",
        "l" + host,
        Optional.of(Address.LOOPBACK4),
        port,
        host,
        Optional.of(new Tls(List.of(edge.name()), clients)),
        List.of(Mesh.route(Mesh.weighted(Mesh.any(), 1))));
  }

  private static void serve(Mesh mesh, int backend, Listener... listeners) throws Exception {
    mesh.origin = Optional.empty();
    mesh.proxy.update(
        mesh.update(List.of(), List.of(listeners), List.of(edge), List.of(), backend));
  }

  private static SSLSocket connect(SSLContext context, int port, String name, String... protocols)
      throws IOException {
    SSLSocket socket =
        (SSLSocket) context.getSocketFactory().createSocket(InetAddress.getLoopbackAddress(), port);
    socket.setSoTimeout(15_000);
    SSLParameters parameters = socket.getSSLParameters();
    parameters.setApplicationProtocols(new String[] {"http/1.1"});
    if (!name.isEmpty()) {
      parameters.setServerNames(List.of(new SNIHostName(name)));
    }
    if (protocols.length > 0) {
      parameters.setProtocols(protocols);
    }
    socket.setSSLParameters(parameters);
    return socket;
  }

  /** What a request is answered; 0 when the connection ends, as it does where TLS is refused. */
  private static int status(SSLContext context, int port, String... protocols) throws IOException {
    try (SSLSocket socket = connect(context, port, "a.test", protocols)) {
      return status(socket, "a.test");
    }
  }

  private static int status(SSLSocket socket, String host) {
    try {
      socket
          .getOutputStream()
          .write(("GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n").getBytes(US_ASCII));
      return new Client(socket).read(false).status();
    } catch (IOException e) {
      return 0;
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"TLSv1.2", "TLSv1.3"})
  void onlyWhoShowsOneByTheListenersAuthorityIsLetIn(String protocol) throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh()) {
      int port = FreePorts.next();
      serve(mesh, backend.port(), listener(port, "", by(ours)));
      assertThat(status(ours.client("phone"), port, protocol)).isEqualTo(200);
      assertThat(status(Authority.client(), port, protocol)).isZero();
      assertThat(status(other.client("phone"), port, protocol)).isZero();
      assertThat(status(ours.client("ended"), port, protocol)).isZero();
      assertThat(status(ours.client("server"), port, protocol)).isZero();
      assertThat(status(ours.client("below"), port, protocol)).isEqualTo(200);
      assertThat(mesh.proxy.metrics()).contains("weir_proxy_client_certificates_refused_total 4\n");
      assertThat(mesh.log())
          .contains("it showed no certificate")
          .contains("CN=phone: none of the listener's authorities has signed it")
          .contains("CN=ended: ended at ")
          .contains("CN=server: its extendedKeyUsage is without clientAuth");
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"TLSv1.2", "TLSv1.3"})
  void whereThatIsAllowedWhoShowsNoGoodOneIsLetInAsWell(String protocol) throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh()) {
      int port = FreePorts.next();
      serve(
          mesh,
          backend.port(),
          listener(port, "", Optional.of(new ClientTrust(List.of(ours.pem()), false))));
      for (SSLContext client :
          List.of(
              ours.client("phone"),
              Authority.client(),
              other.client("phone"),
              ours.client("ended"))) {
        assertThat(status(client, port, protocol)).isEqualTo(200);
      }
    }
  }

  @Test
  void withoutAnAuthorityNobodyIsLetIn() throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh()) {
      int port = FreePorts.next();
      serve(
          mesh, backend.port(), listener(port, "", Optional.of(new ClientTrust(List.of(), true))));
      assertThat(status(ours.client("phone"), port)).isZero();
      assertThat(status(Authority.client(), port)).isZero();
    }
  }

  /** The handshake looks at no certificate then, but whoever asks for requests does. */
  @ParameterizedTest
  @ValueSource(strings = {"TLSv1.2", "TLSv1.3"})
  void neitherAConnectionNorAResumedSessionOutlivesItsCertificate(String protocol)
      throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh()) {
      int port = FreePorts.next();
      serve(mesh, backend.port(), listener(port, "", by(ours)));
      // As short as it may be where keytool is slow.
      for (int seconds = 4; ; seconds *= 2) {
        String alias = "brief" + protocol + seconds;
        Instant ends = Instant.now().plusSeconds(seconds);
        ours.issue(
            alias,
            "DNS:brief.test",
            "-startdate",
            DateTimeFormatter.ofPattern("yyyy/MM/dd HH:mm:ss")
                .format(ends.minus(Duration.ofDays(1)).atZone(ZoneId.systemDefault())),
            "-validity",
            "1");
        SSLContext client = ours.client(alias);
        try (SSLSocket open = connect(client, port, "a.test", protocol)) {
          if (status(open, "a.test") != 200) {
            continue;
          }
          assertThat(status(client, port, protocol)).isEqualTo(200);
          while (Instant.now().isBefore(ends.plusSeconds(1))) {
            Thread.sleep(50);
          }
          assertThat(status(open, "a.test")).isEqualTo(421);
          try (SSLSocket again = connect(client, port, "a.test", protocol)) {
            assertThat(status(again, "a.test")).isIn(0, 421);
          }
          return;
        }
      }
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"TLSv1.2", "TLSv1.3"})
  void aSessionFromBeforeIsOfNoUseWhenOtherAuthoritiesAreBelieved(String protocol)
      throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh()) {
      int port = FreePorts.next();
      serve(mesh, backend.port(), listener(port, "", Optional.empty()));
      SSLContext nobody = Authority.client();
      assertThat(status(nobody, port, protocol)).isEqualTo(200);
      serve(mesh, backend.port(), listener(port, "", by(ours)));
      assertThat(status(nobody, port, protocol)).isZero();
      SSLContext phone = ours.client("phone");
      assertThat(status(phone, port, protocol)).isEqualTo(200);
      serve(mesh, backend.port(), listener(port, "", by(other)));
      assertThat(status(phone, port, protocol)).isZero();
      assertThat(status(other.client("phone"), port, protocol)).isEqualTo(200);
    }
  }

  @Test
  void openConnectionsMeetTheAuthoritiesOfTheNewPlan() throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh()) {
      int port = FreePorts.next();
      serve(mesh, backend.port(), listener(port, "", Optional.empty()));
      try (SSLSocket nobody = connect(Authority.client(), port, "a.test")) {
        assertThat(status(nobody, "a.test")).isEqualTo(200);
        serve(mesh, backend.port(), listener(port, "", by(ours)));
        assertThat(status(nobody, "a.test")).isEqualTo(421);
        try (SSLSocket phone = connect(ours.client("phone"), port, "a.test")) {
          assertThat(status(phone, "a.test")).isEqualTo(200);
          serve(
              mesh,
              backend.port(),
              listener(
                  port, "", Optional.of(new ClientTrust(List.of(other.pem(), ours.pem()), true))));
          assertThat(status(phone, "a.test")).isEqualTo(200);
          serve(mesh, backend.port(), listener(port, "", by(other)));
          assertThat(status(phone, "a.test")).isEqualTo(421);
          serve(mesh, backend.port(), listener(port, "", Optional.empty()));
          assertThat(status(phone, "a.test")).isEqualTo(200);
        }
      }
    }
  }

  /** Without a server name the handshake is another listener's. */
  @Test
  void aListenerThatAsksIsNotReachedByAnotherOnesHandshake() throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh()) {
      int port = FreePorts.next();
      serve(
          mesh,
          backend.port(),
          listener(port, "open.test", Optional.empty()),
          listener(port, "asks.test", by(ours)));
      for (String host : List.of("open.test", "asks.test")) {
        try (SSLSocket socket = connect(Authority.client(), port, "")) {
          assertThat(status(socket, host)).isNotEqualTo(host.equals("asks.test") ? 200 : -1);
        }
        try (SSLSocket socket = connect(Authority.client(), port, "open.test")) {
          assertThat(status(socket, host)).isEqualTo(host.equals("asks.test") ? 421 : 200);
        }
      }
    }
  }

  @Test
  void bytesOfTlsThatEndsHereAreLedOnOnlyForWhoShowsOne() throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh()) {
      mesh.origin = Optional.empty();
      int port = FreePorts.next();
      mesh.proxy.update(
          mesh.update(
              List.of(),
              List.of(
                  new Listener(
                      "shop/edge",
                      "bytes",
                      Optional.of(Address.LOOPBACK4),
                      port,
                      "",
                      ListenerProtocol.TLS_TERMINATE,
                      Optional.of(new Tls(List.of(edge.name()), by(ours))),
                      List.of(),
                      List.of(Streams.route("bytes", List.of(), 1)))),
              List.of(edge),
              List.of(),
              backend.port()));
      assertThat(status(ours.client("phone"), port)).isEqualTo(200);
      assertThat(status(Authority.client(), port)).isZero();
      assertThat(status(other.client("phone"), port)).isZero();
    }
  }

  /** What the backend got of x-forwarded-client-cert, and of what reads like it. */
  private static List<String> told(SSLContext context, int port) throws IOException {
    try (SSLSocket socket = connect(context, port, "a.test")) {
      Client client = new Client(socket);
      return client
          .get(
              "/",
              String.join(
                  "\r\n",
                  "X-Forwarded-Client-Cert: Hash=00;URI=spiffe://a",
                  "x-forwarded-client-cert: URI=spiffe://b",
                  "X_Forwarded_Client_Cert: URI=spiffe://c",
                  "x-forwarded_client-cert: URI=spiffe://d",
                  ""))
          .text()
          .lines()
          .filter(
              line ->
                  line.toLowerCase(Locale.ROOT).replace('_', '-').startsWith("x-forwarded-client"))
          .toList();
    }
  }

  @Test
  void theBackendIsToldOfACertificateThatIsBelievedAndOfNoOther() throws Exception {
    try (RawBackend backend =
            new RawBackend(
                connection -> {
                  for (String head = connection.head(); !head.isEmpty(); head = connection.head()) {
                    connection.respond("", head);
                  }
                });
        Mesh mesh = new Mesh()) {
      int port = FreePorts.next();
      serve(
          mesh,
          backend.port(),
          listener(port, "", Optional.of(new ClientTrust(List.of(ours.pem()), false))));
      byte[] hash =
          MessageDigest.getInstance("SHA-256").digest(ours.chain("phone").getFirst().getEncoded());
      assertThat(told(ours.client("phone"), port))
          .containsExactly(
              "x-forwarded-client-cert: Hash="
                  + HexFormat.of().formatHex(hash)
                  + ";Subject=\"CN=phone\";URI=spiffe://shop/phone");
      assertThat(told(ours.client("odd"), port))
          .singleElement()
          .asString()
          .endsWith(
              ";Subject=\"CN=a\\\"\\;URI\\=spiffe://shop/admin\\,b\\5C,O=\\C3\\A4\";URI=;DNS=odd.test;DNS=b.test");
      assertThat(told(other.client("phone"), port)).isEmpty();
      assertThat(told(ours.client("ended"), port)).isEmpty();
      assertThat(told(Authority.client(), port)).isEmpty();
      serve(mesh, backend.port(), listener(port, "", Optional.empty()));
      assertThat(told(ours.client("phone"), port)).isEmpty();
    }
  }

  @Test
  void aCertificateIsGoodFromItsBeginningToItsEnd() throws Exception {
    ClientCertificates rules = new ClientCertificates(by(ours).orElseThrow());
    List<X509Certificate> shown = ours.chain("phone");
    Instant ends = shown.getFirst().getNotAfter().toInstant();
    Instant begins = shown.getFirst().getNotBefore().toInstant();
    rules.check(shown, ends);
    assertThatThrownBy(() -> rules.check(shown, ends.plus(Duration.ofSeconds(1))))
        .isInstanceOf(CertificateException.class)
        .hasMessageContaining("ended at");
    assertThatThrownBy(() -> rules.check(shown, begins.minus(Duration.ofSeconds(1))))
        .isInstanceOf(CertificateException.class)
        .hasMessageContaining("begins at");
  }

  /** Any leaf could sign another one otherwise. */
  @Test
  void whoMayNotSignIsNoAuthority() throws Exception {
    ClientCertificates rules =
        new ClientCertificates(new ClientTrust(List.of(ours.pem("phone")), true));
    assertThatThrownBy(() -> rules.check(ours.chain("phone"), Instant.now()))
        .isInstanceOf(CertificateException.class);
  }

  @Test
  void anAuthorityBelowAnotherMayBeTheOneToBelieve() throws Exception {
    ClientCertificates rules =
        new ClientCertificates(new ClientTrust(List.of(ours.pem("between")), true));
    rules.check(ours.chain("below"), Instant.now());
    assertThatThrownBy(() -> rules.check(ours.chain("phone"), Instant.now()))
        .isInstanceOf(CertificateException.class);
  }
}
