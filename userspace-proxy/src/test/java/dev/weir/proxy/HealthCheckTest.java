// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.ProxyPlan.RouteRule;
import dev.weir.policy.plan.TrafficPolicy.HealthCheck;
import dev.weir.policy.plan.TrafficPolicy.HealthCheckType;
import java.io.IOException;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.Callable;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
final class HealthCheckTest {

  private static final RouteRule ALL = Mesh.weighted(Mesh.any(), 1);

  /** Often, and with time to answer on a machine that has much to do. */
  private static HealthCheck check(HealthCheckType type) {
    return check(type, 5_000);
  }

  private static HealthCheck check(HealthCheckType type, int timeoutMillis) {
    boolean http = type == HealthCheckType.HTTP;
    return new HealthCheck(type, 0, http ? "/healthz" : "", "", 100, timeoutMillis, 2, 2, 200, 299);
  }

  private static void await(String what, Callable<Boolean> holds) throws Exception {
    long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(30);
    while (!holds.call()) {
      assertThat(System.nanoTime()).as(what).isLessThan(deadline);
      Thread.sleep(10);
    }
  }

  private static void awaitIll(Mesh mesh, int endpoints) throws Exception {
    await(endpoints + " ill", () -> Streams.sample(mesh, "weir_proxy_endpoints_ill") == endpoints);
  }

  /** Answers checks with a status, and everything else with its name. */
  private static RawBackend checked(String name, AtomicInteger status, Queue<String> heads)
      throws IOException {
    return new RawBackend(
        connection -> {
          for (String head = connection.head(); !head.isEmpty(); head = connection.head()) {
            if (head.startsWith("GET /healthz ")) {
              heads.add(head);
              connection.send("HTTP/1.1 " + status + " As-It-Is\r\nContent-Length: 4\r\n\r\nwell");
            } else {
              connection.respond("x-version: " + name + "\r\n", "");
            }
          }
        });
  }

  private static int answeredBy(Client client, int requests, String version) throws IOException {
    int answered = 0;
    for (int i = 0; i < requests; i++) {
      answered += client.get("/").header("x-version").equals(version) ? 1 : 0;
    }
    return answered;
  }

  @Test
  void whoAnswersItsChecksBadlyGetsNoRequestsUntilItAnswersWell() throws Exception {
    AtomicInteger status = new AtomicInteger(200);
    Queue<String> heads = new ConcurrentLinkedQueue<>();
    try (RawBackend a = checked("a", status, heads);
        RawBackend b = checked("b", new AtomicInteger(204), new ConcurrentLinkedQueue<>());
        Mesh mesh = new Mesh(2, System::nanoTime)) {
      mesh.traffic = List.of(Mesh.ofService(check(HealthCheckType.HTTP)));
      mesh.serveTogether(ALL, a.port(), b.port());
      await("asked", () -> heads.size() > 2);
      assertThat(heads.peek())
          .startsWith("GET /healthz HTTP/1.1\r\n")
          .containsIgnoringCase("host: cart.shop.svc.cluster.local\r\n")
          .containsIgnoringCase("user-agent: weir-health-check\r\n");
      try (Client client = mesh.client()) {
        assertThat(answeredBy(client, 20, "a")).isEqualTo(10);
        status.set(503);
        awaitIll(mesh, 1);
        assertThat(answeredBy(client, 20, "b")).isEqualTo(20);
        await("the reason", () -> mesh.log().contains("checks in a row failed: it answered 503"));
        assertThat(mesh.proxy.status()).contains("\"ill\":[{\"cluster\":\"shop/cart:80\"");
        // A new plan knows it as well.
        mesh.serveTogether(ALL, a.port(), b.port());
        assertThat(answeredBy(client, 20, "b")).isEqualTo(20);
        status.set(200);
        awaitIll(mesh, 0);
        assertThat(answeredBy(client, 20, "a")).isEqualTo(10);
      }
    }
  }

  @Test
  void backendsMayBeAskedAtAnotherPortThanTheOneThatIsServed() throws Exception {
    AtomicInteger status = new AtomicInteger(200);
    Queue<String> heads = new ConcurrentLinkedQueue<>();
    Queue<String> served = new ConcurrentLinkedQueue<>();
    try (RawBackend a = checked("a", new AtomicInteger(500), served);
        RawBackend health = checked("health", status, heads);
        Mesh mesh = new Mesh()) {
      HealthCheck other =
          new HealthCheck(
              HealthCheckType.HTTP, health.port(), "/healthz", "", 100, 5000, 2, 2, 200, 299);
      mesh.traffic = List.of(Mesh.ofService(other));
      mesh.serve(a.port());
      await("asked", () -> heads.size() > 2);
      status.set(500);
      awaitIll(mesh, 1);
      // A new plan goes on asking there.
      mesh.serve(a.port());
      status.set(200);
      awaitIll(mesh, 0);
      try (Client client = mesh.client()) {
        assertThat(answeredBy(client, 3, "a")).isEqualTo(3);
      }
      assertThat(served).isEmpty();
    }
  }

  @Test
  void oneEventLoopAsksForAllAndNoMoreOftenThanItIsTold() throws Exception {
    Queue<String> heads = new ConcurrentLinkedQueue<>();
    try (RawBackend a = checked("a", new AtomicInteger(200), heads);
        Mesh mesh = new Mesh(4, System::nanoTime)) {
      mesh.traffic = List.of(Mesh.ofService(check(HealthCheckType.HTTP)));
      long begun = System.nanoTime();
      for (int i = 0; i < 10; i++) {
        // Updates are no reason to ask again.
        mesh.serve(a.port());
        Thread.sleep(100);
      }
      await("asked more than once", () -> heads.size() > 2);
      long asked = heads.size();
      long millis = (System.nanoTime() - begun) / 1_000_000;
      assertThat(asked).isLessThanOrEqualTo(millis / 90 + 1);
    }
  }

  @Test
  void whereNobodyListensAndWhereNobodyAnswersIsIll() throws Exception {
    try (RawBackend silent = new RawBackend(connection -> connection.in.readAllBytes());
        RawBackend good = checked("good", new AtomicInteger(200), new ConcurrentLinkedQueue<>());
        Mesh mesh = new Mesh()) {
      mesh.traffic = List.of(Mesh.ofService(check(HealthCheckType.HTTP, 1_000)));
      mesh.serveTogether(ALL, FreePorts.next(), silent.port(), good.port());
      awaitIll(mesh, 2);
      // The log is told after the status.
      await("a reason of each", () -> mesh.log().contains("no connection: "));
      await("a reason of each", () -> mesh.log().contains("no answer in 1000 ms"));
      try (Client client = mesh.client()) {
        assertThat(answeredBy(client, 20, "good")).isEqualTo(20);
      }
    }
  }

  @Test
  void whenNobodyIsWellEverybodyGetsRequests() throws Exception {
    AtomicInteger status = new AtomicInteger(500);
    try (RawBackend a = checked("a", status, new ConcurrentLinkedQueue<>());
        RawBackend b = checked("b", status, new ConcurrentLinkedQueue<>());
        Mesh mesh = new Mesh()) {
      mesh.traffic = List.of(Mesh.ofService(check(HealthCheckType.HTTP)));
      mesh.serveTogether(ALL, a.port(), b.port());
      awaitIll(mesh, 2);
      try (Client client = mesh.client()) {
        assertThat(answeredBy(client, 20, "a")).isEqualTo(10);
      }
    }
  }

  @Test
  void whoIsAskedNoMoreIsTakenToBeWell() throws Exception {
    Queue<String> heads = new ConcurrentLinkedQueue<>();
    try (RawBackend a = checked("a", new AtomicInteger(500), heads);
        RawBackend b = checked("b", new AtomicInteger(200), new ConcurrentLinkedQueue<>());
        Mesh mesh = new Mesh()) {
      mesh.traffic = List.of(Mesh.ofService(check(HealthCheckType.HTTP)));
      mesh.serveTogether(ALL, a.port(), b.port());
      awaitIll(mesh, 1);
      mesh.traffic = List.of();
      mesh.serveTogether(ALL, a.port(), b.port());
      awaitIll(mesh, 0);
      try (Client client = mesh.client()) {
        assertThat(answeredBy(client, 20, "a")).isEqualTo(10);
      }
      Thread.sleep(200);
      int asked = heads.size();
      Thread.sleep(400);
      assertThat(heads).hasSize(asked);
    }
  }

  @Test
  void aConnectionIsAllThatTcpAsksFor() throws Exception {
    int port = FreePorts.next();
    try (RawBackend good = new RawBackend(RawBackend.named("good"));
        Mesh mesh = new Mesh()) {
      mesh.traffic = List.of(Mesh.ofService(check(HealthCheckType.TCP)));
      try (RawBackend first = new RawBackend(port, RawBackend.named("first"))) {
        mesh.serveTogether(ALL, port, good.port());
        await("asked", () -> first.accepted() > 3);
        assertThat(Streams.sample(mesh, "weir_proxy_health_checks_failed_total")).isZero();
      }
      awaitIll(mesh, 1);
      try (RawBackend again = new RawBackend(port, RawBackend.named("first"))) {
        awaitIll(mesh, 0);
        assertThat(again.accepted()).isPositive();
      }
    }
  }

  @Test
  void aServerOfGrpcIsAskedWhetherItServes() throws Exception {
    AtomicInteger serving = new AtomicInteger(1);
    Queue<String> paths = new ConcurrentLinkedQueue<>();
    try (RawBackend a =
            new RawBackend(
                connection -> {
                  try (Http2Peer peer = Http2Peer.server(connection.socket)) {
                    while (true) {
                      Http2Peer.Frame frame = peer.nextOfInterest();
                      if (frame.fields().containsKey(":path")) {
                        paths.add(
                            frame.fields().get(":method") + " " + frame.fields().get(":path"));
                      }
                      if (frame.ends()) {
                        peer.headers(
                            frame.stream(),
                            false,
                            ":status",
                            "200",
                            "content-type",
                            "application/grpc");
                        peer.data(frame.stream(), "\0\0\0\0\2\b" + (char) serving.get(), false);
                        peer.headers(frame.stream(), true, "grpc-status", "0");
                      }
                    }
                  }
                });
        Mesh mesh = new Mesh()) {
      mesh.traffic = List.of(Mesh.ofService(check(HealthCheckType.GRPC)));
      Http2BackendTest.serve(mesh, "grpc", a.port());
      await("asked", () -> paths.size() > 3);
      assertThat(paths).containsOnly("POST /grpc.health.v1.Health/Check");
      assertThat(Streams.sample(mesh, "weir_proxy_health_checks_failed_total")).isZero();
      // NOT_SERVING
      serving.set(2);
      awaitIll(mesh, 1);
      await("the reason", () -> mesh.log().contains("it is not SERVING"));
      serving.set(1);
      awaitIll(mesh, 0);
    }
  }
}
