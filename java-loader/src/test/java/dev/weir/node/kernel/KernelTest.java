// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.TlsKeyPair;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HexFormat;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.ThreadLocalRandom;
import java.util.stream.Stream;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.extension.AfterEachCallback;
import org.junit.jupiter.api.extension.BeforeEachCallback;
import org.junit.jupiter.api.extension.ExtensionContext;

/**
 * Gives a test a mesh of its own on the real kernel: a cgroup subtree, a network namespace with
 * nothing but lo, pin, run and state directories. All of it goes with the test, whatever happens.
 * Where the kernel or the user cannot, the test is skipped with the reason, and in CI (CI=true)
 * fails.
 */
public final class KernelTest implements BeforeEachCallback, AfterEachCallback {

  private static final ExtensionContext.Namespace NAMESPACE =
      ExtensionContext.Namespace.create(KernelTest.class);
  private static final Duration CGROUP_PATIENCE = Duration.ofSeconds(5);

  private final List<Prober> probers = new ArrayList<>();
  private Optional<KeptPrograms.Lease> kept = Optional.empty();
  private Optional<Places> places = Optional.empty();
  private String name = "";
  private Path temporary = Path.of("/nonexistent");

  @Override
  public void beforeEach(ExtensionContext context) throws Exception {
    Places usual = Places.of(java.util.Map.of());
    @SuppressWarnings("unchecked")
    List<String> missing =
        (List<String>)
            context
                .getRoot()
                .getStore(NAMESPACE)
                .getOrComputeIfAbsent("missing", key -> KernelNode.missing(usual), List.class);
    if (!missing.isEmpty()) {
      String reason = "no mesh on this kernel: " + String.join("; ", missing);
      if ("true".equals(System.getenv("CI"))) {
        throw new AssertionError(reason);
      }
      Assumptions.abort(reason);
    }
    if (Boolean.getBoolean("weir.keep")) {
      kept =
          Optional.of(
              context
                  .getStore(ExtensionContext.StoreScope.LAUNCHER_SESSION, NAMESPACE)
                  .getOrComputeIfAbsent(KeptPrograms.class)
              .new Lease());
    }
    byte[] random = new byte[4];
    ThreadLocalRandom.current().nextBytes(random);
    name = "weir-test-" + HexFormat.of().formatHex(random);
    temporary = Files.createTempDirectory(name);
    Path cgroup = usual.cgroupRoot().resolve(name);
    Files.createDirectory(cgroup);
    places =
        Optional.of(
            new Places(
                Path.of("/sys/fs/bpf", name),
                temporary.resolve("run"),
                temporary.resolve("state"),
                cgroup,
                Optional.of(Path.of("/run/netns", name))));
    ip("netns", "add", name);
    ip("-n", name, "link", "set", "lo", "up");
  }

  @Override
  public void afterEach(ExtensionContext context) throws Exception {
    probers.forEach(Prober::close);
    if (places.isEmpty()) {
      return;
    }
    try {
      node().down();
    } finally {
      Path cgroup = places.get().cgroupRoot();
      kill(cgroup);
      removeCgroups(cgroup);
      ip("netns", "delete", name);
      DurableFile.removeTree(temporary);
      kept.ifPresent(KeptPrograms.Lease::close);
    }
  }

  /** Runs ip(8). */
  public static void ip(String... arguments) {
    List<String> command = new ArrayList<>(List.of("ip"));
    command.addAll(List.of(arguments));
    try {
      Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
      String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
      if (process.waitFor() != 0) {
        throw new IllegalStateException(String.join(" ", command) + ": " + output);
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IllegalStateException(e);
    }
  }

  private static void kill(Path cgroup) throws IOException {
    Path kill = cgroup.resolve("cgroup.kill");
    if (Files.exists(kill)) {
      Files.writeString(kill, "1");
    }
  }

  /** Deepest first; the last process may take a moment to go. */
  static void removeCgroups(Path cgroup) {
    long deadline = System.nanoTime() + CGROUP_PATIENCE.toNanos();
    List<Path> directories;
    try (Stream<Path> walk = Files.walk(cgroup)) {
      directories = walk.filter(Files::isDirectory).sorted(Comparator.reverseOrder()).toList();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    for (Path directory : directories) {
      while (Files.isDirectory(directory)) {
        try {
          Files.delete(directory);
        } catch (IOException e) {
          if (System.nanoTime() > deadline) {
            throw new UncheckedIOException(e);
          }
          pause(Duration.ofMillis(5));
        }
      }
    }
  }

  /**
   * A deadline of this length, on this machine ({@code -Dweir.patience}: so many times as long).
   */
  static Duration patiently(Duration duration) {
    return duration.multipliedBy(Integer.getInteger("weir.patience", 1));
  }

  /** As many as this, on this machine ({@code -Dweir.slow}: so many times fewer). */
  static int fewer(int count) {
    return count / Integer.getInteger("weir.slow", 1);
  }

  static void pause(Duration duration) {
    try {
      Thread.sleep(duration);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IllegalStateException(e);
    }
  }

  /** Where this test's mesh lives. */
  public Places places() {
    return places.orElseThrow();
  }

  /** Path of the mesh's cgroup from the cgroup2 root. */
  public String root() {
    return "/" + name;
  }

  /** Name of the mesh's network namespace (ip-netns(8)). */
  public String netns() {
    return name;
  }

  /** This test's mesh. */
  public KernelNode node() {
    return node(RevocationWay.BEST);
  }

  /** The same, with a say in how open connections are ended. */
  KernelNode node(RevocationWay way) {
    return kept.map(lease -> KernelNode.open(places(), way, lease, step -> {}))
        .orElseGet(() -> KernelNode.open(places(), way));
  }

  /** Whether a program stays for later tests when this one's mesh is down. */
  boolean keeps(int program) {
    return kept.map(lease -> lease.holds(program)).orElse(false);
  }

  /** Puts a plan in force for good. */
  Applied apply(Plan plan) {
    return apply(plan, Duration.ZERO);
  }

  Applied apply(Plan plan, Duration confirmWithin) {
    return node().apply(plan, List.<TlsKeyPair>of(), confirmWithin);
  }

  PlanBuilder plan() {
    return new PlanBuilder(root());
  }

  /** The directory of a cgroup below the mesh's, made if it is not there. */
  public Path cgroup(String path) {
    Path directory = places().cgroupRoot().resolve(path);
    try {
      return Files.createDirectories(directory);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private List<String> command(String cgroup, List<String> arguments) {
    List<String> command = new ArrayList<>();
    command.add(System.getProperty("weir.probers") + "/prober");
    command.addAll(List.of("--netns", "/run/netns/" + name));
    if (!cgroup.isEmpty()) {
      command.addAll(List.of("--cgroup", cgroup(cgroup).toString()));
    }
    command.addAll(arguments);
    int timeout = command.indexOf("--timeout") + 1;
    if (timeout > 0) {
      Duration given = Duration.ofMillis(Long.parseLong(command.get(timeout)));
      command.set(timeout, Long.toString(patiently(given).toMillis()));
    }
    return command;
  }

  /**
   * Runs a client to its end.
   *
   * @param cgroup below the mesh's; empty for this process's own, outside the mesh
   */
  public Prober.Line run(String cgroup, String... arguments) {
    return Prober.run(command(cgroup, List.of(arguments)));
  }

  /** Starts a program that goes on; it ends with the test. */
  public Prober start(String cgroup, String... arguments) {
    Prober prober = Prober.start(command(cgroup, List.of(arguments)));
    probers.add(prober);
    return prober;
  }

  /** Starts a server and waits until it listens. */
  public Prober serve(String cgroup, String... arguments) {
    Prober prober = start(cgroup, arguments);
    Prober.Line line = prober.next();
    if (!line.has("listening")) {
      throw new IllegalStateException("server does not listen: " + line);
    }
    return prober;
  }

  /** What connect() gives: ok or the errno's name. */
  String connect(String cgroup, String address, int port, String... options) {
    List<String> arguments = new ArrayList<>(List.of("connect", address, Integer.toString(port)));
    arguments.addAll(List.of(options));
    return run(cgroup, arguments.toArray(String[]::new)).text("result");
  }

  /** What a connect to a Unix socket gives a process of a cgroup and of this user. */
  public String reachUnix(String cgroup, int user, Path socket) {
    return run(cgroup, "unix", socket.toString(), "--user", Integer.toString(user)).text("result");
  }

  /** The line that a server sent to a client in a cgroup. */
  public String ask(String cgroup, String address, int port, String... options) {
    List<String> arguments =
        new ArrayList<>(List.of("connect", address, Integer.toString(port), "--read"));
    arguments.addAll(List.of(options));
    Prober.Line line = run(cgroup, arguments.toArray(String[]::new));
    return line.text("result").equals("ok") ? line.text("line") : line.text("result");
  }
}
