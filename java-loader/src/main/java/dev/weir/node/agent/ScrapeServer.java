// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.agent;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpHandler;
import com.sun.net.httpserver.HttpServer;
import dev.weir.node.telemetry.Exposition;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * Serves {@code /metrics} (and {@code /stats/prometheus}, where Istio's scrapers look) on one port
 * and {@code /healthz} on another.
 */
final class ScrapeServer implements AutoCloseable {

  private static final int BACKLOG = 16;

  private final InetAddress address;
  private final Supplier<String> metrics;
  private final Supplier<List<String>> problems;
  private final Log log;
  private final ExecutorService executor =
      Executors.newThreadPerTaskExecutor(Thread.ofVirtual().name("weir-scrape").factory());
  private @Nullable HttpServer scrape;
  private @Nullable HttpServer health;

  /**
   * Serves nothing yet.
   *
   * @param metrics the exposition
   * @param problems what is not as it should be, one sentence each; empty when all is well
   */
  ScrapeServer(
      InetAddress address, Supplier<String> metrics, Supplier<List<String>> problems, Log log) {
    this.address = address;
    this.metrics = metrics;
    this.problems = problems;
    this.log = log;
  }

  /** Serves on these ports from now on. A port that cannot be had is logged and left out. */
  synchronized void listen(int metricsPort, int healthPort) {
    scrape = moved(scrape, metricsPort, "metrics", List.of("/metrics", "/stats/prometheus"));
    health = moved(health, healthPort, "health", List.of("/healthz"));
  }

  private @Nullable HttpServer moved(
      @Nullable HttpServer server, int port, String what, List<String> paths) {
    if (server != null) {
      if (server.getAddress().getPort() == port) {
        return server;
      }
      server.stop(0);
    }
    InetSocketAddress where = new InetSocketAddress(address, port);
    try {
      HttpServer fresh = HttpServer.create(where, BACKLOG);
      fresh.setExecutor(executor);
      fresh.createContext("/", exchange -> answer(exchange, 404, "text/plain", "see " + paths));
      HttpHandler handler = what.equals("metrics") ? this::metrics : this::health;
      paths.forEach(path -> fresh.createContext(path, handler));
      fresh.start();
      log.info(what + " on http://" + where.getHostString() + ":" + port + paths.getFirst());
      return fresh;
    } catch (IOException e) {
      log.error(
          "cannot serve "
              + what
              + " on "
              + where.getHostString()
              + ":"
              + port
              + ": "
              + e.getMessage()
              + "; set another port in Mesh, or end who holds it (ss -ltnp)");
      return null;
    }
  }

  private void metrics(HttpExchange exchange) throws IOException {
    answer(exchange, 200, Exposition.CONTENT_TYPE, metrics.get());
  }

  private void health(HttpExchange exchange) throws IOException {
    List<String> wrong = problems.get();
    if (wrong.isEmpty()) {
      answer(exchange, 200, "text/plain; charset=utf-8", "ok\n");
    } else {
      answer(exchange, 503, "text/plain; charset=utf-8", String.join("\n", wrong).concat("\n"));
    }
  }

  private static void answer(HttpExchange exchange, int status, String type, String body)
      throws IOException {
    byte[] bytes = body.getBytes(StandardCharsets.UTF_8);
    exchange.getResponseHeaders().set("Content-Type", type);
    boolean head = Objects.equals(exchange.getRequestMethod(), "HEAD");
    exchange.sendResponseHeaders(status, head ? -1 : bytes.length);
    if (!head) {
      exchange.getResponseBody().write(bytes);
    }
    exchange.close();
  }

  @Override
  public synchronized void close() {
    for (HttpServer server : new @Nullable HttpServer[] {scrape, health}) {
      if (server != null) {
        server.stop(0);
      }
    }
    executor.shutdown();
  }
}
