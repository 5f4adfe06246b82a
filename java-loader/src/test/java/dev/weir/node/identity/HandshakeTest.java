// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.identity;

import static dev.weir.node.identity.AuthorityFixture.DB;
import static dev.weir.node.identity.AuthorityFixture.WEB;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.weir.policy.identity.SvidRules;
import java.net.InetAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.SecureRandom;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLServerSocket;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManagerFactory;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Mutual TLS between two peers that have nothing but the files. */
final class HandshakeTest {

  @TempDir private Path directory;

  private AuthorityFixture mesh = new AuthorityFixture(Path.of("/nowhere"));

  @BeforeEach
  void make() {
    mesh = new AuthorityFixture(directory);
    mesh.pass(Duration.between(mesh.instant(), Instant.now()));
    mesh.init();
  }

  private static SSLContext context(Path svid, Path bundle) throws Exception {
    char[] password = "in memory".toCharArray();
    Pem pem = Pem.parse(svid, Files.readAllBytes(svid));
    KeyStore own = KeyStore.getInstance("PKCS12");
    own.load(null, null);
    own.setKeyEntry(
        "own",
        Keys.read(
            pem.key().orElseThrow(),
            pem.certificates().getFirst().getPublicKey(),
            new SecureRandom()),
        password,
        pem.certificates().toArray(X509Certificate[]::new));
    KeyStore believed = KeyStore.getInstance("PKCS12");
    believed.load(null, null);
    for (X509Certificate root : AuthorityFixture.chain(bundle)) {
      believed.setCertificateEntry(Keys.id(root.getPublicKey()), root);
    }
    KeyManagerFactory keys = KeyManagerFactory.getInstance("PKIX");
    keys.init(own, password);
    TrustManagerFactory trust = TrustManagerFactory.getInstance("PKIX");
    trust.init(believed);
    SSLContext context = SSLContext.getInstance("TLS");
    context.init(keys.getKeyManagers(), trust.getTrustManagers(), null);
    return context;
  }

  /** The IDs that client and server have seen of each other. */
  private static List<String> shake(SSLContext client, SSLContext server) throws Exception {
    try (SSLServerSocket listener =
            (SSLServerSocket)
                server
                    .getServerSocketFactory()
                    .createServerSocket(0, 1, InetAddress.getLoopbackAddress());
        ExecutorService thread = Executors.newSingleThreadExecutor()) {
      listener.setNeedClientAuth(true);
      listener.setSoTimeout(10_000);
      Future<String> seenByServer =
          thread.submit(
              () -> {
                try (SSLSocket socket = (SSLSocket) listener.accept()) {
                  socket.setSoTimeout(10_000);
                  int asked = socket.getInputStream().read();
                  socket.getOutputStream().write(asked);
                  return id(socket);
                }
              });
      try (SSLSocket socket =
          (SSLSocket)
              client
                  .getSocketFactory()
                  .createSocket(InetAddress.getLoopbackAddress(), listener.getLocalPort())) {
        socket.setSoTimeout(10_000);
        socket.getOutputStream().write(7);
        assertThat(socket.getInputStream().read()).isEqualTo(7);
        return List.of(id(socket), seenByServer.get());
      }
    }
  }

  private static String id(SSLSocket socket) throws Exception {
    return SvidRules.idOf((X509Certificate) socket.getSession().getPeerCertificates()[0]);
  }

  @Test
  void leavesOfBothRootsSpeakToEachOtherWhileTheyOverlap() throws Exception {
    mesh.issue(WEB);
    mesh.rotate();
    mesh.issue(DB);
    assertThat(mesh.leaf(WEB).getIssuerX500Principal())
        .isNotEqualTo(mesh.leaf(DB).getIssuerX500Principal());
    SSLContext web = context(mesh.svid(WEB), mesh.identities.bundle());
    SSLContext db = context(mesh.svid(DB), mesh.identities.bundle());
    assertThat(shake(web, db)).containsExactly(DB.uri(), WEB.uri());
    assertThat(shake(db, web)).containsExactly(WEB.uri(), DB.uri());
  }

  @Test
  void aLeafOfADistrustedRootIsTurnedAwayByWhoHasTheNewBundle() throws Exception {
    mesh.issue(WEB, DB);
    SSLContext stolen = context(mesh.svid(WEB), mesh.identities.bundle());
    mesh.rotate(Duration.ZERO, true);
    SSLContext db = context(mesh.svid(DB), mesh.identities.bundle());
    assertThatThrownBy(() -> shake(db, stolen)).isInstanceOf(java.io.IOException.class);
    SSLContext web = context(mesh.svid(WEB), mesh.identities.bundle());
    assertThat(shake(web, db)).containsExactly(DB.uri(), WEB.uri());
  }
}
