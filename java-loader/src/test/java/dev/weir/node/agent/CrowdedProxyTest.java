// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.agent;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assumptions.assumeThat;

import com.sun.net.httpserver.HttpServer;
import dev.weir.node.FreePorts;
import dev.weir.policy.Compilation;
import dev.weir.policy.PolicyCompiler;
import dev.weir.policy.plan.PlanCodec;
import dev.weir.policy.plan.ProxyUpdate;
import dev.weir.policy.plan.ProxyUpdateCodec;
import dev.weir.policy.plan.Workload;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.SocketException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLException;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.SSLSocketFactory;
import javax.net.ssl.TrustManagerFactory;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/**
 * More connections than there is room for, at the real proxy: started as the agent does it, with
 * its AOT cache, in a memory cgroup. Those that are there stay, those that come are turned away.
 */
@Timeout(600)
final class CrowdedProxyTest {

  private static final long LIMIT = 96 << 20;
  private static final int PLAIN = 10_000;
  private static final int TLS = 2_000;

  /** Those that come when there is no room any more. */
  private static final int BEYOND = 100;

  /** Descriptors: a client for each connection, and what else a JVM has open. */
  private static final long ENOUGH = PLAIN + 500;

  private static final Duration PATIENCE = Duration.ofSeconds(60);

  private static final String HTTP = "{name: http, protocol: HTTP, port: PLAIN}";
  private static final String HTTPS =
      "{name: https, protocol: HTTPS, port: TLS, tls: {certificateRefs: [{name: shop-tls}]}}";

  private static final String SECRET =
      """
      apiVersion: v1
      kind: Secret
      type: kubernetes.io/tls
      metadata: {name: shop-tls, namespace: shop}
      stringData:
        tls.crt: |
      CERTIFICATE
        tls.key: |
      KEY
      """;

  @TempDir private static Path shared;

  @SuppressWarnings("NullAway.Init")
  private static Path home;

  @TempDir private Path directory;

  @SuppressWarnings("NullAway.Init")
  private HttpServer backend;

  @SuppressWarnings("NullAway.Init")
  private ProxyTraining.Identity identity;

  private final int plainPort = FreePorts.next();
  private final int tlsPort = FreePorts.next();
  private final List<Socket> clients = new ArrayList<>();

  CrowdedProxyTest() throws IOException {}

  @BeforeAll
  static void layOut() throws Exception {
    try (MemoryCgroup _ = cgroup()) {
      assumeThat(descriptors())
          .as("descriptors that a process may have open")
          .isGreaterThan(ENOUGH);
      Files.setPosixFilePermissions(shared, PosixFilePermissions.fromString("rwx--x--x"));
      home = RealProxy.home(shared.resolve("home"));
      ProxyTraining.train(home, shared.resolve("training"));
    }
  }

  /** By proc_pid_limits(5); the JVM has raised the soft limit to the hard one. */
  private static long descriptors() throws IOException {
    return Files.readAllLines(Path.of("/proc/self/limits")).stream()
        .filter(line -> line.startsWith("Max open files"))
        .map(line -> line.split(" +", -1)[3])
        .mapToLong(soft -> soft.equals("unlimited") ? Long.MAX_VALUE : Long.parseLong(soft))
        .findFirst()
        .orElseThrow();
  }

  private static MemoryCgroup cgroup() throws IOException {
    Optional<MemoryCgroup> cgroup = MemoryCgroup.make(LIMIT);
    assumeThat(cgroup).as("no memory cgroup can be made here: needs root").isPresent();
    return cgroup.orElseThrow();
  }

  @BeforeEach
  void serve() throws Exception {
    // The proxy's user passes through to its socket, as it does to /run/weir.
    Files.setPosixFilePermissions(directory, PosixFilePermissions.fromString("rwx--x--x"));
    identity = ProxyTraining.Identity.of("shop.example");
    backend = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
    backend.createContext(
        "/",
        exchange -> {
          exchange.getRequestBody().readAllBytes();
          exchange.sendResponseHeaders(200, -1);
          exchange.close();
        });
    backend.start();
  }

  @AfterEach
  void end() throws IOException {
    for (Socket client : clients) {
      client.close();
    }
    backend.stop(0);
  }

  /** What the proxy is told by its agent. */
  private ProxyUpdate update(String listeners) throws IOException {
    Path policy = Files.createDirectory(directory.resolve("policy"));
    Files.writeString(
        policy.resolve("all.yaml"),
        GatewayPolicy.of(
            "/weir-test",
            "{proxy: {cgroup: /weir-test/proxy, outboundPort: %d}}".formatted(FreePorts.next()),
            listeners.replace("PLAIN", "" + plainPort).replace("TLS", "" + tlsPort),
            backend.getAddress().getPort()));
    if (listeners.contains(HTTPS)) {
      Files.writeString(
          policy.resolve("secret.yaml"),
          SECRET
              .replace("CERTIFICATE\n", identity.certificate().indent(4))
              .replace("KEY\n", identity.key().indent(4)));
    }
    if (!(PolicyCompiler.compileDirectory(policy) instanceof Compilation.Compiled compiled)) {
      throw new AssertionError("the policy is refused");
    }
    // No kernel is asked here, so the numbers are our own: any that are not reserved.
    List<Integer> numbers =
        IntStream.range(0, compiled.plan().workloads().size())
            .mapToObj(i -> i < Workload.RESERVED ? i : i + 11)
            .toList();
    return new ProxyUpdate(1, PlanCodec.forProxy(compiled.plan()), numbers, compiled.keyPairs());
  }

  /** The proxy's process, and what it is asked. */
  private final class Proxy implements AutoCloseable {
    private final Process process;
    private final Path socket;

    Proxy(MemoryCgroup cgroup, String listeners) throws IOException, InterruptedException {
      Path own = Files.createDirectories(directory.resolve("run/proxy"));
      Files.setPosixFilePermissions(own.getParent(), PosixFilePermissions.fromString("rwx--x--x"));
      Files.setAttribute(own, "unix:uid", ProxyCommand.DEFAULT_USER);
      Files.setPosixFilePermissions(own, PosixFilePermissions.fromString("rwx------"));
      socket = own.resolve("proxy.sock");
      Path java = Path.of(System.getProperty("java.home"), "bin", "java");
      process =
          new ProxyCommand(java, home, ProxyCommand.DEFAULT_USER).start(own, socket, cgroup.path());
      try {
        long deadline = System.nanoTime() + PATIENCE.toNanos();
        while (ProxySupervisor.ask(socket, FrameType.STATUS).isEmpty()) {
          assertThat(process.isAlive()).as("the proxy lives").isTrue();
          assertThat(System.nanoTime()).as("it answers in time").isLessThan(deadline);
          Thread.sleep(5);
        }
        Frame reply =
            ControlClient.call(
                socket,
                Frame.of(FrameType.UPDATE, ProxyUpdateCodec.encode(update(listeners))),
                PATIENCE);
        assertThat(reply.type()).as(reply.text()).isEqualTo(FrameType.OK);
      } catch (IOException | InterruptedException | RuntimeException | Error e) {
        close();
        throw e;
      }
    }

    /** A number of its metrics. */
    long metric(String row) throws IOException {
      return ControlClient.call(socket, Frame.of(FrameType.METRICS), PATIENCE)
          .text()
          .lines()
          .filter(line -> line.startsWith(row + " "))
          .mapToLong(line -> Long.parseLong(line.substring(row.length() + 1)))
          .findFirst()
          .orElseThrow(() -> new IOException("no " + row));
    }

    long refused(String reason) throws IOException {
      return metric("weir_proxy_connections_refused_total{reason=\"" + reason + "\"}");
    }

    /** By proc_pid_status(5), in KiB. */
    private long status(String field) throws IOException {
      return Files.readAllLines(Path.of("/proc", Long.toString(process.pid()), "status")).stream()
          .filter(line -> line.startsWith(field + ":"))
          .mapToLong(line -> Long.parseLong(line.replaceAll("[^0-9]", "")))
          .findFirst()
          .orElseThrow(() -> new IOException("no " + field));
    }

    String memory(MemoryCgroup cgroup) throws IOException {
      return "(MiB) resident %d, anonymous %d, heap %d, direct %d; cgroup %d, at most %d"
          .formatted(
              status("VmRSS") >> 10,
              status("RssAnon") >> 10,
              metric("weir_proxy_heap_used_bytes") >> 20,
              metric("weir_proxy_direct_memory_used_bytes") >> 20,
              cgroup.taken() >> 20,
              cgroup.most() >> 20);
    }

    @Override
    public void close() {
      // Its cgroup waits for its end.
      process.destroyForcibly();
    }
  }

  /** How a client connects, and shakes hands if that is part of it. */
  @FunctionalInterface
  private interface Opening {
    Socket open() throws IOException;
  }

  private Socket plain() throws IOException {
    Socket socket = new Socket();
    socket.connect(new InetSocketAddress(InetAddress.getLoopbackAddress(), plainPort));
    return socket;
  }

  /** A client in TLS; sessions are resumed, for its own processor's sake. */
  private Opening tls() throws GeneralSecurityException, IOException {
    KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
    store.load(null, null);
    store.setCertificateEntry(
        "shop",
        CertificateFactory.getInstance("X.509")
            .generateCertificate(
                new ByteArrayInputStream(
                    identity.certificate().getBytes(StandardCharsets.US_ASCII))));
    TrustManagerFactory trust =
        TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
    trust.init(store);
    SSLContext context = SSLContext.getInstance("TLS");
    context.init(null, trust.getTrustManagers(), null);
    SSLSocketFactory factory = context.getSocketFactory();
    return () -> {
      SSLSocket socket =
          (SSLSocket) factory.createSocket(InetAddress.getLoopbackAddress(), tlsPort);
      try {
        socket.setSoTimeout((int) PATIENCE.toMillis());
        // Else the last part of each handshake waits for the peer's delayed acknowledgement, 40 ms.
        socket.setTcpNoDelay(true);
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
          .write(
              "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n".getBytes(StandardCharsets.US_ASCII));
      byte[] answer = new byte[1000];
      return socket.getInputStream().read(answer) > 12
          ? new String(answer, 9, 3, StandardCharsets.US_ASCII)
          : "closed";
    } catch (IOException e) {
      return String.valueOf(e.getMessage());
    }
  }

  private static Optional<Socket> served(Opening opening) throws IOException {
    Socket client;
    try {
      client = opening.open();
    } catch (SSLException | SocketException refused) {
      return Optional.empty(); // In the midst of its handshake.
    }
    client.setSoTimeout((int) PATIENCE.toMillis());
    if (ask(client).equals("200")) {
      return Optional.of(client);
    }
    client.close();
    return Optional.empty();
  }

  @Test
  void tenThousandConnectionsFitNinetySixMegabytesAndMoreAreRefused() throws Exception {
    crowd(HTTP, this::plain, PLAIN);
  }

  @Test
  void twoThousandConnectionsOfTlsFitNinetySixMegabytesAndMoreAreRefused() throws Exception {
    crowd(HTTPS, tls(), TLS);
  }

  /**
   * Opens one connection after the other, each of which is served once and idle then; has more of
   * them come than there may be; and asks all of those that were served again.
   */
  private void crowd(String listeners, Opening opening, int all) throws Exception {
    try (MemoryCgroup cgroup = cgroup();
        Proxy proxy = new Proxy(cgroup, listeners)) {
      String before = proxy.memory(cgroup);
      int again = 0;
      long deadline = System.nanoTime() + PATIENCE.toNanos();
      while (clients.size() < all) {
        Optional<Socket> client = served(opening);
        if (client.isPresent()) {
          clients.add(client.get());
          deadline = System.nanoTime() + PATIENCE.toNanos();
        } else {
          // The JVM is compiling what has become hot: it gives the memory for that back afterwards.
          assertThat(System.nanoTime())
              .as(() -> "after " + clients.size() + " connections no more are let in")
              .isLessThan(deadline);
          again++;
          Thread.sleep(100);
        }
      }
      String full = proxy.memory(cgroup);
      for (int i = 0; i < BEYOND; i++) {
        assertThat(served(opening)).as("one more than " + all).isEmpty();
      }
      allAreServedAgain(proxy);
      System.err.printf(
          "crowded proxy: at first %s; with %d connections, after %d refusals, %s; asked again"
              + " %s%n",
          before, all, again, full, proxy.memory(cgroup));
      assertThat(proxy.refused("memory") + proxy.refused("limit")).isEqualTo(again + BEYOND);
    }
  }

  /** With BoringSSL loaded as well there is less left. */
  @Test
  void whatDoesNotFitIsRefusedAndNobodyElseNoticesIt() throws Exception {
    try (MemoryCgroup cgroup = cgroup();
        Proxy proxy = new Proxy(cgroup, HTTP + ", " + HTTPS)) {
      int tried = PLAIN + BEYOND;
      for (int i = 0; i < tried; i++) {
        served(this::plain).ifPresent(clients::add);
      }
      String full = proxy.memory(cgroup);
      assertThat(clients.size()).isBetween(PLAIN / 2, PLAIN);
      allAreServedAgain(proxy);
      System.err.printf(
          "crowded proxy that serves TLS too: with %d connections %s; asked again %s%n",
          clients.size(), full, proxy.memory(cgroup));
      assertThat(proxy.refused("memory") + proxy.refused("limit"))
          .isEqualTo(tried - clients.size());
    }
  }

  /** A copy in its /tmp would count as its memory, and nothing could take it back. */
  @Test
  void nettysLibrariesAreReadWhereTheyLieAndNotCopied() throws Exception {
    try (MemoryCgroup cgroup = cgroup();
        Proxy proxy = new Proxy(cgroup, HTTPS)) {
      Path library = home.resolve("lib/proxy");
      assertThat(Files.readAllLines(Path.of("/proc", "" + proxy.process.pid(), "maps")))
          .filteredOn(line -> line.contains("libnetty"))
          .anyMatch(line -> line.contains("tcnative"))
          .anyMatch(line -> line.contains("epoll"))
          .allMatch(line -> line.contains(library.toString()));
    }
  }

  private void allAreServedAgain(Proxy proxy) {
    for (int i = 0; i < clients.size(); i++) {
      assertThat(ask(clients.get(i))).as("connection " + i).isEqualTo("200");
    }
    assertThat(proxy.process.isAlive()).isTrue();
  }
}
