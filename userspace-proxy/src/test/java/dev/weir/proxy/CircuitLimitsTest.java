// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.weir.policy.plan.ProxyPlan.Retry;
import dev.weir.policy.plan.ProxyPlan.RouteRule;
import dev.weir.policy.plan.ProxyPlan.WeightedBackend;
import dev.weir.policy.plan.TrafficPolicy.CircuitLimits;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.SocketException;
import java.net.SocketTimeoutException;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
final class CircuitLimitsTest {

  private static final String GET = "GET / HTTP/1.1\r\nHost: cart\r\n\r\n";

  private final Semaphore arrived = new Semaphore(0);
  private final Semaphore answers = new Semaphore(0);

  /** Answers when it may. */
  private RawBackend holding() throws IOException {
    return new RawBackend(
        connection -> {
          while (!connection.head().isEmpty()) {
            arrived.release();
            answers.acquireUninterruptibly();
            connection.respond("", "done");
          }
        });
  }

  private void await(int requests) throws InterruptedException {
    assertThat(arrived.tryAcquire(requests, 20, TimeUnit.SECONDS)).isTrue();
  }

  private static long overflow(Mesh mesh, String limit) {
    return Streams.sample(mesh, "weir_proxy_circuit_overflow_total", "limit=\"" + limit + "\"");
  }

  @Test
  void moreRequestsThanMayBeUnderWayAreAnswered503() throws Exception {
    try (RawBackend backend = holding();
        Mesh mesh = new Mesh(2, System::nanoTime)) {
      mesh.traffic = List.of(Mesh.ofService(new CircuitLimits(0, 0, 2, 0)));
      mesh.serve(backend.port());
      try (Client a = mesh.client();
          Client b = mesh.client();
          Client c = mesh.client()) {
        a.send(GET);
        b.send(GET);
        await(2);
        Client.Response refused = c.get("/");
        assertThat(refused.status()).isEqualTo(503);
        assertThat(refused.text()).isEqualTo("too many requests to the backend\n");
        assertThat(overflow(mesh, "requests")).isEqualTo(1);
        assertThat(mesh.proxy.metrics())
            .containsPattern("istio_requests_total.*code=\"503\".*response_flags=\"UO\"");
        // A new plan does not make room.
        mesh.serve(backend.port());
        assertThat(c.get("/").status()).isEqualTo(503);
        answers.release(10);
        assertThat(a.read(false).status()).isEqualTo(200);
        assertThat(b.read(false).status()).isEqualTo(200);
        assertThat(c.get("/").status()).isEqualTo(200);
      }
    }
  }

  @Test
  void moreConnectionsThanMayBeOpenAreRefusedAndKeptOnesServeOn() throws Exception {
    try (RawBackend backend = holding();
        Mesh mesh = new Mesh()) {
      mesh.traffic = List.of(Mesh.ofService(new CircuitLimits(1, 0, 0, 0)));
      mesh.serve(backend.port());
      try (Client a = mesh.client();
          Client b = mesh.client()) {
        a.send(GET);
        await(1);
        assertThat(b.get("/").status()).isEqualTo(503);
        assertThat(overflow(mesh, "connections")).isEqualTo(1);
        answers.release(10);
        assertThat(a.read(false).status()).isEqualTo(200);
        assertThat(b.get("/").status()).isEqualTo(200);
        assertThat(backend.accepted()).isEqualTo(1);
      }
    }
  }

  @Test
  void eachEventLoopMayHaveAConnectionWhateverTheLimit() throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh(4, System::nanoTime)) {
      mesh.traffic = List.of(Mesh.ofService(new CircuitLimits(1, 0, 0, 0)));
      mesh.serve(backend.port());
      for (int i = 0; i < 40; i++) {
        try (Client client = mesh.client()) {
          assertThat(client.get("/").status()).isEqualTo(200);
        }
      }
    }
  }

  @Test
  void moreRequestsThanMayWaitForAConnectionAreAnswered503() throws Exception {
    List<Socket> queue = new ArrayList<>();
    // Nobody accepts here, and once the queue is full, connecting takes its time.
    try (ServerSocket full = new ServerSocket(0, 1, InetAddress.getLoopbackAddress());
        Mesh mesh = new Mesh()) {
      fill(full, queue);
      mesh.traffic = List.of(Mesh.ofService(new CircuitLimits(0, 2, 0, 0)));
      mesh.serve(full.getLocalPort());
      try (Client a = mesh.client();
          Client b = mesh.client();
          Client c = mesh.client()) {
        a.send(GET);
        b.send(GET);
        // Both wait when the third one is refused; which of the three is third is nobody's affair.
        c.send(GET);
        List<Integer> statuses =
            List.of(a.read(false).status(), b.read(false).status(), c.read(false).status());
        assertThat(statuses).containsExactlyInAnyOrder(504, 504, 503);
        assertThat(overflow(mesh, "pending_requests")).isEqualTo(1);
        // Their places are free again: this one waits too.
        assertThat(a.get("/").status()).isEqualTo(504);
      }
    } finally {
      for (Socket socket : queue) {
        socket.close();
      }
    }
  }

  private static void fill(ServerSocket full, List<Socket> queue) throws IOException {
    while (true) {
      Socket socket = new Socket();
      queue.add(socket);
      try {
        socket.connect(new InetSocketAddress(full.getInetAddress(), full.getLocalPort()), 300);
      } catch (SocketTimeoutException taken) {
        return;
      }
    }
  }

  @Test
  void aNumberOfRetriesHoldsInPlaceOfTheShare() throws Exception {
    AtomicInteger asked = new AtomicInteger();
    int clients = 8;
    try (RawBackend bad =
            new RawBackend(
                connection -> {
                  while (!connection.head().isEmpty()) {
                    asked.incrementAndGet();
                    connection.send("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
                  }
                });
        Mesh mesh = new Mesh()) {
      mesh.traffic = List.of(Mesh.ofService(new CircuitLimits(0, 0, 0, 1)));
      mesh.serveTogether(
          new RouteRule(
              "",
              Mesh.any(),
              List.of(),
              List.of(new WeightedBackend(0, 1, List.of())),
              0,
              0,
              Optional.of(new Retry(List.of(503), 1, 1_500)),
              Optional.empty()),
          bad.port());
      List<Client> open = new ArrayList<>();
      for (int i = 0; i < clients; i++) {
        open.add(mesh.client().send(GET));
      }
      for (Client client : open) {
        assertThat(client.read(false).status()).isEqualTo(503);
        client.close();
      }
      assertThat(asked).hasValue(clients + 1);
    }
  }

  @Test
  void connectionsThatAreLedOnAreCountedWithTheOthers() throws Exception {
    try (RawBackend backend =
            new RawBackend(connection -> connection.in.transferTo(connection.out));
        Mesh mesh = new Mesh()) {
      mesh.traffic = List.of(Mesh.ofService(new CircuitLimits(2, 0, 0, 0)));
      Streams.serve(mesh, Streams.route("tcp", List.of(), 1), backend.port());
      try (Client a = mesh.client();
          Client b = mesh.client();
          Client c = mesh.client()) {
        for (Client client : List.of(a, b)) {
          client.send("x");
          assertThat(client.in().read()).isEqualTo('x');
        }
        assertThatThrownBy(
                () -> {
                  c.send("x");
                  assertThat(c.in().read()).isEqualTo(-2);
                })
            .isInstanceOf(SocketException.class);
        assertThat(overflow(mesh, "connections")).isEqualTo(1);
      }
    }
  }
}
