// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assumptions.assumeThat;

import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.ProxyPlan.Listener;
import dev.weir.policy.plan.ProxyPlan.Tls;
import dev.weir.policy.plan.TlsKeyPair;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.SocketException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.SecureRandom;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.UUID;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLException;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.SSLSocketFactory;
import javax.net.ssl.TrustManager;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** More than there is room for: what is there is finished, what comes is turned away. */
@Timeout(600)
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

  /** How a client connects, and shakes hands if that is part of it. */
  @FunctionalInterface
  private interface Opening {
    Socket open(int port) throws IOException;
  }

  private static Socket plain(int port) throws IOException {
    Socket socket = new Socket();
    socket.connect(new InetSocketAddress(InetAddress.getLoopbackAddress(), port));
    return socket;
  }

  /** A client in TLS; sessions are resumed, for its own processor's sake. */
  private static Opening tls() throws GeneralSecurityException {
    SSLContext context = SSLContext.getInstance("TLS");
    context.init(null, new TrustManager[] {new Authority.TrustAll()}, new SecureRandom());
    SSLSocketFactory factory = context.getSocketFactory();
    return port -> {
      SSLSocket socket = (SSLSocket) factory.createSocket(InetAddress.getLoopbackAddress(), port);
      try {
        socket.startHandshake();
        return socket;
      } catch (IOException e) {
        socket.close();
        throw e;
      }
    };
  }

  /** Asks and reads the answer: its status, or how the connection ended. */
  private static String ask(Socket socket) {
    try {
      socket
          .getOutputStream()
          .write("GET / HTTP/1.1\r\nHost: cart\r\n\r\n".getBytes(StandardCharsets.US_ASCII));
      byte[] answer = new byte[1000];
      return socket.getInputStream().read(answer) > 12
          ? new String(answer, 9, 3, StandardCharsets.US_ASCII)
          : "closed";
    } catch (IOException e) {
      return String.valueOf(e.getMessage());
    }
  }

  @Test
  void thousandsOfConnectionsFitNinetySixMegabytesAndMoreAreRefused() throws Exception {
    // Without its AOT cache the process is larger by what classes take; with it there is room for
    // all 10,000.
    crowd(List.of(), OverloadTest::plain, 10_100, 5_000, 10_000);
  }

  @Test
  void aThousandConnectionsOfTlsFitNinetySixMegabytesAndABurstBeyondIsRefused() throws Exception {
    Authority authority = new Authority(directory, "ca").issue("cart", "DNS:cart");
    // The same: with the cache, all 2,000 fit.
    crowd(List.of(authority.keyPair("cart")), tls(), 2_100, 1_000, 2_000);
  }

  /**
   * Opens one connection after the other, each of which is served once and idle then; and then asks
   * all of those that were served again.
   */
  private void crowd(List<TlsKeyPair> keys, Opening opening, int tried, int least, int most)
      throws Exception {
    Optional<Path> cgroup = cgroup();
    assumeThat(cgroup).as("no memory cgroup can be made here: needs root").isPresent();
    int port = FreePorts.next();
    List<Socket> clients = new ArrayList<>();
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
              keys.isEmpty()
                  ? Optional.empty()
                  : Optional.of(new Tls(keys.stream().map(TlsKeyPair::name).toList())),
              List.of(Mesh.route(Mesh.weighted(Mesh.any(), 1))));
      proxy.update(
          plans.update(
              List.of(Mesh.route(Mesh.weighted(Mesh.any(), 1))),
              List.of(outside),
              keys,
              List.of(),
              backend.port()));
      int refused = 0;
      for (int i = 0; i < tried; i++) {
        Optional<Socket> served = served(opening, port);
        if (served.isPresent()) {
          clients.add(served.get());
        } else {
          refused++;
        }
      }
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
      assertThat(clients.size()).isBetween(least, most);
      assertThat(refused).isEqualTo(tried - clients.size());
      for (int i = 0; i < clients.size(); i++) {
        assertThat(ask(clients.get(i))).as("connection " + i).isEqualTo("200");
      }
      assertThat(proxy.isAlive()).isTrue();
    } finally {
      for (Socket client : clients) {
        client.close();
      }
      remove(group);
    }
  }

  private static Optional<Socket> served(Opening opening, int port) throws IOException {
    Socket client;
    try {
      client = opening.open(port);
    } catch (SSLException | SocketException refused) {
      return Optional.empty(); // In the midst of its handshake.
    }
    if (ask(client).equals("200")) {
      return Optional.of(client);
    }
    client.close();
    return Optional.empty();
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
