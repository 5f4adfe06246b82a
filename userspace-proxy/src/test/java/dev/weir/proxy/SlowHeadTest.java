// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.charset.StandardCharsets;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Deadlines, on a clock that tests turn. */
@Timeout(30)
final class SlowHeadTest {

  private final AtomicLong clock = new AtomicLong(1);

  private void pass(long seconds) throws InterruptedException {
    // A tick sees the bytes that have come, then the next one sees the time.
    Thread.sleep(600);
    clock.addAndGet(TimeUnit.SECONDS.toNanos(seconds));
  }

  @Test
  void aHeadThatDoesNotArriveInTenSecondsIsGivenUp() throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh(1, clock::get)) {
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        assertThat(client.get("/").status()).isEqualTo(200);
        client.send("GET / HTTP/1.1\r\nHost: ca");
        pass(9);
        client.send("rt\r\nx-slow: ");
        pass(2);
        assertThat(client.read(false).status()).isEqualTo(408);
        assertThat(client.closed()).isTrue();
      }
      assertThat(mesh.proxy.metrics()).contains("weir_proxy_head_timeouts_total 1\n");
    }
  }

  @Test
  void anIdleConnectionIsKeptForFiveMinutes() throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh(1, clock::get)) {
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        assertThat(client.get("/").status()).isEqualTo(200);
        pass(290);
        assertThat(client.get("/").status()).isEqualTo(200);
        pass(310);
        assertThat(client.closed()).isTrue();
      }
    }
  }

  @Test
  void aStreamWithoutAByteForFiveMinutesIsCut() throws Exception {
    try (RawBackend backend =
            new RawBackend(
                connection -> {
                  connection.head();
                  connection.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
                  connection.in.readAllBytes();
                });
        Mesh mesh = new Mesh(1, clock::get)) {
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        client.send("GET / HTTP/1.1\r\nHost: cart\r\n\r\n");
        pass(310);
        assertThat(new String(client.in().readAllBytes(), StandardCharsets.US_ASCII))
            .endsWith("half");
      }
    }
  }
}
