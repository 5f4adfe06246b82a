// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static java.nio.charset.StandardCharsets.US_ASCII;
import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.ProxyPlan.BackendTls;
import dev.weir.policy.plan.ProxyPlan.ListenerProtocol;
import dev.weir.policy.plan.ProxyPlan.SubjectAltName;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import javax.net.ssl.ExtendedSSLSession;
import javax.net.ssl.SSLSocket;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Backends that are dialled with TLS, and must be whom the policy says. */
@Timeout(60)
final class BackendTlsTest {

  @TempDir static Path directory;

  private static Authority authority;
  private static Authority other;

  @BeforeAll
  static void issue() throws Exception {
    authority = new Authority(directory, "right");
    authority
        .issue("cart", "DNS:cart.test,URI:spiffe://cluster.local/ns/shop/sa/cart")
        .issue("star", "DNS:*.cart.test")
        .issue("label", "DNS:cart")
        .issue("expired", "DNS:cart.test", "-startdate", "-10d", "-validity", "5")
        .issue("early", "DNS:cart.test", "-startdate", "+5d");
    other = new Authority(directory, "wrong");
    other.issue("cart", "DNS:cart.test");
  }

  private static BackendTls trusting(String hostname, SubjectAltName... names) throws Exception {
    return new BackendTls(hostname, List.of(names), false, List.of(authority.pem()));
  }

  private static RawBackend backend(Authority by, String alias) throws Exception {
    return new RawBackend(by.listen(alias), RawBackend.named(alias));
  }

  private static void serve(Mesh mesh, BackendTls tls, RawBackend backend) throws Exception {
    mesh.proxy.update(
        Streams.dialled(
            mesh.update(
                List.of(Mesh.route(Mesh.weighted(Mesh.any(), 1))),
                List.of(),
                List.of(),
                List.of(),
                backend.port()),
            tls));
  }

  private static int status(BackendTls tls, RawBackend backend, String... logged) throws Exception {
    try (backend;
        Mesh mesh = new Mesh()) {
      serve(mesh, tls, backend);
      try (Client client = mesh.client()) {
        int status = client.get("/").status();
        for (String part : logged) {
          assertThat(mesh.log()).contains(part);
        }
        assertThat(mesh.proxy.metrics())
            .contains(
                "weir_proxy_upstream_tls_handshakes_failed_total "
                    + (status == 200 ? 0 : 1)
                    + "\n");
        return status;
      }
    }
  }

  @Test
  void theServerNameIsThePolicysAndConnectionsAreKept() throws Exception {
    Set<String> names = ConcurrentHashMap.newKeySet();
    try (RawBackend backend =
            new RawBackend(
                authority.listen("cart"),
                connection -> {
                  ((SSLSocket) connection.socket).startHandshake();
                  ((ExtendedSSLSession) ((SSLSocket) connection.socket).getSession())
                      .getRequestedServerNames()
                      .forEach(name -> names.add(new String(name.getEncoded(), US_ASCII)));
                  RawBackend.named("v1").serve(connection);
                });
        Mesh mesh = new Mesh()) {
      serve(mesh, trusting("cart.test"), backend);
      for (int i = 0; i < 3; i++) {
        try (Client client = mesh.client()) {
          assertThat(client.get("/").header("x-version")).isEqualTo("v1");
        }
      }
      assertThat(names).containsExactly("cart.test");
      assertThat(backend.accepted()).isEqualTo(1);
    }
  }

  @Test
  void aNameWithoutADotIsSentAndComparedToo() throws Exception {
    assertThat(status(trusting("cart"), backend(authority, "label"))).isEqualTo(200);
  }

  @Test
  void aCertificateOfAnotherAuthorityIsRefused() throws Exception {
    assertThat(status(trusting("cart.test"), backend(other, "cart"), "TLS failed")).isEqualTo(502);
  }

  @Test
  void aCertificateForAnotherNameIsRefused() throws Exception {
    assertThat(status(trusting("other.test"), backend(authority, "cart"), "TLS failed"))
        .isEqualTo(502);
  }

  @Test
  void aStarStandsForOneLabel() throws Exception {
    assertThat(status(trusting("a.cart.test"), backend(authority, "star"))).isEqualTo(200);
    assertThat(status(trusting("a.b.cart.test"), backend(authority, "star"))).isEqualTo(502);
    assertThat(status(trusting("cart.test"), backend(authority, "star"))).isEqualTo(502);
  }

  @Test
  void aCertificateOutOfItsTimeIsRefused() throws Exception {
    assertThat(status(trusting("cart.test"), backend(authority, "expired"), "TLS failed"))
        .isEqualTo(502);
    assertThat(status(trusting("cart.test"), backend(authority, "early"), "TLS failed"))
        .isEqualTo(502);
  }

  /** The JDK's path validation asks nothing of a certificate that is an authority by itself. */
  @Test
  void anExpiredCertificateIsRefusedAlsoWhenItIsTheAuthority() throws Exception {
    BackendTls itself =
        new BackendTls("cart.test", List.of(), false, List.of(authority.pem("expired")));
    assertThat(status(itself, backend(authority, "expired"), "TLS failed")).isEqualTo(502);
    BackendTls good = new BackendTls("cart.test", List.of(), false, List.of(authority.pem("cart")));
    assertThat(status(good, backend(authority, "cart"))).isEqualTo(200);
  }

  @Test
  void alternativeNamesStandInForTheHostname() throws Exception {
    SubjectAltName id = new SubjectAltName(true, "spiffe://cluster.local/ns/shop/sa/cart");
    SubjectAltName stranger = new SubjectAltName(true, "spiffe://cluster.local/ns/shop/sa/car");
    SubjectAltName dns = new SubjectAltName(false, "cart.test");
    assertThat(status(trusting("sni.test", id), backend(authority, "cart"))).isEqualTo(200);
    assertThat(status(trusting("sni.test", stranger, dns), backend(authority, "cart")))
        .isEqualTo(200);
    // Its hostname would do, but is not what is asked for.
    assertThat(status(trusting("cart.test", stranger), backend(authority, "cart"))).isEqualTo(502);
  }

  @Test
  void aUriIsNoDnsName() throws Exception {
    assertThat(
            status(
                trusting("sni.test", new SubjectAltName(true, "cart.test")),
                backend(authority, "cart")))
        .isEqualTo(502);
  }

  @Test
  void withoutAnAuthorityEveryConnectionFails() throws Exception {
    for (List<String> none : List.of(List.<String>of(), List.of("no certificate"))) {
      BackendTls nobody = new BackendTls("cart.test", List.of(), false, none);
      try (RawBackend backend = backend(authority, "cart");
          Mesh mesh = new Mesh()) {
        serve(mesh, nobody, backend);
        try (Client client = mesh.client()) {
          assertThat(client.get("/").status()).isEqualTo(502);
        }
        assertThat(mesh.log()).contains("the BackendTLSPolicy for cart.test");
        assertThat(backend.accepted()).isZero();
      }
    }
  }

  @Test
  void theSystemsAuthoritiesDoNotVouchForOurs() throws Exception {
    assertThat(
            status(
                new BackendTls("cart.test", List.of(), true, List.of()),
                backend(authority, "cart"),
                "TLS failed"))
        .isEqualTo(502);
  }

  /** A connection that was made for one policy serves no request under another. */
  @Test
  void connectionsArePooledByPolicy() throws Exception {
    try (RawBackend backend = backend(authority, "cart");
        Mesh mesh = new Mesh()) {
      serve(mesh, trusting("cart.test"), backend);
      try (Client client = mesh.client()) {
        assertThat(client.get("/").status()).isEqualTo(200);
        serve(mesh, trusting("cart.test"), backend);
        assertThat(client.get("/").status()).isEqualTo(200);
        assertThat(backend.accepted()).isEqualTo(1);
        serve(mesh, trusting("other.test"), backend);
        assertThat(client.get("/").status()).isEqualTo(502);
        serve(mesh, trusting("cart.test"), backend);
        assertThat(client.get("/").status()).isEqualTo(200);
      }
    }
  }

  @Test
  void aBackendThatDoesNotSpeakTlsIsA502() throws Exception {
    assertThat(
            status(
                trusting("cart.test"),
                new RawBackend(connection -> connection.send("220 ready\r\n")),
                "TLS failed"))
        .isEqualTo(502);
  }

  /** RFC 9112 9.8: without close_notify a response that ends with its connection may be cut. */
  @Test
  void aResponseThatIsCutShortIsNotTakenForWhole() throws Exception {
    for (boolean said : List.of(true, false)) {
      try (RawBackend backend =
              new RawBackend(
                  connection -> {
                    SSLSocket tls = authority.layered("cart", connection.socket);
                    RawBackend.Connection inner = new RawBackend.Connection(tls);
                    inner.head();
                    inner.send("HTTP/1.1 200 OK\r\n\r\nhalf");
                    if (said) {
                      tls.close();
                    }
                  });
          Mesh mesh = new Mesh()) {
        serve(mesh, trusting("cart.test"), backend);
        try (Client client = mesh.client()) {
          String text;
          try {
            text = client.get("/").text();
          } catch (IOException e) {
            text = "cut";
          }
          assertThat(text).isEqualTo(said ? "half" : "cut");
        }
      }
    }
  }

  @Test
  void aTcpListenersBytesAreEncryptedForTheBackend() throws Exception {
    try (RawBackend backend = backend(authority, "cart");
        Mesh mesh = new Mesh()) {
      int port = FreePorts.next();
      mesh.origin = Optional.empty();
      mesh.proxy.update(
          Streams.dialled(
              mesh.update(
                  List.of(),
                  List.of(
                      Streams.listener(
                          port,
                          "tcp",
                          "",
                          ListenerProtocol.TCP,
                          List.of(),
                          Streams.route("all", List.of(), 1))),
                  List.of(),
                  List.of(),
                  backend.port()),
              trusting("cart.test")));
      try (Client client = new Client(port)) {
        assertThat(client.get("/").header("x-version")).isEqualTo("cart");
        client.socket().shutdownOutput();
        assertThat(client.closed()).isTrue();
      }
    }
  }

  /** TLS that is the client's own affair is not wrapped into another. */
  @Test
  void whatIsLedOnByServerNameIsLeftAsItIs() throws Exception {
    try (RawBackend backend = backend(authority, "cart");
        Mesh mesh = new Mesh()) {
      int port = FreePorts.next();
      mesh.origin = Optional.empty();
      mesh.proxy.update(
          Streams.dialled(
              mesh.update(
                  List.of(),
                  List.of(
                      Streams.listener(
                          port,
                          "tls",
                          "",
                          ListenerProtocol.TLS_PASSTHROUGH,
                          List.of(),
                          Streams.route("all", List.of(), 1))),
                  List.of(),
                  List.of(),
                  backend.port()),
              trusting("somebody.else")));
      try (SSLSocket socket = Authority.connect(port, "cart.test")) {
        assertThat(Authority.subject(socket)).isEqualTo("cart");
      }
    }
  }
}
