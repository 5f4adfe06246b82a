// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.ProxyPlan;
import dev.weir.policy.plan.ProxyUpdate;
import dev.weir.policy.plan.Verdict;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Connections to a service that a new generation leads past the proxy. */
@Timeout(30)
final class LeavingTest {

  /** The service is still there, with the same backend, but has no routes. */
  private static void takeTheRouteAway(Mesh mesh, List<Verdict> verdicts, int backend)
      throws Exception {
    ProxyUpdate with = mesh.update(List.of(), List.of(), List.of(), verdicts, backend);
    mesh.proxy.update(Streams.with(with, proxy -> new ProxyPlan(List.of(), List.of(), List.of())));
  }

  @Test
  void idleOnesAreClosedAtOnce() throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh()) {
      mesh.serve(backend.port());
      try (Client used = mesh.client();
          Client fresh = mesh.client()) {
        assertThat(used.get("/").status()).isEqualTo(200);
        takeTheRouteAway(mesh, List.of(), backend.port());
        assertThat(used.closed()).isTrue();
        assertThat(fresh.closed()).isTrue();
      }
    }
  }

  @Test
  void oneThatTheNewGenerationStillServesIsKept() throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh()) {
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        assertThat(client.get("/").status()).isEqualTo(200);
        mesh.serve(backend.port());
        Thread.sleep(600); // More than two ticks.
        assertThat(client.get("/").header("connection")).isEmpty();
      }
    }
  }

  @Test
  void aRequestInFlightIsAnsweredAndTheConnectionEndsWithIt() throws Exception {
    CountDownLatch answer = new CountDownLatch(1);
    try (RawBackend backend = slow(answer);
        Mesh mesh = new Mesh()) {
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        client.send("GET / HTTP/1.1\r\nHost: cart\r\n\r\n");
        awaitRequest(backend);
        takeTheRouteAway(mesh, List.of(), backend.port());
        answer.countDown();
        Client.Response response = client.read(false);
        assertThat(response.text()).isEqualTo("late");
        assertThat(response.header("connection")).isEqualTo("close");
        assertThat(client.closed()).isTrue();
      }
    }
  }

  @Test
  void whatWasAskedForBehindItIsAnsweredByTheOldRoutes() throws Exception {
    CountDownLatch answer = new CountDownLatch(1);
    try (RawBackend backend = slow(answer);
        Mesh mesh = new Mesh()) {
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        String request = "POST / HTTP/1.1\r\nHost: cart\r\nContent-Length: 1\r\n\r\nx";
        client.send(request + request);
        awaitRequest(backend);
        takeTheRouteAway(mesh, List.of(), backend.port());
        answer.countDown();
        assertThat(client.read(false).status()).isEqualTo(200);
        Client.Response second = client.read(false);
        assertThat(second.status()).isEqualTo(200);
        assertThat(second.header("connection")).isEqualTo("close");
        assertThat(client.closed()).isTrue();
      }
    }
  }

  @Test
  void aRequestThatHasBegunToArriveIsAnsweredByTheOldRoutes() throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh()) {
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        begin(client);
        takeTheRouteAway(mesh, List.of(Mesh.verdict(8, backend.port())), backend.port());
        Client.Response response = client.send("Host: cart\r\n\r\n").read(false);
        assertThat(response.header("x-version")).isEqualTo("v1");
        assertThat(response.header("connection")).isEqualTo("close");
        assertThat(client.closed()).isTrue();
      }
    }
  }

  @Test
  void aVerdictTakenBackWithTheRouteIsRefused() throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh()) {
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        begin(client);
        takeTheRouteAway(mesh, List.of(Mesh.verdict(9, backend.port())), backend.port());
        Client.Response response = client.send("Host: cart\r\n\r\n").read(false);
        assertThat(response.status()).isEqualTo(403);
        assertThat(response.header("connection")).isEqualTo("close");
        assertThat(client.closed()).isTrue();
      }
      assertThat(mesh.log()).contains("NetworkPolicy shop/cart (policy.yaml:12)");
    }
  }

  @Test
  void aBackendThatThePlanDoesNotKnowAnyMoreIsNotAsked() throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh()) {
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        begin(client);
        takeTheRouteAway(mesh, List.of(), FreePorts.next());
        Client.Response response = client.send("Host: cart\r\n\r\n").read(false);
        assertThat(response.status()).isEqualTo(404);
        assertThat(client.closed()).isTrue();
      }
    }
  }

  /** One whole request, and half of the next one's head, of which the proxy knows. */
  private static void begin(Client client) throws Exception {
    assertThat(client.get("/").status()).isEqualTo(200);
    client.send("GET / HTTP/1.1\r\n");
    Thread.sleep(100);
  }

  private static RawBackend slow(CountDownLatch answer) throws Exception {
    return new RawBackend(
        connection -> {
          for (String head = connection.head(); !head.isEmpty(); head = connection.head()) {
            connection.in.readNBytes(head.startsWith("POST") ? 1 : 0);
            try {
              answer.await();
            } catch (InterruptedException e) {
              Thread.currentThread().interrupt();
            }
            connection.respond("", "late");
          }
        });
  }

  private static void awaitRequest(RawBackend backend) throws Exception {
    while (backend.accepted() == 0) {
      Thread.sleep(5);
    }
    Thread.sleep(50);
  }
}
