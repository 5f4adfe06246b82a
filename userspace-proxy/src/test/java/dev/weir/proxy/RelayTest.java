// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static java.nio.charset.StandardCharsets.US_ASCII;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.weir.policy.plan.ProxyPlan.L4Route;
import dev.weir.policy.plan.ProxyPlan.ListenerProtocol;
import dev.weir.policy.plan.ProxyUpdate;
import dev.weir.proxy.listen.OriginSource;
import io.netty.util.internal.PlatformDependent;
import java.io.IOException;
import java.io.InputStream;
import java.net.SocketException;
import java.util.List;
import java.util.Optional;
import java.util.SplittableRandom;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.zip.CRC32;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Connections that are led on as they are, over real sockets. */
@Timeout(60)
final class RelayTest {

  private static final int MEGABYTES = 50;

  private static L4Route all() {
    return Streams.route("all", List.of(), 1);
  }

  private static RawBackend.Behaviour echo() {
    return connection -> {
      byte[] piece = new byte[8192];
      for (int n = connection.in.read(piece); n >= 0; n = connection.in.read(piece)) {
        connection.out.write(piece, 0, n);
      }
    };
  }

  private static RawBackend.Behaviour says(String name) {
    return connection -> {
      connection.send(name);
      connection.in.readAllBytes();
    };
  }

  private static String all(Client client) throws IOException {
    return new String(client.in().readAllBytes(), US_ASCII);
  }

  @Test
  void theServerMaySpeakFirst() throws Exception {
    try (RawBackend backend = new RawBackend(says("220 ready"));
        Mesh mesh = new Mesh()) {
      Streams.serve(mesh, all(), backend.port());
      try (Client client = mesh.client()) {
        assertThat(client.in().readNBytes(9)).isEqualTo("220 ready".getBytes(US_ASCII));
      }
    }
  }

  @Test
  void whatTheClientHasSentIsAnsweredAfterItHasEndedItsSide() throws Exception {
    try (RawBackend backend =
            new RawBackend(
                connection -> {
                  int length = connection.in.readAllBytes().length;
                  connection.send("got " + length);
                });
        Mesh mesh = new Mesh()) {
      Streams.serve(mesh, all(), backend.port());
      try (Client client = mesh.client()) {
        client.socket().getOutputStream().write(new byte[300_000]);
        client.socket().shutdownOutput();
        assertThat(all(client)).isEqualTo("got 300000");
      }
    }
  }

  @Test
  void whatTheClientSendsStillArrivesAfterTheServerHasEndedItsSide() throws Exception {
    CompletableFuture<String> received = new CompletableFuture<>();
    try (RawBackend backend =
            new RawBackend(
                connection -> {
                  connection.send("bye");
                  connection.socket.shutdownOutput();
                  received.complete(new String(connection.in.readAllBytes(), US_ASCII));
                });
        Mesh mesh = new Mesh()) {
      Streams.serve(mesh, all(), backend.port());
      try (Client client = mesh.client()) {
        assertThat(all(client)).isEqualTo("bye");
        client.send("still here");
      }
      assertThat(received.get(10, TimeUnit.SECONDS)).isEqualTo("still here");
      settled(mesh);
    }
  }

  /** Both sockets are closed, and counted so. */
  private static void settled(Mesh mesh) throws Exception {
    for (int i = 0; i < 100; i++) {
      if (Streams.sample(mesh, "weir_proxy_connections_active") == 0
          && Streams.sample(mesh, "istio_tcp_connections_closed_total", "response_flags=\"-\"")
              == Streams.sample(
                  mesh, "istio_tcp_connections_opened_total", "response_flags=\"-\"")) {
        return;
      }
      Thread.sleep(50);
    }
    throw new AssertionError("connections stay open:\n" + mesh.proxy.metrics());
  }

  private static long checksum(InputStream in, AtomicLong read) throws IOException {
    CRC32 sum = new CRC32();
    byte[] piece = new byte[65536];
    for (int n = in.read(piece); n >= 0; n = in.read(piece)) {
      sum.update(piece, 0, n);
      read.addAndGet(n);
    }
    return sum.getValue();
  }

  private static byte[] megabyte() {
    byte[] bytes = new byte[1 << 20];
    new SplittableRandom(7).nextBytes(bytes);
    return bytes;
  }

  private static long expected() {
    CRC32 sum = new CRC32();
    for (int i = 0; i < MEGABYTES; i++) {
      sum.update(megabyte());
    }
    return sum.getValue();
  }

  /** Waits until a count stands still, and tells where. */
  private static long standstill(Mesh mesh, String family) throws Exception {
    long before = -1;
    for (int i = 0; i < 60; i++) {
      long now = Streams.sample(mesh, family, "response_flags=\"-\"");
      if (now == before && now > 0) {
        return now;
      }
      before = now;
      Thread.sleep(300);
    }
    throw new AssertionError("it never stands still");
  }

  @Test
  void aClientThatDoesNotReadHoldsTheServerUpInBoundedMemory() throws Exception {
    try (RawBackend backend =
            new RawBackend(
                connection -> {
                  byte[] piece = megabyte();
                  for (int i = 0; i < MEGABYTES; i++) {
                    connection.out.write(piece);
                  }
                });
        Mesh mesh = new Mesh()) {
      Streams.serve(mesh, all(), backend.port());
      long directBefore = PlatformDependent.usedDirectMemory();
      try (Client client = mesh.client()) {
        // What went through has its place in the client's socket buffers, a few megabytes.
        assertThat(standstill(mesh, "istio_tcp_sent_bytes_total")).isLessThan(20L << 20);
        assertThat(PlatformDependent.usedDirectMemory() - directBefore).isLessThan(5L << 20);
        AtomicLong read = new AtomicLong();
        assertThat(checksum(client.in(), read)).isEqualTo(expected());
        assertThat(read.get()).isEqualTo((long) MEGABYTES << 20);
      }
      settled(mesh);
    }
  }

  @Test
  void aServerThatDoesNotReadHoldsTheClientUpInBoundedMemory() throws Exception {
    CountDownLatch read = new CountDownLatch(1);
    CompletableFuture<Long> sum = new CompletableFuture<>();
    try (RawBackend backend =
            new RawBackend(
                connection -> {
                  try {
                    read.await();
                  } catch (InterruptedException e) {
                    Thread.currentThread().interrupt();
                  }
                  sum.complete(checksum(connection.in, new AtomicLong()));
                });
        Mesh mesh = new Mesh()) {
      Streams.serve(mesh, all(), backend.port());
      long directBefore = PlatformDependent.usedDirectMemory();
      try (Client client = mesh.client()) {
        Thread writer =
            Thread.ofVirtual()
                .start(
                    () -> {
                      try {
                        byte[] piece = megabyte();
                        for (int i = 0; i < MEGABYTES; i++) {
                          client.socket().getOutputStream().write(piece);
                        }
                        client.socket().shutdownOutput();
                      } catch (IOException e) {
                        sum.completeExceptionally(e);
                      }
                    });
        assertThat(standstill(mesh, "istio_tcp_received_bytes_total")).isLessThan(20L << 20);
        assertThat(PlatformDependent.usedDirectMemory() - directBefore).isLessThan(5L << 20);
        read.countDown();
        assertThat(sum.get(30, TimeUnit.SECONDS)).isEqualTo(expected());
        writer.join();
        assertThat(client.closed()).isTrue();
      }
      settled(mesh);
    }
  }

  @Test
  void weightsAreExact() throws Exception {
    try (RawBackend stable = new RawBackend(says("s"));
        RawBackend canary = new RawBackend(says("c"));
        Mesh mesh = new Mesh()) {
      Streams.serve(mesh, Streams.route("split", List.of(), 95, 5), stable.port(), canary.port());
      int canaries = 0;
      for (int i = 0; i < 100; i++) {
        if (i == 50) {
          // A new plan goes on with the turns.
          Streams.serve(
              mesh, Streams.route("split", List.of(), 95, 5), stable.port(), canary.port());
        }
        try (Client client = mesh.client()) {
          canaries += client.in().read() == 'c' ? 1 : 0;
        }
      }
      assertThat(canaries).isEqualTo(5);
    }
  }

  @Test
  void anotherBackendIsTriedWhenOneCannotBeReached() throws Exception {
    try (RawBackend backend = new RawBackend(says("here"));
        Mesh mesh = new Mesh()) {
      mesh.proxy.update(
          Streams.together(
              Streams.service(mesh, List.of(all()), List.of(), FreePorts.next(), backend.port())));
      for (int i = 0; i < 4; i++) {
        try (Client client = mesh.client()) {
          assertThat(client.in().readNBytes(4)).isEqualTo("here".getBytes(US_ASCII));
        }
      }
      assertThat(Streams.sample(mesh, "weir_proxy_upstream_retries_total")).isBetween(1L, 4L);
    }
  }

  @Test
  void aBackendThatCannotBeReachedIsAResetAndNoEnd() throws Exception {
    try (Mesh mesh = new Mesh()) {
      Streams.serve(mesh, all(), FreePorts.next());
      try (Client client = mesh.client()) {
        assertThatThrownBy(() -> client.in().read()).isInstanceOf(SocketException.class);
      }
      assertThat(mesh.proxy.metrics())
          .contains("weir_proxy_connections_refused_total{reason=\"no_backend\"} 1\n");
      assertThat(
              Streams.sample(mesh, "istio_tcp_connections_opened_total", "response_flags=\"UF\""))
          .isEqualTo(1);
    }
  }

  @Test
  void aResetIsPassedOnAsOne() throws Exception {
    try (RawBackend backend =
            new RawBackend(
                connection -> {
                  connection.send("part of");
                  connection.in.read();
                  connection.socket.setSoLinger(true, 0);
                });
        Mesh mesh = new Mesh()) {
      Streams.serve(mesh, all(), backend.port());
      try (Client client = mesh.client()) {
        assertThat(client.in().readNBytes(7)).hasSize(7);
        client.send("x");
        assertThatThrownBy(() -> client.in().read()).isInstanceOf(SocketException.class);
      }
      settled(mesh);
    }
  }

  @Test
  void aShareWithoutABackendIsClosedAndTheOthersAreNot() throws Exception {
    try (RawBackend backend = new RawBackend(says("here"));
        Mesh mesh = new Mesh()) {
      L4Route none = new L4Route("shop/none", 1, List.of(), List.of());
      Streams.serve(mesh, none, backend.port());
      try (Client client = mesh.client()) {
        assertThat(client.closed()).isTrue();
      }
      assertThat(mesh.proxy.metrics())
          .contains("weir_proxy_connections_refused_total{reason=\"no_backend\"} 1\n");
    }
  }

  @Test
  void aSourceThatMayNotReachTheBackendIsClosedAndTheRuleNamed() throws Exception {
    try (RawBackend backend = new RawBackend(says("here"));
        Mesh mesh = new Mesh()) {
      mesh.proxy.update(
          Streams.service(
              mesh, List.of(all()), List.of(Mesh.verdict(8, backend.port())), backend.port()));
      try (Client client = mesh.client()) {
        assertThat(client.in().readNBytes(4)).hasSize(4);
      }
      mesh.origin = Optional.of(new OriginSource.Handover(Mesh.VIP, 80, Mesh.STRANGER));
      try (Client client = mesh.client()) {
        assertThat(client.closed()).isTrue();
      }
      assertThat(backend.accepted()).isEqualTo(1);
      assertThat(mesh.log())
          .contains(
              "closed shop/stranger may not connect to shop/cart-v1",
              "NetworkPolicy shop/cart (policy.yaml:12)");
      assertThat(mesh.proxy.metrics())
          .contains("weir_proxy_connections_refused_total{reason=\"verdict\"} 1\n");
    }
  }

  @Test
  void aPlanThatDoesNotAllowAConnectionAnyMoreEndsIt() throws Exception {
    try (RawBackend backend = new RawBackend(echo());
        Mesh mesh = new Mesh()) {
      Streams.serve(mesh, all(), backend.port());
      try (Client client = mesh.client()) {
        client.send("a");
        assertThat(client.in().read()).isEqualTo('a');
        // The same again leaves it alone.
        Streams.serve(mesh, all(), backend.port());
        client.send("b");
        assertThat(client.in().read()).isEqualTo('b');
        mesh.proxy.update(
            Streams.service(
                mesh, List.of(all()), List.of(Mesh.verdict(9, backend.port())), backend.port()));
        assertThat(client.closed()).isTrue();
      }
      assertThat(mesh.proxy.metrics()).contains("weir_proxy_connections_revoked_total 1\n");
      assertThat(mesh.log()).contains("ended shop/web may not connect to shop/cart-v1");
    }
  }

  @Test
  void bytesAndConnectionsAreCountedByIstiosNames() throws Exception {
    try (RawBackend backend = new RawBackend(echo());
        Mesh mesh = new Mesh()) {
      Streams.serve(mesh, all(), backend.port());
      try (Client client = mesh.client()) {
        client.send("12345");
        assertThat(client.in().readNBytes(5)).hasSize(5);
        client.socket().shutdownOutput();
        assertThat(client.closed()).isTrue();
      }
      settled(mesh);
      String[] labels = {
        "reporter=\"source\"",
        "source_workload=\"web\"",
        "destination_workload=\"cart-v1\"",
        "destination_service=\"cart.shop.svc.cluster.local\"",
        "request_protocol=\"tcp\"",
        "response_flags=\"-\""
      };
      assertThat(Streams.sample(mesh, "istio_tcp_connections_opened_total", labels)).isEqualTo(1);
      assertThat(Streams.sample(mesh, "istio_tcp_connections_closed_total", labels)).isEqualTo(1);
      assertThat(Streams.sample(mesh, "istio_tcp_sent_bytes_total", labels)).isEqualTo(5);
      assertThat(Streams.sample(mesh, "istio_tcp_received_bytes_total", labels)).isEqualTo(5);
    }
  }

  @Test
  void aConnectionWithoutAByteForAnHourEnds() throws Exception {
    AtomicLong ahead = new AtomicLong();
    try (RawBackend backend = new RawBackend(echo());
        Mesh mesh = new Mesh(1, () -> System.nanoTime() + ahead.get())) {
      Streams.serve(mesh, all(), backend.port());
      try (Client client = mesh.client()) {
        client.send("a");
        assertThat(client.in().read()).isEqualTo('a');
        ahead.set(TimeUnit.MINUTES.toNanos(59));
        Thread.sleep(600);
        client.send("b");
        assertThat(client.in().read()).isEqualTo('b');
        ahead.set(TimeUnit.MINUTES.toNanos(121));
        assertThat(client.closed()).isTrue();
      }
      settled(mesh);
    }
  }

  @Test
  void aGatewaysTcpListenerLeadsOn() throws Exception {
    try (RawBackend backend = new RawBackend(echo());
        Mesh mesh = new Mesh()) {
      int port = FreePorts.next();
      Streams.gateway(
          mesh,
          List.of(Streams.listener(port, "tcp", "", ListenerProtocol.TCP, List.of(), all())),
          List.of(),
          backend.port());
      try (Client client = new Client(port)) {
        client.send("a");
        assertThat(client.in().read()).isEqualTo('a');
      }
    }
  }

  @Test
  void aPortMayTurnFromRequestsToConnectionsAndBack() throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh()) {
      for (int i = 0; i < 2; i++) {
        mesh.serve(backend.port());
        try (Client client = mesh.client()) {
          assertThat(client.get("/").status()).isEqualTo(200);
        }
        ProxyUpdate update = Streams.service(mesh, List.of(all()), List.of(), backend.port());
        mesh.proxy.update(update);
        try (Client client = mesh.client()) {
          // Nobody looks at it here: even this gets through.
          client.send("GET / HTTP/1.1\r\nfolded:\r\n \r\n\r\n");
          assertThat(client.read(false).header("x-version")).isEqualTo("v1");
        }
      }
    }
  }
}
