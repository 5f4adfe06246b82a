// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.agent;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.node.FreePorts;
import dev.weir.node.bpf.SystemCalls;
import dev.weir.node.kernel.KernelTest;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.lang.management.ManagementFactory;
import java.lang.management.OperatingSystemMXBean;
import java.net.ConnectException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.io.TempDir;

/**
 * The real proxy, with an AOT cache as {@code make build} makes one, killed under steady requests.
 */
@Tag("kernel")
final class KilledProxyTest {

  private static final int KILLS = 5;
  private static final int CLIENTS = 4;
  private static final Duration PATIENCE = Duration.ofSeconds(60);

  /** What is promised of a machine that is not busy with other things. */
  private static final Duration PROMISED = Duration.ofSeconds(1);

  private static final Duration BUSY = Duration.ofSeconds(10);

  @TempDir private static Path shared;

  @SuppressWarnings("NullAway.Init")
  private static Path home;

  @RegisterExtension final KernelTest kernel = new KernelTest();

  @TempDir private Path directory;

  private final List<Process> processes = new ArrayList<>();

  @BeforeAll
  static void layOut() throws Exception {
    Files.setPosixFilePermissions(shared, PosixFilePermissions.fromString("rwx--x--x"));
    home = RealProxy.home(shared.resolve("home"));
    ProxyTraining.train(home, shared.resolve("training"));
  }

  @BeforeEach
  void open() throws IOException {
    // The proxy's user passes through to its socket, as it does to /run/weir.
    Path parent = kernel.places().runDir().getParent();
    Files.setPosixFilePermissions(parent, PosixFilePermissions.fromString("rwx--x--x"));
  }

  @AfterEach
  void end() throws Exception {
    for (Process process : processes) {
      process.destroyForcibly().waitFor();
    }
    ProxySupervisor.left(kernel.places().runDir()).ifPresent(ProcessId::kill);
    Operations.downWithoutAgent(kernel.node());
  }

  /** Asks again and again, over a kept connection as long as it lasts. */
  private static final class Client implements Runnable {
    private static final byte[] REQUEST =
        "GET / HTTP/1.1\r\nHost: web\r\n\r\n".getBytes(StandardCharsets.US_ASCII);

    private final Path namespace;
    private final int port;
    private final AtomicBoolean going;

    /** Requests over connections that had been answered before. */
    final AtomicInteger lost = new AtomicInteger();

    /** When a connection that was made ended last, 0 for never. */
    volatile long ended;

    final AtomicInteger wrong = new AtomicInteger();

    /** When the connection that it has was answered first; 0 while it has none that was. */
    volatile long since;

    Client(Path namespace, int port, AtomicBoolean going) {
      this.namespace = namespace;
      this.port = port;
      this.going = going;
    }

    @Override
    public void run() {
      var _ =
          SystemCalls.in(
              namespace,
              () -> {
                askOn();
                return true;
              });
    }

    private void askOn() {
      while (going.get()) {
        try (Socket socket = new Socket()) {
          socket.connect(new InetSocketAddress(InetAddress.getLoopbackAddress(), port), 10_000);
          socket.setSoTimeout(30_000);
          ask(socket);
        } catch (ConnectException refused) {
          pause(2); // nobody is there: nothing was asked
        } catch (IOException e) {
          ended = System.nanoTime();
          if (since != 0) {
            lost.incrementAndGet();
          }
        }
        since = 0;
      }
    }

    private void ask(Socket socket) throws IOException {
      InputStream in = socket.getInputStream();
      byte[] answer = new byte[4096];
      while (going.get()) {
        socket.getOutputStream().write(REQUEST);
        int n = in.read(answer);
        if (n < 0) {
          throw new IOException("closed");
        }
        String text = new String(answer, 0, n, StandardCharsets.US_ASCII).toLowerCase(Locale.ROOT);
        if (!text.startsWith("http/1.1 200 ")) {
          wrong.incrementAndGet();
        }
        if (since == 0) {
          since = System.nanoTime();
        }
        if (text.contains("\r\nconnection: close\r\n")) {
          return; // told so, and nothing was asked since
        }
        pause(5);
      }
    }

    private static void pause(int millis) {
      try {
        Thread.sleep(millis);
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
      }
    }
  }

  private static String policy(String root, int backend, int gateway) throws IOException {
    String mesh =
        "{proxy: {cgroup: %s/proxy, outboundPort: %d}, metricsPort: %d, healthPort: %d}"
            .formatted(root, FreePorts.next(), FreePorts.next(), FreePorts.next());
    String listener = "{name: http, protocol: HTTP, port: " + gateway + "}";
    return GatewayPolicy.of(root, mesh, listener, backend);
  }

  private int start() throws Exception {
    int backend = FreePorts.next();
    int gateway = FreePorts.next();
    Path policy = Files.createDirectory(directory.resolve("policy"));
    Files.writeString(policy.resolve("all.yaml"), policy(kernel.root(), backend, gateway));
    Process web =
        NodeProcesses.workload(
                kernel, "web", WebServer.class.getName(), "web", Integer.toString(backend))
            .start();
    processes.add(web);
    BufferedReader said = web.inputReader(StandardCharsets.UTF_8);
    assertThat(said.readLine()).isEqualTo("listening");
    up(policy);
    return gateway;
  }

  private void up(Path policy) throws IOException {
    processes.add(
        NodeProcesses.up(kernel, home, policy)
            .redirectOutput(ProcessBuilder.Redirect.INHERIT)
            .start());
  }

  private static void await(String what, BooleanSupplier condition) throws InterruptedException {
    long deadline = System.nanoTime() + PATIENCE.toNanos();
    while (!condition.getAsBoolean()) {
      if (System.nanoTime() > deadline) {
        throw new AssertionError("not within " + PATIENCE.toSeconds() + " s: " + what);
      }
      Thread.sleep(5);
    }
  }

  /** Whether all clients have connections that were made after a moment, and answered. */
  private static boolean served(List<Client> clients, long moment) {
    return clients.stream().allMatch(c -> c.since != 0 && c.since - moment > 0);
  }

  private static int lost(List<Client> clients) {
    return clients.stream().mapToInt(c -> c.lost.get()).sum();
  }

  @Test
  void losesWhatIsInFlightAndAnotherOneAnswersWithinASecond() throws Exception {
    int gateway = start();
    AtomicBoolean going = new AtomicBoolean(true);
    List<Client> clients = new ArrayList<>();
    List<Thread> threads = new ArrayList<>();
    List<Long> millis = new ArrayList<>();
    Path namespace = Path.of("/run/netns", kernel.netns());
    try {
      for (int i = 0; i < CLIENTS; i++) {
        Client client = new Client(namespace, gateway, going);
        clients.add(client);
        threads.add(Thread.ofPlatform().start(client));
      }
      for (int kill = 0; kill < KILLS; kill++) {
        await("all are served", () -> clients.stream().allMatch(c -> c.since != 0));
        // What dies as soon as it is started is started more and more slowly.
        Thread.sleep(ProxySupervisor.STABLE.plusMillis(200));
        int before = lost(clients);
        ProcessId old = ProxySupervisor.left(kernel.places().runDir()).orElseThrow();
        long killed = System.nanoTime();
        old.kill();
        await("all are served by another one", () -> served(clients, killed));
        long answered = clients.stream().mapToLong(c -> c.since).min().orElseThrow();
        millis.add((answered - killed) / 1_000_000);
        assertThat(ProxySupervisor.left(kernel.places().runDir())).isNotEqualTo(Optional.of(old));
        assertThat(lost(clients) - before)
            .as("requests lost by %d clients, each with one in flight at most", CLIENTS)
            .isLessThanOrEqualTo(CLIENTS);
        // A socket that is about to be closed may take a connection still; the new one keeps all.
        assertThat(clients).allSatisfy(c -> assertThat(c.ended - answered).isNegative());
      }
    } finally {
      going.set(false);
      for (Thread thread : threads) {
        thread.join();
      }
    }
    assertThat(clients.stream().mapToInt(c -> c.wrong.get()).sum()).isZero();
    assertThat(millis.stream().sorted().toList().get(KILLS / 2))
        .as("milliseconds to the first answer of another one, the median of %s", millis)
        .isLessThan((busy() ? BUSY : PROMISED).toMillis());
    System.err.println("killed proxies: answered again after " + millis + " ms");
  }

  /** Each has a root directory of its own; what they pass to each other is the same in both. */
  @Test
  void aSuccessorTakesOverFromItsPredecessorWithoutALostRequest() throws Exception {
    int gateway = start();
    AtomicBoolean going = new AtomicBoolean(true);
    Client client = new Client(Path.of("/run/netns", kernel.netns()), gateway, going);
    Thread thread = Thread.ofPlatform().start(client);
    try {
      await("it is served", () -> client.since != 0);
      ProcessId old = ProxySupervisor.left(kernel.places().runDir()).orElseThrow();
      Process agent = processes.removeLast();
      agent.destroy();
      assertThat(agent.waitFor(PATIENCE.toSeconds(), TimeUnit.SECONDS)).isTrue();
      Path options = home.resolve("proxy.options");
      Files.setLastModifiedTime(options, Files.getLastModifiedTime(options));
      up(directory.resolve("policy"));
      await("the old one has ended", () -> !old.alive());
      assertThat(ProxySupervisor.left(kernel.places().runDir())).isPresent();
      await("another one serves", () -> client.since != 0);
    } finally {
      going.set(false);
      thread.join();
    }
    assertThat(client.lost.get()).isZero();
    assertThat(client.wrong.get()).isZero();
  }

  /** Whether others want the processors as well, so that nothing can be promised of time. */
  private static boolean busy() {
    OperatingSystemMXBean system = ManagementFactory.getOperatingSystemMXBean();
    return system.getSystemLoadAverage() > 2 * system.getAvailableProcessors();
  }
}
