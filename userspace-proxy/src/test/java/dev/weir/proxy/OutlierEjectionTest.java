// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.ProxyPlan;
import dev.weir.policy.plan.ProxyPlan.RouteRule;
import dev.weir.policy.plan.ProxyPlan.SessionPersistence;
import dev.weir.policy.plan.ProxyPlan.WeightedBackend;
import dev.weir.policy.plan.TrafficPolicy.OutlierEjection;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
// Line ends are part of what is sent.
@SuppressWarnings("StringConcatToTextBlock")
final class OutlierEjectionTest {

  private static final RouteRule ALL = Mesh.weighted(Mesh.any(), 1);

  /** Answers each request with a status of its own choice. */
  private static RawBackend answering(AtomicInteger status, AtomicInteger asked)
      throws IOException {
    return new RawBackend(
        connection -> {
          while (!connection.head().isEmpty()) {
            asked.incrementAndGet();
            connection.send("HTTP/1.1 " + status.get() + " As-It-Is\r\nContent-Length: 0\r\n\r\n");
          }
        });
  }

  private static OutlierEjection ejection(int errors, int baseMillis, int percent) {
    return new OutlierEjection(errors, 10_000, baseMillis, percent);
  }

  private static void await(String what, Callable<Boolean> holds) throws Exception {
    long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(30);
    while (!holds.call()) {
      assertThat(System.nanoTime()).as(what).isLessThan(deadline);
      Thread.sleep(10);
    }
  }

  @Test
  void withoutAPolicyADeadEndpointIsNotMetOnEverySecondRequest() throws Exception {
    try (RawBackend good = new RawBackend(RawBackend.named("good"));
        Mesh mesh = new Mesh()) {
      mesh.serveTogether(ALL, FreePorts.next(), good.port());
      long begun = System.nanoTime();
      try (Client client = mesh.client()) {
        for (int i = 0; i < 200; i++) {
          assertThat(client.get("/").status()).isEqualTo(200);
        }
      }
      long seconds = (System.nanoTime() - begun) / 1_000_000_000;
      assertThat(Streams.sample(mesh, "weir_proxy_upstream_connections_failed_total"))
          .isBetween(1L, 1 + seconds);
      assertThat(mesh.proxy.status()).contains("\"ejected\":[{\"cluster\":\"shop/cart:80\"");
      assertThat(Streams.sample(mesh, "weir_proxy_endpoints_ejected")).isEqualTo(1);
      assertThat(mesh.log()).contains("of shop/cart:80 for 1000 ms, error 1 in a row: no conn");
    }
  }

  @Test
  void whoListensAgainGetsRequestsAgain() throws Exception {
    int port = FreePorts.next();
    try (RawBackend good = new RawBackend(RawBackend.named("good"));
        Mesh mesh = new Mesh()) {
      mesh.serveTogether(ALL, port, good.port());
      try (Client client = mesh.client()) {
        assertThat(client.get("/").status()).isEqualTo(200);
        assertThat(client.get("/").status()).isEqualTo(200);
        try (RawBackend back = new RawBackend(port, RawBackend.named("back"))) {
          await("asked", () -> client.get("/").header("x-version").equals("back"));
          assertThat(back.accepted()).isPositive();
        }
      }
    }
  }

  @Test
  void whenNobodyElseIsLeftOneThatIsOutIsTriedAllTheSame() throws Exception {
    int first = FreePorts.next();
    int second = FreePorts.next();
    try (Mesh mesh = new Mesh()) {
      mesh.serveTogether(ALL, first, second);
      try (Client client = mesh.client()) {
        assertThat(client.get("/").status()).isEqualTo(502);
        assertThat(Streams.sample(mesh, "weir_proxy_endpoints_ejected")).isEqualTo(1);
        // Whichever of them it is that is out, the one that answers is found at once.
        for (int port : List.of(first, second)) {
          try (RawBackend back = new RawBackend(port, RawBackend.named("back"))) {
            // The one before may be a moment in closing.
            await("found", () -> client.get("/").header("x-version").equals("back"));
            assertThat(back.port()).isEqualTo(port);
          }
        }
      }
    }
  }

  @Test
  void withoutAPolicyAnswersEjectNobody() throws Exception {
    AtomicInteger asked = new AtomicInteger();
    try (RawBackend bad = answering(new AtomicInteger(503), asked);
        RawBackend good = new RawBackend(RawBackend.named("good"));
        Mesh mesh = new Mesh()) {
      mesh.serveTogether(ALL, bad.port(), good.port());
      try (Client client = mesh.client()) {
        for (int i = 0; i < 40; i++) {
          client.get("/");
        }
      }
      assertThat(asked).hasValue(20);
    }
  }

  @Test
  void errorsInARowEjectForTheBaseTimeAndThenForTwiceOfIt() throws Exception {
    AtomicInteger asked = new AtomicInteger();
    try (RawBackend bad = answering(new AtomicInteger(500), asked);
        RawBackend good = new RawBackend(RawBackend.named("good"));
        Mesh mesh = new Mesh()) {
      mesh.traffic = List.of(Mesh.ofService(ejection(3, 500, 50)));
      mesh.serveTogether(ALL, bad.port(), good.port());
      try (Client client = mesh.client()) {
        for (int i = 0; i < 6; i++) {
          client.get("/");
        }
        assertThat(mesh.log()).contains("for 500 ms, error 3 in a row: it answered 500");
        await(
            "out again",
            () -> {
              client.get("/");
              return mesh.log().contains("for 1000 ms, error 3");
            });
        assertThat(asked).hasValue(6);
      }
    }
  }

  @Test
  void anAnswerThatIsNoneBeginsTheCountAnew() throws Exception {
    AtomicInteger asked = new AtomicInteger();
    AtomicInteger status = new AtomicInteger(500);
    try (RawBackend wavering = answering(status, asked);
        RawBackend good = new RawBackend(RawBackend.named("good"));
        Mesh mesh = new Mesh()) {
      mesh.traffic = List.of(Mesh.ofService(ejection(3, 60_000, 50)));
      mesh.serveTogether(ALL, wavering.port(), good.port());
      try (Client client = mesh.client()) {
        for (int i = 0; i < 20; i++) {
          // Of each three of its answers the last is no error.
          status.set(asked.get() % 3 == 2 ? 404 : 500);
          client.get("/");
        }
      }
      assertThat(asked).hasValue(10);
    }
  }

  @Test
  void whoDoesNotAnswerIsEjectedLikeWhoAnswersWithAnError() throws Exception {
    try (RawBackend closing = new RawBackend(connection -> connection.head());
        RawBackend silent = new RawBackend(connection -> connection.in.readAllBytes());
        RawBackend good = new RawBackend(RawBackend.named("good"));
        Mesh mesh = new Mesh()) {
      mesh.traffic = List.of(Mesh.ofService(ejection(1, 60_000, 100)));
      mesh.serveTogether(
          new RouteRule(
              Mesh.any(), List.of(), List.of(new WeightedBackend(0, 1, List.of())), 300, 0),
          closing.port(),
          silent.port(),
          good.port());
      try (Client client = mesh.client()) {
        await(
            "both are out",
            () -> {
              client.get("/");
              return Streams.sample(mesh, "weir_proxy_endpoints_ejected") == 2;
            });
        for (int i = 0; i < 20; i++) {
          assertThat(client.get("/").status()).isEqualTo(200);
        }
      }
    }
  }

  @Test
  void aClientThatIsSlowIsNotTheBackendsFault() throws Exception {
    AtomicInteger asked = new AtomicInteger();
    try (RawBackend waiting =
            new RawBackend(
                connection -> {
                  asked.incrementAndGet();
                  connection.in.readAllBytes();
                });
        Mesh mesh = new Mesh()) {
      mesh.traffic = List.of(Mesh.ofService(ejection(1, 60_000, 100)));
      mesh.serveTogether(
          new RouteRule(
              Mesh.any(), List.of(), List.of(new WeightedBackend(0, 1, List.of())), 200, 0),
          waiting.port(),
          FreePorts.next());
      try (Client client = mesh.client()) {
        client.send("PUT / HTTP/1.1\r\nHost: cart\r\nContent-Length: 10\r\n\r\nhalf");
        assertThat(client.read(false).status()).isEqualTo(504);
      }
      assertThat(asked).hasValue(1);
      assertThat(mesh.proxy.status()).contains("\"ejected\":[]");
    }
  }

  @Test
  void noMoreThanThePercentageAreOut() throws Exception {
    AtomicInteger asked = new AtomicInteger();
    AtomicInteger status = new AtomicInteger(500);
    try (RawBackend a = answering(status, asked);
        RawBackend b = answering(status, asked);
        RawBackend c = answering(status, asked);
        RawBackend d = answering(status, asked);
        Mesh mesh = new Mesh()) {
      mesh.traffic = List.of(Mesh.ofService(ejection(2, 60_000, 50)));
      mesh.serveTogether(ALL, a.port(), b.port(), c.port(), d.port());
      try (Client client = mesh.client()) {
        for (int i = 0; i < 40; i++) {
          assertThat(client.get("/").status()).isEqualTo(500);
        }
      }
      assertThat(asked).hasValue(40);
      assertThat(Streams.sample(mesh, "weir_proxy_endpoints_ejected")).isEqualTo(2);
      assertThat(Streams.sample(mesh, "weir_proxy_endpoint_ejections_withheld_total")).isPositive();
    }
  }

  @Test
  void theLastOneIsNeverOut() throws Exception {
    AtomicInteger asked = new AtomicInteger();
    AtomicInteger status = new AtomicInteger(500);
    try (RawBackend a = answering(status, asked);
        RawBackend b = answering(status, asked);
        Mesh mesh = new Mesh()) {
      mesh.traffic = List.of(Mesh.ofService(ejection(1, 60_000, 100)));
      mesh.serveTogether(ALL, a.port(), b.port());
      try (Client client = mesh.client()) {
        for (int i = 0; i < 10; i++) {
          assertThat(client.get("/").status()).isEqualTo(500);
        }
      }
      assertThat(Streams.sample(mesh, "weir_proxy_endpoints_ejected")).isEqualTo(1);
      assertThat(Streams.sample(mesh, "weir_proxy_endpoint_ejections_total")).isEqualTo(1);
    }
  }

  @Test
  void eventLoopsAndUpdatesShareWhatIsKnown() throws Exception {
    AtomicInteger asked = new AtomicInteger();
    try (RawBackend bad = answering(new AtomicInteger(500), asked);
        RawBackend good = new RawBackend(RawBackend.named("good"));
        Mesh mesh = new Mesh(4, System::nanoTime)) {
      mesh.traffic = List.of(Mesh.ofService(ejection(4, 60_000, 50)));
      mesh.serveTogether(ALL, bad.port(), good.port());
      await(
          "out",
          () -> {
            try (Client client = mesh.client()) {
              client.get("/");
              return Streams.sample(mesh, "weir_proxy_endpoints_ejected") == 1;
            }
          });
      int until = asked.get();
      mesh.serveTogether(ALL, bad.port(), good.port());
      for (int i = 0; i < 20; i++) {
        try (Client client = mesh.client()) {
          assertThat(client.get("/").status()).isEqualTo(200);
        }
      }
      assertThat(asked).hasValue(until);
    }
  }

  @Test
  void aSessionLeavesAnEndpointThatIsOut() throws Exception {
    AtomicInteger asked = new AtomicInteger();
    AtomicInteger status = new AtomicInteger(200);
    try (RawBackend failing = answering(status, asked);
        RawBackend good = new RawBackend(RawBackend.named("good"));
        Mesh mesh = new Mesh()) {
      mesh.traffic = List.of(Mesh.ofService(ejection(2, 60_000, 50)));
      mesh.serveTogether(
          new RouteRule(
              "",
              Mesh.any(),
              List.of(),
              List.of(new WeightedBackend(0, 1, List.of())),
              0,
              0,
              Optional.empty(),
              Optional.of(
                  new SessionPersistence(SessionPersistence.Type.COOKIE, "sid", 0, 0, false))),
          failing.port(),
          good.port());
      try (Client client = mesh.client()) {
        Client.Response first = client.get("/");
        assertThat(asked).hasValue(1);
        String set = first.header("set-cookie");
        String cookie = "Cookie: " + set.substring(0, set.indexOf(';')) + "\r\n";
        status.set(500);
        client.get("/", cookie);
        client.get("/", cookie);
        Client.Response moved = client.get("/", cookie);
        assertThat(moved.header("x-version")).isEqualTo("good");
        assertThat(moved.header("set-cookie")).startsWith("sid=").isNotEqualTo(set);
      }
    }
  }

  @Test
  void aConnectionThatIsLedOnPassesOverWhereNobodyListens() throws Exception {
    try (ServerSocket good = new ServerSocket(0, 500, InetAddress.getLoopbackAddress());
        RawBackend greeting = new RawBackend(good, connection -> connection.send("hello"));
        Mesh mesh = new Mesh()) {
      mesh.proxy.update(
          Streams.together(
              Streams.service(
                  mesh,
                  List.of(Streams.route("shop/tls", List.of(), 1)),
                  List.of(),
                  FreePorts.next(),
                  greeting.port())));
      for (int i = 0; i < 30; i++) {
        try (Client client = mesh.client()) {
          assertThat(new String(client.in().readNBytes(5), StandardCharsets.US_ASCII))
              .isEqualTo("hello");
        }
      }
      assertThat(Streams.sample(mesh, "weir_proxy_upstream_connections_failed_total"))
          .isBetween(1L, 10L);
    }
  }

  private static RawBackend calls(AtomicInteger asked, String grpcStatus) throws IOException {
    return new RawBackend(
        connection -> {
          try (Http2Peer peer = Http2Peer.server(connection.socket)) {
            while (true) {
              Http2Peer.Frame frame = peer.nextOfInterest();
              if (frame.ends()) {
                asked.incrementAndGet();
                peer.headers(
                    frame.stream(), false, ":status", "200", "content-type", "application/grpc");
                peer.headers(frame.stream(), true, "grpc-status", grpcStatus);
              }
            }
          }
        });
  }

  @Test
  void callsOfGrpcThatFailEjectToo() throws Exception {
    AtomicInteger asked = new AtomicInteger();
    AtomicInteger other = new AtomicInteger();
    try (RawBackend bad = calls(asked, "14");
        // The caller's own mistake.
        RawBackend good = calls(other, "12");
        Mesh mesh = new Mesh()) {
      mesh.traffic = List.of(Mesh.ofService(ejection(3, 60_000, 50)));
      mesh.proxy.update(
          Streams.with(
              Streams.together(
                  mesh.update(
                      List.of(Mesh.route(ALL)),
                      List.of(),
                      List.of(),
                      List.of(),
                      bad.port(),
                      good.port())),
              proxy ->
                  new ProxyPlan(
                      proxy.listeners(),
                      proxy.virtualServices(),
                      proxy.clusters().stream()
                          .map(
                              c ->
                                  new ProxyPlan.Cluster(
                                      c.workload(),
                                      c.port(),
                                      c.name(),
                                      c.endpoints(),
                                      c.workloads(),
                                      "grpc",
                                      c.tls()))
                          .toList())));
      try (Client client = mesh.client()) {
        for (int i = 0; i < 20; i++) {
          client.send(
              "POST / HTTP/1.1\r\nHost: cart\r\nContent-Type: application/grpc\r\n"
                  + "TE: trailers\r\nContent-Length: 0\r\n\r\n");
          assertThat(client.read(false).status()).isEqualTo(200);
        }
      }
      assertThat(asked).hasValue(3);
      assertThat(other).hasValue(17);
      assertThat(mesh.log()).contains("it answered 14");
    }
  }
}
