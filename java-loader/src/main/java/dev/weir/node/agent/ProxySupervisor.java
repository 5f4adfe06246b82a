// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.agent;

import dev.weir.policy.plan.ProxyUpdate;
import dev.weir.policy.plan.ProxyUpdateCodec;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.time.Instant;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;

/**
 * Keeps a proxy running for as long as one is wanted, and tells it what it is to do.
 *
 * <p>While there is none, connections to services that lead to it are refused: the kernel lets
 * nobody else hold its port. It outlives its supervisor; the next one adopts it.
 *
 * <p>Changes are made on one thread, that of the executor given; what only asks may come from any.
 */
final class ProxySupervisor {

  /** A JVM on a slow edge processor may take some seconds; one that takes longer hangs. */
  private static final Duration START_LIMIT = Duration.ofSeconds(20);

  private static final Duration UPDATE_LIMIT = Duration.ofSeconds(10);
  private static final Duration QUESTION_LIMIT = Duration.ofSeconds(2);
  private static final Duration READY_POLL = Duration.ofMillis(15);

  /** The JDK tells of the end of a process that is not our child only after seconds. */
  private static final Duration ADOPTED_POLL = Duration.ofMillis(100);

  /** A proxy that lived this long did not die of what its predecessor died of. */
  static final Duration STABLE = Duration.ofSeconds(2);

  /** What was in flight on a proxy that has a successor may take this long. */
  private static final Duration SUCCEEDED_DRAIN = Duration.ofSeconds(30);

  /** Of a successor, until it has its predecessor's listeners (docs/protocols.md). */
  private static final String SUCCESSOR = "successor.sock";

  private static final String SUCCESSOR_LISTENERS = "successor-listeners.sock";
  private static final String LISTENERS = "listeners.sock";

  private static final Duration FIRST_BACKOFF = Duration.ofMillis(100);
  private static final Duration LAST_BACKOFF = Duration.ofSeconds(1);

  private record Wanted(ProxyUpdate update, Path cgroup) {}

  private record Running(ProcessId id, long since, boolean adopted) {}

  private final Path directory;
  private final Path socket;
  private final Path pidFile;
  private final ProxyCommand command;
  private final ScheduledExecutorService executor;
  private final Log log;

  private @Nullable Wanted wanted;
  private CompletableFuture<Void> served = CompletableFuture.completedFuture(null);
  private Duration backoff = Duration.ZERO;
  private volatile @Nullable Running running;
  private volatile boolean ready;
  private boolean replacing;
  private final AtomicLong restarts = new AtomicLong();
  private final AtomicLong updates = new AtomicLong();

  ProxySupervisor(Path runDir, ProxyCommand command, ScheduledExecutorService executor, Log log) {
    directory = directory(runDir);
    socket = socket(runDir);
    pidFile = pidFile(runDir);
    this.command = command;
    this.executor = executor;
    this.log = log;
  }

  static Path directory(Path runDir) {
    return runDir.resolve("proxy");
  }

  /** Where a proxy of this run directory answers. */
  static Path socket(Path runDir) {
    return directory(runDir).resolve("proxy.sock");
  }

  static Path pidFile(Path runDir) {
    return runDir.resolve("proxy.pid");
  }

  /** The proxy that a supervisor has left running, if it still does. */
  static Optional<ProcessId> left(Path runDir) {
    return ProcessId.read(pidFile(runDir)).filter(ProcessId::alive);
  }

  /** Takes over the proxy that an earlier supervisor left, if it runs and answers. */
  void adopt() {
    Optional<ProcessId> left = ProcessId.read(pidFile).filter(ProcessId::alive);
    if (left.isEmpty()) {
      return;
    }
    ProcessId id = left.get();
    if (ask(FrameType.STATUS).isEmpty()) {
      log.warn("the proxy, process " + id.pid() + ", does not answer; it is ended");
      id.kill();
      return;
    }
    running = new Running(id, System.nanoTime(), true);
    ready = true;
    log.info("adopted the running proxy, process " + id.pid());
    watchAdopted(id);
  }

  private void watchAdopted(ProcessId id) {
    if (id.alive()) {
      schedule(ADOPTED_POLL, () -> ifCurrent(id, () -> watchAdopted(id)));
    } else {
      died(id);
    }
  }

  /**
   * Tells the proxy what to do now, and starts it if there is none.
   *
   * @return done when the proxy has it in force; failed with {@link ProxyRefusedException} when it
   *     refused, and then whatever it had before is still in force
   */
  CompletableFuture<Void> serve(ProxyUpdate update, Path cgroup) {
    Wanted before = wanted;
    wanted = new Wanted(update, cgroup);
    Running proxy = running;
    if (proxy != null && !livesIn(proxy.id(), cgroup)) {
      // The kernel knows the proxy by its cgroup; what it has made elsewhere is nobody's.
      log.info("the proxy's cgroup is another one now; it is started anew in " + cgroup);
      running = null;
      ready = false;
      end(socket, proxy.id(), Duration.ZERO);
    }
    if (running != null && ready) {
      try {
        send(update);
        replaceIfOld();
        return CompletableFuture.completedFuture(null);
      } catch (ProxyRefusedException e) {
        wanted = before;
        return CompletableFuture.failedFuture(e);
      } catch (IOException e) {
        log.error("the proxy does not answer (" + e.getMessage() + "); it is started anew");
        kill();
      }
    }
    if (served.isDone()) {
      served = new CompletableFuture<>();
    }
    if (running == null) {
      start();
    }
    return served;
  }

  /** A proxy that ran before the agent did may be of an older version. */
  private void replaceIfOld() {
    Running proxy = running;
    if (proxy == null || !proxy.adopted()) {
      return;
    }
    Optional<Instant> since =
        ProcessHandle.of(proxy.id().pid()).flatMap(process -> process.info().startInstant());
    if (since.filter(command::changedSince).isPresent()) {
      log.info("the proxy is older than the files it was started from");
      replace();
    }
  }

  /**
   * Puts another proxy in the place of the one that runs, which hands its listeners over and
   * finishes what it has: no new connection fails. When it does not come about, the one that runs
   * goes on.
   */
  void replace() {
    Wanted work = wanted;
    Running old = running;
    if (work == null || old == null || !ready || replacing) {
      return;
    }
    replacing = true;
    Path successor = directory.resolve(SUCCESSOR);
    try {
      Files.deleteIfExists(successor);
      Files.deleteIfExists(directory.resolve(SUCCESSOR_LISTENERS));
      Process process = command.start(directory, successor, work.cgroup());
      process.getOutputStream().close();
      ProcessId id =
          ProcessId.of(process.pid())
              .orElseThrow(() -> new IOException("it ended as soon as it was started"));
      var _ = process.onExit().thenRunAsync(() -> died(id), executor);
      awaitSuccessor(old, new Running(id, System.nanoTime(), false));
    } catch (IOException e) {
      notReplaced(Optional.empty(), String.valueOf(e.getMessage()));
    }
  }

  private void awaitSuccessor(Running old, Running next) {
    Wanted work = wanted;
    Path successor = directory.resolve(SUCCESSOR);
    if (!old.equals(running) || work == null) {
      // Ended or died meanwhile: whoever is wanted then is started as ever.
      replacing = false;
      next.id().kill();
    } else if (Files.exists(successor) && ask(successor, FrameType.STATUS).isPresent()) {
      takeOver(old, next, work);
    } else if (!next.id().alive()) {
      notReplaced(Optional.empty(), "it ended; see what it said");
    } else if (System.nanoTime() - next.since() > START_LIMIT.toNanos()) {
      notReplaced(
          Optional.of(next.id()), "it does not answer after " + START_LIMIT.toSeconds() + " s");
    } else {
      schedule(READY_POLL, () -> awaitSuccessor(old, next));
    }
  }

  private void takeOver(Running old, Running next, Wanted work) {
    Path successor = directory.resolve(SUCCESSOR);
    Path listeners = directory.resolve(SUCCESSOR_LISTENERS);
    try {
      Frame handOver =
          Frame.of(FrameType.HAND_OVER, listeners.toString().getBytes(StandardCharsets.UTF_8));
      Frame handed = ControlClient.call(socket, handOver, UPDATE_LIMIT);
      if (handed.type() != FrameType.OK) {
        throw new IOException(handed.text());
      }
      send(successor, work.update());
      byte[] millis = ByteBuffer.allocate(Long.BYTES).putLong(SUCCEEDED_DRAIN.toMillis()).array();
      ControlClient.call(socket, Frame.of(FrameType.DRAIN, millis), QUESTION_LIMIT);
      Files.move(successor, socket, StandardCopyOption.REPLACE_EXISTING);
      Files.move(listeners, directory.resolve(LISTENERS), StandardCopyOption.REPLACE_EXISTING);
      next.id().write(pidFile);
      running = next;
      replacing = false;
      backoff = Duration.ZERO;
      log.info(
          "the proxy, process "
              + old.id().pid()
              + ", has a successor, process "
              + next.id().pid()
              + ", after "
              + (System.nanoTime() - next.since()) / 1_000_000
              + " ms, and finishes what it has");
      schedule(SUCCEEDED_DRAIN.plusSeconds(2), () -> old.id().kill());
    } catch (IOException e) {
      notReplaced(Optional.of(next.id()), String.valueOf(e.getMessage()));
    }
  }

  private void notReplaced(Optional<ProcessId> successor, String why) {
    replacing = false;
    successor.ifPresent(ProcessId::kill);
    log.error("the proxy stays the one that it is: no successor: " + why);
  }

  /** Whether a process is in a cgroup (proc_pid_cgroup(5): {@code 0::PATH} is cgroup2's). */
  private static boolean livesIn(ProcessId id, Path cgroup) {
    try {
      return Files.readAllLines(Path.of("/proc", Long.toString(id.pid()), "cgroup")).stream()
          .filter(line -> line.startsWith("0::/"))
          .map(line -> line.substring("0::/".length()))
          .anyMatch(path -> cgroup.endsWith(path));
    } catch (IOException e) {
      return false; // it has just ended
    }
  }

  /** Ends the proxy: what is in flight may finish in this time. */
  void stop(Duration drain) {
    wanted = null;
    backoff = Duration.ZERO;
    Running proxy = running;
    running = null;
    ready = false;
    if (proxy != null) {
      end(socket, proxy.id(), drain);
      log.info("ended the proxy, process " + proxy.id().pid());
    }
    try {
      Files.deleteIfExists(pidFile);
    } catch (IOException e) {
      log.error("cannot remove " + pidFile + ": " + e.getMessage());
    }
  }

  /** Lets go of the proxy without ending it. */
  void leave() {
    wanted = null;
    running = null;
  }

  /** Asks a proxy to finish and end, and ends it when it does not. */
  static void end(Path socket, ProcessId id, Duration drain) {
    byte[] millis = ByteBuffer.allocate(Long.BYTES).putLong(drain.toMillis()).array();
    long deadline = System.nanoTime() + drain.plusSeconds(1).toNanos();
    try {
      ControlClient.call(socket, Frame.of(FrameType.DRAIN, millis), drain.plusSeconds(1));
      while (id.alive() && System.nanoTime() < deadline) {
        Thread.sleep(5);
      }
    } catch (IOException e) {
      // Nobody there to ask: what is left of it is ended below.
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
    id.kill();
    try {
      for (int i = 0; i < 200 && id.alive(); i++) {
        Thread.sleep(5);
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  private void start() {
    Wanted work = wanted;
    if (work == null) {
      return;
    }
    ready = false;
    try {
      prepareDirectory();
      Process process = command.start(directory, socket, work.cgroup());
      process.getOutputStream().close();
      ProcessId id =
          ProcessId.of(process.pid())
              .orElseThrow(() -> new IOException("the proxy ended as soon as it was started"));
      id.write(pidFile);
      Running started = new Running(id, System.nanoTime(), false);
      running = started;
      var _ = process.onExit().thenRunAsync(() -> died(id), executor);
      awaitReady(started);
    } catch (IOException e) {
      log.error("cannot start the proxy: " + e.getMessage());
      running = null;
      retry();
    }
  }

  private void prepareDirectory() throws IOException {
    Files.createDirectories(directory);
    // The proxy passes through the run directory to its own; what else is there, only root reads.
    Path runDir = directory.getParent();
    Files.setPosixFilePermissions(runDir, PosixFilePermissions.fromString("rwx--x--x"));
    Files.deleteIfExists(socket);
    Files.setAttribute(directory, "unix:gid", command.user());
    Files.setAttribute(directory, "unix:uid", command.user());
    Files.setPosixFilePermissions(directory, PosixFilePermissions.fromString("rwx------"));
  }

  private void awaitReady(Running started) {
    ifCurrent(
        started.id(),
        () -> {
          Wanted work = wanted;
          if (work == null) {
            return;
          }
          if (Files.exists(socket) && ask(FrameType.STATUS).isPresent()) {
            becomeReady(started, work);
          } else if (System.nanoTime() - started.since() > START_LIMIT.toNanos()) {
            log.error("the proxy does not answer after " + START_LIMIT.toSeconds() + " s");
            started.id().kill();
          } else {
            schedule(READY_POLL, () -> awaitReady(started));
          }
        });
  }

  private void becomeReady(Running started, Wanted work) {
    ready = true;
    try {
      send(work.update());
      long millis = (System.nanoTime() - started.since()) / 1_000_000;
      log.info("the proxy is ready after " + millis + " ms, process " + started.id().pid());
      served.complete(null);
    } catch (ProxyRefusedException e) {
      // It goes on without a plan, accepting nothing, until there is one that it can do.
      log.error(String.valueOf(e.getMessage()));
      served.completeExceptionally(e);
    } catch (IOException e) {
      log.error("the proxy broke off: " + e.getMessage());
      started.id().kill();
    }
  }

  private void send(ProxyUpdate update) throws IOException {
    send(socket, update);
  }

  private void send(Path to, ProxyUpdate update) throws IOException {
    Frame request = Frame.of(FrameType.UPDATE, ProxyUpdateCodec.encode(update));
    Frame reply = ControlClient.call(to, request, UPDATE_LIMIT);
    updates.incrementAndGet();
    if (reply.type() == FrameType.ERROR) {
      throw new ProxyRefusedException(update.generation(), reply.text());
    }
    if (reply.type() != FrameType.OK) {
      throw new IOException("an answer of type " + reply.type() + " to UPDATE");
    }
  }

  private void kill() {
    Running proxy = running;
    if (proxy != null) {
      running = null;
      ready = false;
      proxy.id().kill();
    }
  }

  private void died(ProcessId id) {
    ifCurrent(
        id,
        () -> {
          Running dead = running;
          running = null;
          ready = false;
          if (dead != null && System.nanoTime() - dead.since() > STABLE.toNanos()) {
            backoff = Duration.ZERO;
          }
          log.error("the proxy, process " + id.pid() + ", has ended");
          retry();
        });
  }

  /** At once after the first death, then after longer and longer, but always within a second. */
  private void retry() {
    if (wanted == null) {
      return;
    }
    if (served.isDone()) {
      served = new CompletableFuture<>();
    }
    Duration wait = backoff;
    backoff =
        backoff.isZero()
            ? FIRST_BACKOFF
            : backoff.multipliedBy(2).compareTo(LAST_BACKOFF) > 0
                ? LAST_BACKOFF
                : backoff.multipliedBy(2);
    restarts.incrementAndGet();
    schedule(
        wait,
        () -> {
          if (running == null) {
            start();
          }
        });
  }

  private void ifCurrent(ProcessId id, Runnable action) {
    Running proxy = running;
    if (proxy != null && proxy.id().equals(id)) {
      action.run();
    }
  }

  private void schedule(Duration delay, Runnable action) {
    if (!executor.isShutdown()) {
      var _ = executor.schedule(action, delay.toMillis(), TimeUnit.MILLISECONDS);
    }
  }

  /** The proxy's answer to a question without payload; empty when it does not answer. */
  Optional<Frame> ask(FrameType question) {
    return ask(socket, question);
  }

  /** The answer of the proxy at a socket; empty when it does not answer. */
  static Optional<Frame> ask(Path socket, FrameType question) {
    if (!Files.exists(socket)) {
      return Optional.empty();
    }
    try {
      Frame reply = ControlClient.call(socket, Frame.of(question), QUESTION_LIMIT);
      return reply.type() == FrameType.ERROR ? Optional.empty() : Optional.of(reply);
    } catch (IOException e) {
      return Optional.empty();
    }
  }

  /** The process, if there is one. */
  Optional<ProcessId> process() {
    Running proxy = running;
    return proxy == null ? Optional.empty() : Optional.of(proxy.id());
  }

  /** Where it takes commands. */
  Path socket() {
    return socket;
  }

  /** Whether it answers and has its plan. */
  boolean ready() {
    return ready && running != null;
  }

  /** How often it had to be started again. */
  long restarts() {
    return restarts.get();
  }

  /** How many updates it was sent. */
  long updates() {
    return updates.get();
  }
}
