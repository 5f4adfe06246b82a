// SPDX-License-Identifier: Apache-2.0
package dev.weir.perf;

import dev.weir.perf.measure.MeasureException;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.io.Writer;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;

/**
 * A process of a benchmark: on one processor, in a cgroup of the run, gone when closed. Its CPU
 * time and memory are read from {@code /proc}.
 */
public final class Child implements AutoCloseable {

  /** Where the proxies under test run; nobody else does. */
  public static final int TESTED = 0;

  /** Where load generators and backends run. */
  public static final int LOAD = 1;

  /** No matter which processor. */
  public static final int ANY = -1;

  private static final Duration PATIENCE = Duration.ofSeconds(20);

  private final String name;
  private final Process process;
  private final Path log;
  private final BufferedReader output;
  private final Writer input;
  private Optional<CompletableFuture<String>> printed = Optional.empty();

  private Child(String name, Process process, Path log) {
    this.name = name;
    this.process = process;
    this.log = log;
    this.output = process.inputReader(StandardCharsets.UTF_8);
    this.input = process.outputWriter(StandardCharsets.UTF_8);
  }

  /**
   * Starts a process whose input and output this one keeps; its errors go to a log.
   *
   * @param name for messages and the log's name
   * @param processor it may run on
   * @param cgroup it lives in from before its first instruction
   */
  public static Child talking(
      Workspace workspace, String name, int processor, Path cgroup, List<String> command)
      throws MeasureException {
    return talking(workspace, name, processor, cgroup, Map.of(), command);
  }

  /** The same, with more in its environment. */
  public static Child talking(
      Workspace workspace,
      String name,
      int processor,
      Path cgroup,
      Map<String, String> environment,
      List<String> command)
      throws MeasureException {
    return start(workspace, name, processor, cgroup, environment, command, true);
  }

  /** Starts a process whose output and errors go to a log. */
  public static Child silent(
      Workspace workspace,
      String name,
      int processor,
      Path cgroup,
      Map<String, String> environment,
      List<String> command)
      throws MeasureException {
    return start(workspace, name, processor, cgroup, environment, command, false);
  }

  private static Child start(
      Workspace workspace,
      String name,
      int processor,
      Path cgroup,
      Map<String, String> environment,
      List<String> command,
      boolean talking)
      throws MeasureException {
    List<String> all = new ArrayList<>();
    // exec keeps the process id from the cgroup's entry to the program itself.
    all.addAll(
        List.of("sh", "-c", "echo $$ > \"$0\"/cgroup.procs && exec \"$@\"", cgroup.toString()));
    all.addAll(List.of("setpriv", "--pdeathsig", "KILL"));
    if (processor != ANY) {
      all.addAll(List.of("taskset", "-c", String.valueOf(processor)));
    }
    all.addAll(command);
    Path log = workspace.files().resolve(name + ".log");
    ProcessBuilder builder = new ProcessBuilder(all).directory(workspace.files().toFile());
    builder.environment().putAll(environment);
    builder.redirectError(log.toFile());
    if (!talking) {
      builder.redirectErrorStream(true).redirectOutput(log.toFile());
    }
    try {
      return new Child(name, builder.start(), log);
    } catch (IOException e) {
      throw new MeasureException("cannot start " + name + ": " + e.getMessage(), e);
    }
  }

  /** One line to its input, and the line it answers. */
  public String ask(String line) throws MeasureException {
    try {
      input.write(line + "\n");
      input.flush();
    } catch (IOException e) {
      throw new MeasureException(name + " is gone: " + e.getMessage() + logged(), e);
    }
    return answer();
  }

  /** The next line of its output. */
  public String answer() throws MeasureException {
    try {
      String line = output.readLine();
      if (line == null) {
        throw new MeasureException(name + " ended without an answer" + logged());
      }
      return line;
    } catch (IOException e) {
      throw new MeasureException("cannot read from " + name + ": " + e.getMessage() + logged(), e);
    }
  }

  /**
   * Reads what it prints from now on, for {@link #finish}: a process that prints more than a pipe
   * holds, and that nobody reads from meanwhile, does nothing else.
   */
  public Child reading() {
    printed = Optional.of(CompletableFuture.supplyAsync(this::all, Thread::startVirtualThread));
    return this;
  }

  private String all() {
    try {
      return output.readAllAsString();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** Everything it prints until it ends, which must be with success. */
  public String finish() throws MeasureException, InterruptedException {
    try {
      String all = printed.isPresent() ? printed.get().get() : all();
      int status = process.waitFor();
      if (status != 0) {
        throw new MeasureException(name + " ended with status " + status + ": " + all + logged());
      }
      return all;
    } catch (UncheckedIOException | ExecutionException e) {
      throw new MeasureException("cannot read from " + name + ": " + e.getMessage() + logged(), e);
    }
  }

  /** Waits until somebody listens on a TCP port of loopback. */
  public Child listening(int port) throws MeasureException, InterruptedException {
    long until = System.nanoTime() + PATIENCE.toNanos();
    while (true) {
      try (Socket socket = new Socket()) {
        socket.connect(new InetSocketAddress(InetAddress.ofLiteral("127.0.0.1"), port), 1000);
        return this;
      } catch (IOException e) {
        check(until, "does not listen on 127.0.0.1:" + port);
      }
    }
  }

  /** Waits until a file, such as a socket, is there. */
  public Child made(Path file) throws MeasureException, InterruptedException {
    long until = System.nanoTime() + PATIENCE.toNanos();
    while (!Files.exists(file)) {
      check(until, "did not make " + file);
    }
    return this;
  }

  private void check(long until, String what) throws MeasureException, InterruptedException {
    if (!process.isAlive()) {
      throw new MeasureException(name + " ended with status " + process.exitValue() + logged());
    }
    if (System.nanoTime() > until) {
      throw new MeasureException(
          name + " " + what + " after " + PATIENCE.toSeconds() + " s" + logged());
    }
    Thread.sleep(20);
  }

  private String logged() {
    try {
      List<String> lines = Files.readAllLines(log);
      List<String> last = lines.subList(Math.max(0, lines.size() - 12), lines.size());
      return last.isEmpty() ? "" : "\n    " + String.join("\n    ", last);
    } catch (IOException e) {
      return "";
    }
  }

  /** It and its children, to be measured. */
  public ProcessTree tree() {
    return new ProcessTree(name, process.pid());
  }

  /** Ends it and its children. */
  @Override
  public void close() {
    List<ProcessHandle> children = process.descendants().toList();
    process.destroy();
    try {
      if (!process.waitFor(PATIENCE.toSeconds(), TimeUnit.SECONDS)) {
        process.destroyForcibly();
      }
    } catch (InterruptedException e) {
      process.destroyForcibly();
      Thread.currentThread().interrupt();
    }
    children.forEach(ProcessHandle::destroyForcibly);
  }
}
