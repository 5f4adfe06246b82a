// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import java.io.IOException;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/**
 * Clients that ask without pause until they are told to stop: some on a connection for each
 * request, some on one for as long as it lasts. Every answer must be 200 and whole.
 */
final class Load implements AutoCloseable {

  private final int port;
  private final AtomicLong served = new AtomicLong();
  private final AtomicLong closedBetween = new AtomicLong();
  private final Queue<Exception> failures = new ConcurrentLinkedQueue<>();
  private final List<Thread> threads;
  private volatile boolean stopped;

  Load(int port, int fresh, int kept) {
    this.port = port;
    this.threads =
        IntStream.range(0, fresh + kept)
            .mapToObj(
                i -> Thread.ofPlatform().start(i < fresh ? this::askAfresh : this::askOnAndOn))
            .toList();
  }

  private static void check(Client.Response response) throws IOException {
    if (response.status() != 200) {
      throw new IOException(response.status() + " " + response.text());
    }
  }

  private void askAfresh() {
    while (!stopped) {
      try (Client client = new Client(port)) {
        check(client.get("/", "Connection: close\r\n"));
        served.incrementAndGet();
      } catch (IOException e) {
        failures.add(e);
      }
    }
  }

  private void askOnAndOn() {
    @Nullable Client client = null;
    boolean used = false;
    while (!stopped) {
      try {
        if (client == null) {
          client = new Client(port);
          used = false;
        }
        client.send("GET / HTTP/1.1\r\nHost: cart\r\n\r\n");
        Client.Response response = client.read(false);
        check(response);
        served.incrementAndGet();
        used = true;
        if (response.header("connection").equals("close")) {
          client.close();
          client = null;
        }
      } catch (IOException e) {
        if (used) {
          // Between two requests, without a word: whoever asks again is served (RFC 9112 9.3.1).
          closedBetween.incrementAndGet();
        } else {
          failures.add(e);
        }
        client = null;
      }
    }
  }

  /** Requests answered so far. */
  long served() {
    return served.get();
  }

  /** Kept connections that ended without having said so. */
  long closedBetween() {
    return closedBetween.get();
  }

  /** What went wrong so far. */
  List<Exception> failures() {
    return List.copyOf(failures);
  }

  /** Ends it; all requests are over then. */
  @Override
  public void close() {
    stopped = true;
    for (Thread thread : threads) {
      try {
        thread.join();
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
        return;
      }
    }
  }
}
