// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assumptions.assumeThat;

import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.ProxyPlan.Listener;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.UUID;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** More than there is room for: what is there is finished, what comes is turned away. */
@Timeout(180)
final class OverloadTest {

  private static final long LIMIT = 96 << 20;

  @TempDir private Path directory;

  @Test
  void aRequestIsRefusedEarlyWhenMemoryIsShort() throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh()) {
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        assertThat(client.get("/").status()).isEqualTo(200);
        mesh.memoryUsed = 900;
        Client.Response refused = client.get("/");
        assertThat(refused.status()).isEqualTo(503);
        assertThat(refused.header("retry-after")).isEqualTo("1");
        mesh.memoryUsed = 800;
        assertThat(client.get("/").status()).isEqualTo(200);
      }
      assertThat(backend.accepted()).isEqualTo(1);
      assertThat(mesh.proxy.metrics())
          .contains("weir_proxy_requests_shed_total 1\n", "response_flags=\"OM\"");
    }
  }

  @Test
  void aConnectionIsRefusedWhenMemoryIsShortAndOldOnesGoOn() throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh()) {
      mesh.serve(backend.port());
      try (Client old = mesh.client()) {
        assertThat(old.get("/").status()).isEqualTo(200);
        mesh.memoryUsed = 900;
        try (Client fresh = mesh.client()) {
          assertThat(fresh.closed()).isTrue();
        }
        mesh.memoryUsed = 0;
        assertThat(old.get("/").status()).isEqualTo(200);
      }
      assertThat(mesh.proxy.metrics())
          .contains("weir_proxy_connections_refused_total{reason=\"memory\"} 1\n");
    }
  }

  /** A memory cgroup of its own with 96 MiB: of version 1 or 2, whichever this machine has. */
  private static Optional<Path> cgroup() throws IOException {
    for (String line : Files.readAllLines(Path.of("/proc/self/mountinfo"))) {
      String[] fields = line.split(" - ", 2);
      Path mount = Path.of(fields[0].split(" ", -1)[4]);
      boolean v1 = fields[1].startsWith("cgroup ") && fields[1].matches(".*[ ,]memory(,.*)?");
      boolean v2 =
          fields[1].startsWith("cgroup2 ")
              && Files.readString(mount.resolve("cgroup.subtree_control")).contains("memory");
      if ((v1 || v2) && Files.isWritable(mount)) {
        Path group = Files.createDirectory(mount.resolve("weir-test-" + UUID.randomUUID()));
        Files.writeString(
            group.resolve(v1 ? "memory.limit_in_bytes" : "memory.max"), Long.toString(LIMIT));
        return Optional.of(group);
      }
    }
    return Optional.empty();
  }

  private static SocketChannel open(int port) throws IOException {
    SocketChannel channel = SocketChannel.open();
    channel.connect(new InetSocketAddress(InetAddress.getLoopbackAddress(), port));
    return channel;
  }

  /** Asks and reads the answer: its status, or how the connection ended. */
  private static String ask(SocketChannel channel) {
    try {
      channel.write(
          ByteBuffer.wrap(
              "GET / HTTP/1.1\r\nHost: cart\r\n\r\n".getBytes(StandardCharsets.US_ASCII)));
      ByteBuffer answer = ByteBuffer.allocate(1000);
      return channel.read(answer) > 12
          ? new String(answer.array(), 9, 3, StandardCharsets.US_ASCII)
          : "closed";
    } catch (IOException e) {
      return String.valueOf(e.getMessage());
    }
  }

  @Test
  void thousandsOfConnectionsFitNinetySixMegabytesAndMoreAreRefused() throws Exception {
    Optional<Path> cgroup = cgroup();
    assumeThat(cgroup).as("no memory cgroup can be made here: needs root").isPresent();
    int port = FreePorts.next();
    List<SocketChannel> clients = new ArrayList<>();
    Path group = cgroup.orElseThrow();
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh plans = new Mesh();
        ProxyProcess proxy = ProxyProcess.start(directory.resolve("proxy.sock"), cgroup)) {
      Listener outside =
          new Listener(
              "shop/edge",
              "http",
              Optional.of(Address.LOOPBACK4),
              port,
              "",
              Optional.empty(),
              List.of(Mesh.route(Mesh.weighted(Mesh.any(), 1))));
      proxy.update(
          plans.update(
              List.of(Mesh.route(Mesh.weighted(Mesh.any(), 1))),
              List.of(outside),
              List.of(),
              List.of(),
              backend.port()));
      // Those that have been served once are idle then.
      int refused = 0;
      for (int i = 0; i < 10_100; i++) {
        SocketChannel client = open(port);
        String answer = ask(client);
        if (answer.equals("200")) {
          clients.add(client);
        } else {
          client.close();
          refused++;
        }
      }
      // Without its AOT cache the process is larger by what classes take; with it there is room for
      // all 10,000.
      assertThat(clients.size()).isBetween(5_000, 10_000);
      assertThat(refused).isEqualTo(10_100 - clients.size());
      for (int i = 0; i < clients.size(); i++) {
        assertThat(ask(clients.get(i))).as("connection " + i).isEqualTo("200");
      }
      assertThat(proxy.isAlive()).isTrue();
      System.out.println(
          clients.size()
              + " connections: resident "
              + (proxy.residentBytes("VmRSS") >> 20)
              + " MiB, anonymous "
              + (proxy.residentBytes("RssAnon") >> 20)
              + " MiB; "
              + proxy
                  .metrics()
                  .lines()
                  .filter(l -> l.contains("_memory_") || l.contains("heap"))
                  .toList());
    } finally {
      for (SocketChannel client : clients) {
        client.close();
      }
      remove(group);
    }
  }

  private static void remove(Path group) throws IOException, InterruptedException {
    for (int tries = 0; ; tries++) {
      try {
        Files.deleteIfExists(group);
        return;
      } catch (IOException busy) {
        // The kernel lets go of a process some time after it has ended.
        if (tries == 100) {
          throw busy;
        }
        Thread.sleep(50);
      }
    }
  }
}
