// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import io.netty.util.internal.PlatformDependent;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
// Line ends are part of what is tested.
@SuppressWarnings("StringConcatToTextBlock")
final class BodiesTest {

  private static final int MEGABYTE = 1 << 20;

  private static byte[] body(int size) {
    byte[] body = new byte[size];
    for (int i = 0; i < size; i++) {
      body[i] = (byte) ('a' + i % 23);
    }
    return body;
  }

  @Test
  void aMegabyteReachesASlowReaderWhole() throws Exception {
    byte[] body = body(MEGABYTE);
    try (RawBackend backend =
            new RawBackend(
                connection -> {
                  while (!connection.head().isEmpty()) {
                    connection.send("HTTP/1.1 200 OK\r\nContent-Length: " + MEGABYTE + "\r\n\r\n");
                    connection.out.write(body);
                  }
                });
        Mesh mesh = new Mesh()) {
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        client.socket().setReceiveBufferSize(65_536);
        for (int round = 0; round < 3; round++) {
          client.send("GET / HTTP/1.1\r\nHost: cart\r\n\r\n");
          for (int pause = 0; pause < 5; pause++) {
            Thread.sleep(20);
          }
          assertThat(client.read(false).text().getBytes(StandardCharsets.ISO_8859_1))
              .isEqualTo(body);
        }
      }
      assertThat(backend.accepted()).isEqualTo(1);
    }
  }

  @Test
  void aMegabyteReachesASlowBackendWhole() throws Exception {
    byte[] body = body(MEGABYTE);
    CompletableFuture<byte[]> received = new CompletableFuture<>();
    try (RawBackend backend =
            new RawBackend(
                connection -> {
                  connection.head();
                  byte[] got = new byte[MEGABYTE];
                  for (int at = 0; at < MEGABYTE; ) {
                    at += connection.in.readNBytes(got, at, Math.min(16_384, MEGABYTE - at));
                    pause();
                  }
                  received.complete(got);
                  connection.respond("", "done");
                });
        Mesh mesh = new Mesh()) {
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        client.send("PUT / HTTP/1.1\r\nHost: cart\r\nContent-Length: " + MEGABYTE + "\r\n\r\n");
        client.socket().getOutputStream().write(body);
        assertThat(client.read(false).text()).isEqualTo("done");
        assertThat(received.get(1, TimeUnit.SECONDS)).isEqualTo(body);
      }
    }
  }

  private static void pause() {
    try {
      Thread.sleep(2);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  @Test
  void aReaderThatStopsHoldsTheBackendUp() throws Exception {
    AtomicLong written = new AtomicLong();
    byte[] chunk = body(65_536);
    int size = 256 * MEGABYTE;
    try (RawBackend backend =
            new RawBackend(
                connection -> {
                  connection.head();
                  connection.send("HTTP/1.1 200 OK\r\nContent-Length: " + size + "\r\n\r\n");
                  for (int at = 0; at < size; at += chunk.length) {
                    connection.out.write(chunk);
                    written.addAndGet(chunk.length);
                  }
                });
        Mesh mesh = new Mesh()) {
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        client.send("GET / HTTP/1.1\r\nHost: cart\r\n\r\n");
        long before = PlatformDependent.usedDirectMemory();
        Thread.sleep(1_500);
        // What lies in the kernel's socket buffers on both sides, at most.
        assertThat(written.get()).isLessThan(24L * MEGABYTE);
        assertThat(PlatformDependent.usedDirectMemory() - before).isLessThan(2L * MEGABYTE);
        byte[] buffer = new byte[65_536];
        long read = 0;
        while (read < size) {
          int got = client.in().read(buffer);
          assertThat(got).isPositive();
          read += got;
        }
      }
    }
  }

  @Test
  void aWriterIsHeldUpByABackendThatStops() throws Exception {
    CompletableFuture<Void> go = new CompletableFuture<>();
    AtomicLong written = new AtomicLong();
    byte[] chunk = body(65_536);
    int size = 128 * MEGABYTE;
    try (RawBackend backend =
            new RawBackend(
                connection -> {
                  connection.head();
                  go.join();
                  connection.in.skipNBytes(size);
                  connection.respond("", "done");
                });
        Mesh mesh = new Mesh()) {
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        client.send("PUT / HTTP/1.1\r\nHost: cart\r\nContent-Length: " + size + "\r\n\r\n");
        Thread writer =
            Thread.ofVirtual()
                .start(
                    () -> {
                      try {
                        for (int at = 0; at < size; at += chunk.length) {
                          client.socket().getOutputStream().write(chunk);
                          written.addAndGet(chunk.length);
                        }
                      } catch (IOException e) {
                        written.set(-1);
                      }
                    });
        Thread.sleep(1_500);
        assertThat(written.get()).isBetween(1L, 24L * MEGABYTE);
        go.complete(null);
        assertThat(client.read(false).text()).isEqualTo("done");
        writer.join();
      }
    }
  }

  @Test
  void chunksAndAnnouncedTrailersPassBothWays() throws Exception {
    CompletableFuture<String> received = new CompletableFuture<>();
    try (RawBackend backend =
            new RawBackend(
                connection -> {
                  connection.head();
                  StringBuilder body = new StringBuilder();
                  while (!body.toString().endsWith("\r\n\r\n")) {
                    body.append((char) connection.in.read());
                  }
                  received.complete(body.toString());
                  connection.send(
                      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n"
                          + "3\r\nabc\r\n4\r\ndefg\r\n0\r\nx-sum: 7\r\nHost: evil\r\n"
                          + "x-other: 1\r\ngrpc-status: 0\r\n\r\n");
                });
        Mesh mesh = new Mesh()) {
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        client.send(
            "POST / HTTP/1.1\r\nHost: cart\r\nTransfer-Encoding: chunked\r\nTrailer: x-in\r\n\r\n"
                + "5\r\nhello\r\n0\r\nx-in: 1\r\nHost: evil\r\nx-unannounced: 1\r\n\r\n");
        Client.Response response = client.read(false);
        assertThat(response.text()).isEqualTo("abcdefg");
        assertThat(response.trailers()).containsExactly("x-sum: 7", "grpc-status: 0");
        assertThat(received.get(1, TimeUnit.SECONDS))
            .isEqualTo("5\r\nhello\r\n0\r\nx-in: 1\r\n\r\n");
      }
    }
  }

  @Test
  void aBodyThatEndsWithTheConnectionIsChunkedForTheClient() throws Exception {
    try (RawBackend backend =
            new RawBackend(
                connection -> {
                  connection.head();
                  connection.send("HTTP/1.1 200 OK\r\n\r\nuntil the end");
                });
        Mesh mesh = new Mesh()) {
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        for (int i = 0; i < 2; i++) {
          Client.Response response = client.get("/");
          assertThat(response.header("transfer-encoding")).isEqualTo("chunked");
          assertThat(response.text()).isEqualTo("until the end");
        }
      }
    }
  }

  @Test
  void anAnswerBeforeTheBodyIsCompleteReachesTheClient() throws Exception {
    try (RawBackend backend =
            new RawBackend(
                connection -> {
                  connection.head();
                  connection.send("HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\n\r\nbig\n");
                  connection.in.readAllBytes();
                });
        Mesh mesh = new Mesh()) {
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        client.send("POST / HTTP/1.1\r\nHost: cart\r\nContent-Length: 200000\r\n\r\n");
        assertThat(client.read(false).status()).isEqualTo(413);
        byte[] rest = new byte[200_000];
        Arrays.fill(rest, (byte) 'x');
        client.socket().getOutputStream().write(rest);
        assertThat(client.get("/again").status()).isEqualTo(413);
      }
    }
  }
}
