// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Bodies that hardly come, and connections that are closed while they come. */
@Timeout(60)
final class SlowBodyTest {

  private final AtomicLong clock = new AtomicLong(1);

  /** Reads a request whole before it answers. */
  private static RawBackend patient() throws IOException {
    return new RawBackend(RawBackend.echo());
  }

  private void pass(long seconds) throws InterruptedException {
    // A tick sees the bytes that have come, then the next one sees the time.
    Thread.sleep(600);
    clock.addAndGet(TimeUnit.SECONDS.toNanos(seconds));
    Thread.sleep(600);
  }

  @Test
  void aBodyOfAFewBytesASecondIsGivenUp() throws Exception {
    try (RawBackend backend = patient();
        Mesh mesh = new Mesh(1, clock::get)) {
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        client.send("POST / HTTP/1.1\r\nHost: cart\r\nContent-Length: 100000\r\n\r\n");
        pass(1);
        client.send("x".repeat(9_000));
        pass(20);
        assertThat(client.read(false).status()).isEqualTo(408);
        assertThat(client.closed()).isTrue();
      }
      assertThat(mesh.proxy.metrics()).contains("weir_proxy_body_timeouts_total 1\n");
    }
  }

  @Test
  void aBodyThatComesFastEnoughMayTakeLong() throws Exception {
    try (RawBackend backend = patient();
        Mesh mesh = new Mesh(1, clock::get)) {
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        client.send("POST / HTTP/1.1\r\nHost: cart\r\nContent-Length: 33000\r\n\r\n");
        pass(1);
        for (int i = 0; i < 3; i++) {
          client.send("x".repeat(11_000));
          if (i < 2) {
            pass(20);
          }
        }
        assertThat(client.read(false).text()).hasSize(33_000);
      }
    }
  }

  @Test
  void whoHasAnAnswerAlreadyMayTalkOnSlowly() throws Exception {
    try (RawBackend backend =
            new RawBackend(
                connection -> {
                  connection.head();
                  connection.send(
                      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n");
                  connection.in.readNBytes(3);
                  connection.send("0\r\n\r\n");
                });
        Mesh mesh = new Mesh(1, clock::get)) {
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        client.send("POST / HTTP/1.1\r\nHost: cart\r\nContent-Length: 3\r\n\r\nx");
        for (int i = 0; i < 3; i++) {
          pass(21);
        }
        client.send("yz");
        assertThat(client.read(false).text()).isEqualTo("a");
      }
    }
  }

  @Test
  void whoWaitsToBeAskedForItsBodyIsNotSlow() throws Exception {
    try (RawBackend backend =
            new RawBackend(
                connection -> {
                  connection.head();
                  connection.in.read(); // what the client sends without being asked at last
                  connection.respond("", "done");
                });
        Mesh mesh = new Mesh(1, clock::get)) {
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        client.send(
            "POST / HTTP/1.1\r\nHost: cart\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n");
        pass(21);
        pass(21);
        client.send("x");
        assertThat(client.read(false).text()).isEqualTo("done");
      }
    }
  }

  @Test
  void aClientThatGoesOnSendingReadsTheRefusal() throws Exception {
    try (Mesh mesh = new Mesh()) {
      mesh.serve(1);
      for (int i = 0; i < 5; i++) {
        try (Client client = mesh.client()) {
          client.send("POST / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
          for (int part = 0; part < 20; part++) {
            client.send("x".repeat(50_000));
          }
          Thread.sleep(100);
          // A reset would have thrown away what came before it.
          String all = new String(client.in().readAllBytes(), ISO_8859_1);
          assertThat(all).startsWith("HTTP/1.1 400 ").contains("connection: close");
        }
      }
    }
  }

  @Test
  void aClientThatNeverEndsIsLeftAfterTwoSeconds() throws Exception {
    try (Mesh mesh = new Mesh(1, clock::get)) {
      mesh.serve(1);
      try (Client client = mesh.client()) {
        client.send("BROKEN\r\n\r\n");
        assertThat(client.read(false).status()).isEqualTo(400);
        pass(1);
        client.send("x");
        assertThat(connections(mesh)).isEqualTo(1);
        pass(2);
        assertThat(connections(mesh)).isZero();
      }
    }
  }

  private static long connections(Mesh mesh) {
    return mesh.proxy
        .metrics()
        .lines()
        .filter(line -> line.startsWith("weir_proxy_connections_active "))
        .mapToLong(line -> Long.parseLong(line.substring(line.indexOf(' ') + 1)))
        .findFirst()
        .orElse(-1);
  }
}
