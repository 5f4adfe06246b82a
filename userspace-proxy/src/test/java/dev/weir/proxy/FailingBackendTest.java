// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.weir.policy.plan.ProxyPlan.RouteRule;
import dev.weir.policy.plan.ProxyPlan.WeightedBackend;
import java.io.EOFException;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(30)
// Line ends are part of what is tested.
@SuppressWarnings("StringConcatToTextBlock")
final class FailingBackendTest {

  @Test
  void aResponseCutShortIsCutShortForTheClientToo() throws Exception {
    try (RawBackend backend =
            new RawBackend(
                connection -> {
                  connection.head();
                  connection.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
                });
        Mesh mesh = new Mesh()) {
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        assertThatThrownBy(() -> client.get("/")).isInstanceOf(EOFException.class);
      }
      try (Client client = mesh.client()) {
        client.send("GET / HTTP/1.1\r\nHost: cart\r\n\r\n");
        assertThat(new String(client.in().readAllBytes(), StandardCharsets.ISO_8859_1))
            .endsWith("\r\n\r\nhalf");
      }
    }
  }

  @Test
  void chunksCutShortGetNoLastChunk() throws Exception {
    try (RawBackend backend =
            new RawBackend(
                connection -> {
                  connection.head();
                  connection.send(
                      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n");
                });
        Mesh mesh = new Mesh()) {
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        client.send("GET / HTTP/1.1\r\nHost: cart\r\n\r\n");
        assertThat(new String(client.in().readAllBytes(), StandardCharsets.ISO_8859_1))
            .endsWith("\r\n\r\n4\r\nhalf\r\n");
      }
    }
  }

  @Test
  void aBackendThatRefusesIsABadGateway() throws Exception {
    try (Mesh mesh = new Mesh()) {
      mesh.serve(FreePorts.next());
      try (Client client = mesh.client()) {
        assertThat(client.get("/").status()).isEqualTo(502);
        assertThat(client.get("/").status()).isEqualTo(502);
      }
      assertThat(mesh.proxy.metrics()).contains("weir_proxy_upstream_connections_failed_total 2");
    }
  }

  @Test
  void aBackendThatClosesWithoutAnAnswerIsABadGateway() throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.Connection::head);
        Mesh mesh = new Mesh()) {
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        assertThat(client.get("/").status()).isEqualTo(502);
      }
      assertThat(backend.accepted()).isEqualTo(1);
    }
  }

  @Test
  void garbageFromABackendIsABadGateway() throws Exception {
    try (RawBackend backend =
            new RawBackend(
                connection -> {
                  connection.head();
                  connection.send("SSH-2.0-OpenSSH\r\n\r\n");
                  connection.in.readAllBytes();
                });
        Mesh mesh = new Mesh()) {
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        assertThat(client.get("/").status()).isEqualTo(502);
      }
      assertThat(mesh.proxy.metrics()).contains("response_flags=\"UPE\"");
    }
  }

  @Test
  void aResponseThatIsNotHttpIsNotAskedForAgain() throws Exception {
    AtomicInteger asked = new AtomicInteger();
    try (RawBackend backend =
            new RawBackend(
                connection -> {
                  connection.head();
                  connection.respond("", "first");
                  while (!connection.head().isEmpty()) {
                    asked.incrementAndGet();
                    connection.send("HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n");
                  }
                });
        Mesh mesh = new Mesh()) {
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        assertThat(client.get("/").text()).isEqualTo("first");
        assertThat(client.get("/").status()).isEqualTo(502);
      }
      assertThat(asked).hasValue(1);
      assertThat(backend.accepted()).isEqualTo(1);
    }
  }

  @Test
  void aKeptConnectionThatSaysSomethingUnaskedIsClosed() throws Exception {
    for (String unasked : List.of("\r\n", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\n\r\n")) {
      CountDownLatch ended = new CountDownLatch(1);
      try (RawBackend backend =
              new RawBackend(
                  connection -> {
                    connection.head();
                    connection.respond("", "asked");
                    // As late as to find the connection in the pool.
                    LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(100));
                    connection.send(unasked);
                    if (connection.head().isEmpty()) {
                      ended.countDown();
                    }
                  });
          Mesh mesh = new Mesh()) {
        mesh.serve(backend.port());
        try (Client client = mesh.client()) {
          assertThat(client.get("/").text()).isEqualTo("asked");
          assertThat(ended.await(10, TimeUnit.SECONDS)).as(unasked).isTrue();
          assertThat(client.get("/").text()).isEqualTo("asked");
        }
        assertThat(backend.accepted()).isEqualTo(2);
      }
    }
  }

  @Test
  void aStaleConnectionIsReplacedOnceForAGetAndNeverForAPost() throws Exception {
    AtomicInteger posts = new AtomicInteger();
    // Answers the first request of a connection and hangs up on the second one.
    try (RawBackend backend =
            new RawBackend(
                connection -> {
                  connection.head();
                  connection.respond("", "first");
                  if (connection.head().startsWith("POST")) {
                    posts.incrementAndGet();
                  }
                });
        Mesh mesh = new Mesh()) {
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        assertThat(client.get("/").text()).isEqualTo("first");
        assertThat(client.get("/").text()).isEqualTo("first");
        client.send("POST / HTTP/1.1\r\nHost: cart\r\nContent-Length: 0\r\n\r\n");
        assertThat(client.read(false).status()).isEqualTo(502);
      }
      assertThat(posts).hasValue(1);
      assertThat(mesh.proxy.metrics()).contains("weir_proxy_upstream_retries_total 1");
    }
  }

  @Test
  void noRouteNoBackendAndNoEndpointAreToldApart() throws Exception {
    try (Mesh mesh = new Mesh()) {
      RouteRule invalid =
          new RouteRule(
              List.of(Mesh.prefix("/invalid")),
              List.of(),
              List.of(new WeightedBackend(-1, 1, List.of())),
              0,
              0);
      RouteRule none = new RouteRule(List.of(Mesh.prefix("/none")), List.of(), List.of(), 0, 0);
      mesh.serve(Mesh.route(invalid, none));
      try (Client client = mesh.client()) {
        assertThat(client.get("/").status()).isEqualTo(404);
        assertThat(client.get("/invalid").status()).isEqualTo(500);
        assertThat(client.get("/none").status()).isEqualTo(500);
      }
    }
  }

  @Test
  void aBackendThatDoesNotAnswerInTimeIsAGatewayTimeout() throws Exception {
    try (RawBackend backend = new RawBackend(connection -> connection.in.readAllBytes());
        Mesh mesh = new Mesh()) {
      RouteRule rule =
          new RouteRule(
              Mesh.any(), List.of(), List.of(new WeightedBackend(0, 1, List.of())), 150, 0);
      mesh.serve(Mesh.route(rule), backend.port());
      try (Client client = mesh.client()) {
        assertThat(client.get("/").status()).isEqualTo(504);
      }
    }
  }
}
