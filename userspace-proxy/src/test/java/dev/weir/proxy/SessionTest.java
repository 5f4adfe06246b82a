// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.weir.policy.plan.ProxyPlan.RouteRule;
import dev.weir.policy.plan.ProxyPlan.SessionPersistence;
import dev.weir.policy.plan.ProxyPlan.WeightedBackend;
import dev.weir.proxy.outbound.SessionKeyFile;
import java.io.IOException;
import java.net.ConnectException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(30)
final class SessionTest {

  private static final SessionPersistence COOKIE =
      new SessionPersistence(SessionPersistence.Type.COOKIE, "sid", 0, 0, false);

  private static RouteRule rule(SessionPersistence session, int... weights) {
    return new RouteRule(
        "",
        List.of(Mesh.prefix("/shop")),
        List.of(),
        IntStream.range(0, weights.length)
            .mapToObj(i -> new WeightedBackend(i, weights[i], List.of()))
            .toList(),
        0,
        0,
        Optional.empty(),
        Optional.of(session));
  }

  private static String cookie(Client.Response response) {
    String set = response.header("set-cookie");
    assertThat(set).startsWith("sid=");
    return set.substring(0, set.indexOf(';'));
  }

  @Test
  void whoHasACookieStaysWithItsBackend() throws Exception {
    try (RawBackend a = new RawBackend(RawBackend.named("a"));
        RawBackend b = new RawBackend(RawBackend.named("b"));
        RawBackend c = new RawBackend(RawBackend.named("c"));
        Mesh mesh = new Mesh(2, System::nanoTime)) {
      mesh.serveTogether(rule(COOKIE, 1), a.port(), b.port(), c.port());
      for (int session = 0; session < 6; session++) {
        try (Client client = mesh.client();
            Client later = mesh.client()) {
          Client.Response first = client.get("/shop/x");
          assertThat(first.header("set-cookie"))
              .matches("sid=[-_A-Za-z0-9]{48}; Path=/shop; HttpOnly; SameSite=Strict");
          String cookies = "Cookie: other=1; " + cookie(first) + "\r\n";
          for (int i = 0; i < 5; i++) {
            Client.Response next = later.get("/shop/x", cookies);
            assertThat(next.header("x-version")).isEqualTo(first.header("x-version"));
            // It knows already.
            assertThat(next.header("set-cookie")).isEmpty();
          }
        }
      }
    }
  }

  @Test
  void whoHasNoneIsSentByTheWeightsAndStaysThen() throws Exception {
    try (RawBackend a = new RawBackend(RawBackend.named("a"));
        RawBackend b = new RawBackend(RawBackend.named("b"));
        Mesh mesh = new Mesh()) {
      mesh.serve(Mesh.route(rule(COOKIE, 3, 1)), a.port(), b.port());
      try (Client client = mesh.client()) {
        int ofB = 0;
        for (int i = 0; i < 40; i++) {
          Client.Response first = client.get("/shop");
          ofB += first.header("x-version").equals("b") ? 1 : 0;
          assertThat(client.get("/shop", "Cookie: " + cookie(first) + "\r\n").header("x-version"))
              .isEqualTo(first.header("x-version"));
        }
        assertThat(ofB).isEqualTo(10);
      }
    }
  }

  @Test
  void aBackendThatIsGoneOrWithoutWeightIsReplacedForGood() throws Exception {
    try (RawBackend a = new RawBackend(RawBackend.named("a"));
        RawBackend b = new RawBackend(RawBackend.named("b"));
        Mesh mesh = new Mesh()) {
      mesh.serve(Mesh.route(rule(COOKIE, 1, 0)), a.port(), b.port());
      try (Client client = mesh.client()) {
        String old = cookie(client.get("/shop"));
        mesh.serve(Mesh.route(rule(COOKIE, 0, 1)), a.port(), b.port());
        Client.Response moved = client.get("/shop", "Cookie: " + old + "\r\n");
        assertThat(moved.header("x-version")).isEqualTo("b");
        String now = cookie(moved);
        // Another plan with the same backend changes nothing for it.
        mesh.serve(Mesh.route(rule(COOKIE, 1)), b.port());
        Client.Response same = client.get("/shop", "Cookie: " + now + "\r\n");
        assertThat(same.header("x-version")).isEqualTo("b");
        assertThat(same.header("set-cookie")).isEmpty();
      }
    }
  }

  @Test
  void aBackendThatCannotBeReachedIsLeftForAnotherAndTheClientIsTold() throws Exception {
    RawBackend a = new RawBackend(RawBackend.named("a"));
    try (RawBackend b = new RawBackend(RawBackend.named("b"));
        Mesh mesh = new Mesh()) {
      mesh.serveTogether(rule(COOKIE, 1), a.port(), b.port());
      try (Client client = mesh.client()) {
        Client.Response first = client.get("/shop");
        if (first.header("x-version").equals("b")) {
          first = client.get("/shop");
        }
        assertThat(first.header("x-version")).isEqualTo("a");
        a.close();
        awaitRefusal(a.port());
        Client.Response next = client.get("/shop", "Cookie: " + cookie(first) + "\r\n");
        assertThat(next.header("x-version")).isEqualTo("b");
        assertThat(client.get("/shop", "Cookie: " + cookie(next) + "\r\n").header("set-cookie"))
            .isEmpty();
      }
    }
  }

  /** A thread that is just accepting may take one more connection from a listener that closes. */
  private static void awaitRefusal(int port) throws Exception {
    for (int i = 0; i < 500; i++) {
      try {
        new Client(port).close();
        Thread.sleep(10);
      } catch (ConnectException refused) {
        return;
      }
    }
    throw new AssertionError("port " + port + " still takes connections");
  }

  @Test
  void aHeaderCarriesASessionToo() throws Exception {
    SessionPersistence header =
        new SessionPersistence(SessionPersistence.Type.HEADER, "X-Session", 0, 0, false);
    try (RawBackend a = new RawBackend(RawBackend.named("a"));
        RawBackend b = new RawBackend(RawBackend.named("b"));
        Mesh mesh = new Mesh()) {
      mesh.serveTogether(rule(header, 1), a.port(), b.port());
      try (Client client = mesh.client()) {
        for (int session = 0; session < 4; session++) {
          Client.Response first = client.get("/shop");
          String token = first.header("x-session");
          assertThat(token).hasSize(48);
          assertThat(first.header("set-cookie")).isEmpty();
          for (int i = 0; i < 3; i++) {
            assertThat(client.get("/shop", "x-session: " + token + "\r\n").header("x-version"))
                .isEqualTo(first.header("x-version"));
          }
        }
      }
    }
  }

  @Test
  void anIdleSessionEndsAndAUsedOneDoesNot() throws Exception {
    SessionPersistence idle =
        new SessionPersistence(SessionPersistence.Type.COOKIE, "sid", 0, 1_000, false);
    try (RawBackend a = new RawBackend(RawBackend.named("a"));
        RawBackend b = new RawBackend(RawBackend.named("b"));
        RawBackend c = new RawBackend(RawBackend.named("c"));
        Mesh mesh = new Mesh()) {
      mesh.serveTogether(rule(idle, 1), a.port(), b.port(), c.port());
      try (Client client = mesh.client()) {
        Client.Response first = client.get("/shop");
        String latest = cookie(first);
        for (int i = 0; i < 6; i++) {
          Thread.sleep(300);
          Client.Response next = client.get("/shop", "Cookie: " + latest + "\r\n");
          assertThat(next.header("x-version")).isEqualTo(first.header("x-version"));
          latest = cookie(next);
        }
        Thread.sleep(1_100);
        // Taken for somebody new: it is the next backend's turn.
        assertThat(client.get("/shop", "Cookie: " + latest + "\r\n").header("x-version"))
            .isNotEqualTo(first.header("x-version"));
      }
    }
  }

  @Test
  void theKeyOutlivesTheProcessAndIsForNobodyElse(@TempDir Path directory) throws Exception {
    Path file = directory.resolve("session.key");
    String tag = new SessionKeyFile(Optional.of(file)).key().tag("shop/cart", "10.0.0.7:80");
    assertThat(new SessionKeyFile(Optional.of(file)).key().tag("shop/cart", "10.0.0.7:80"))
        .isEqualTo(tag);
    assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(file)))
        .isEqualTo("rw-------");
    assertThat(directory).isDirectoryNotContaining("glob:**.tmp");
  }

  @Test
  void aDamagedKeyIsToldOf(@TempDir Path directory) throws Exception {
    Path file = directory.resolve("session.key");
    Files.writeString(file, "short");
    assertThatThrownBy(() -> new SessionKeyFile(Optional.of(file)).key())
        .isInstanceOf(IOException.class)
        .hasMessageContaining("session.key has 5 bytes")
        .hasMessageContaining("remove it");
  }
}
