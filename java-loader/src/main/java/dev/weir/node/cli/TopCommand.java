// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.cli;

import dev.weir.node.kernel.KernelNode;
import dev.weir.node.kernel.Snapshot;
import dev.weir.node.telemetry.Names;
import dev.weir.node.telemetry.Rates;
import dev.weir.policy.json.Json;
import java.io.Console;
import java.io.IOException;
import java.io.InputStream;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/**
 * {@code weir top}. Reads the pinned maps itself, so it works with no agent, and shows what happens
 * while the agent is busy or gone.
 */
@Command(
    name = "top",
    description =
        "Show who talks to whom now: rates, open connections, latency, refusals. Needs no agent.",
    footer = "%nKeys: c connections, o open, b bytes, l latency, r refusals, p round trip; q ends.",
    mixinStandardHelpOptions = true)
final class TopCommand implements Callable<Integer> {

  /** What comes first. */
  enum Sort {
    connections,
    open,
    bytes,
    latency,
    refused,
    rtt
  }

  @Mixin private NodeOptions options = new NodeOptions();

  @Option(
      names = "--sort",
      description = "What comes first: ${COMPLETION-CANDIDATES} (${DEFAULT-VALUE}).",
      defaultValue = "connections")
  private Sort sort = Sort.connections;

  @Option(
      names = "--interval",
      paramLabel = "TIME",
      converter = DurationConverter.class,
      description = "Time between two looks (${DEFAULT-VALUE}).",
      defaultValue = "1s")
  private Duration interval = Duration.ofSeconds(1);

  @Option(
      names = "--once",
      description = "Print one interval and end; what a pipe gets without it is one after another.")
  private boolean once;

  @Option(
      names = {"-n", "--rows"},
      paramLabel = "N",
      description = "At most so many pairs; what fits the terminal, else all.")
  private Optional<Integer> rows = Optional.empty();

  @Override
  public Integer call() throws IOException, InterruptedException {
    try (KernelNode node = options.node()) {
      Snapshot before = node.telemetry(); // also says when nothing is in force
      try (Screen screen = Screen.of(!once && !options.json())) {
        while (true) {
          long started = System.nanoTime();
          if (!screen.pause(interval, this::key)) {
            return ExitCode.OK;
          }
          Snapshot now = node.telemetry();
          Duration passed = Duration.ofNanos(System.nanoTime() - started);
          Names names =
              node.current()
                  .map(current -> new Names(current, node::workloadKey, node::ruleKey))
                  .orElseThrow(
                      () -> new dev.weir.node.kernel.NodeException("nothing is in force any more"));
          show(Rates.between(before, now, passed, names), screen);
          if (once || options.out().checkError()) {
            return ExitCode.OK;
          }
          before = now;
        }
      }
    }
  }

  private void key(int key) {
    sort =
        switch (key) {
          case 'c' -> Sort.connections;
          case 'o' -> Sort.open;
          case 'b' -> Sort.bytes;
          case 'l' -> Sort.latency;
          case 'r' -> Sort.refused;
          case 'p' -> Sort.rtt;
          default -> sort;
        };
  }

  private Comparator<Rates.Row> order() {
    return Comparator.comparingDouble(
            (Rates.Row row) ->
                switch (sort) {
                  case connections -> row.openedPerSecond();
                  case open -> row.open();
                  case bytes -> row.sentPerSecond() + row.receivedPerSecond();
                  case latency -> row.connectMicros().orElse(0);
                  case refused -> row.refusedPerSecond();
                  case rtt -> row.roundTripMicros().orElse(0);
                })
        .thenComparingDouble(row -> row.opened() + row.refused())
        .reversed()
        .thenComparing(row -> row.source() + ' ' + row.destination() + ' ' + row.port());
  }

  private void show(Rates rates, Screen screen) {
    List<Rates.Row> sorted = rates.rows().stream().sorted(order()).toList();
    PrintWriter out = options.out();
    if (options.json()) {
      out.println(Json.line(rates.json(sorted)));
    } else {
      int fit = rows.orElse(screen.rows() - 3);
      screen.frame(out, lines(rates, sorted, Math.max(1, fit), screen.columns()));
    }
    out.flush();
  }

  private List<String> lines(Rates rates, List<Rates.Row> sorted, int fit, int columns) {
    List<String> lines = new java.util.ArrayList<>();
    lines.add(
        "weir top  %.1f conn/s  %d open  %.1f refused/s  %d pairs, by %s"
            .formatted(
                rates.openedPerSecond(),
                rates.open(),
                rates.refusedPerSecond(),
                sorted.size(),
                sort));
    lines.add(
        "%-28s %-34s %-7s %7s %6s %9s %9s %8s %8s %7s"
            .formatted(
                "SOURCE",
                "DESTINATION",
                "VERDICT",
                "CONN/S",
                "OPEN",
                "SENT/S",
                "RECV/S",
                "CONNECT",
                "RTT",
                "REF/S"));
    sorted.stream()
        .limit(fit)
        .map(
            row ->
                "%-28s %-34s %-7s %7.1f %6d %9s %9s %8s %8s %7.1f"
                    .formatted(
                        row.source(),
                        row.destination() + ":" + row.port() + "/" + row.protocol(),
                        row.verdict(),
                        row.openedPerSecond(),
                        row.open(),
                        bytes(row.sentPerSecond()),
                        bytes(row.receivedPerSecond()),
                        row.connectMicros().isPresent()
                            ? micros(row.connectMicros().getAsLong())
                            : "-",
                        row.roundTripMicros().isPresent()
                            ? micros(row.roundTripMicros().getAsLong())
                            : "-",
                        row.refusedPerSecond()))
        .forEach(lines::add);
    return lines.stream()
        .map(line -> line.length() > columns ? line.substring(0, columns) : line)
        .toList();
  }

  private static String bytes(double perSecond) {
    if (perSecond < 10_000) {
      return "%.0f".formatted(perSecond);
    }
    return perSecond < 10_000_000
        ? "%.1fk".formatted(perSecond / 1e3)
        : "%.1fM".formatted(perSecond / 1e6);
  }

  private static String micros(long micros) {
    return micros < 10_000 ? micros + "us" : "%.1fms".formatted(micros / 1e3);
  }

  /** The terminal, in a state that {@link #close} undoes; or a pipe, in none. */
  private static final class Screen implements AutoCloseable {
    private static final Path TERMINAL = Path.of("/dev/tty");
    private static final int PIPE_ROWS = 1 << 20;

    private final Optional<String> saved;
    private final @Nullable InputStream keys;
    private final Thread restore = new Thread(this::restore);
    private int rows = PIPE_ROWS;
    private int columns = PIPE_ROWS;

    private Screen(Optional<String> saved, @Nullable InputStream keys) {
      this.saved = saved;
      this.keys = keys;
    }

    static Screen of(boolean wanted) throws IOException, InterruptedException {
      if (!wanted || Optional.ofNullable(System.console()).filter(Console::isTerminal).isEmpty()) {
        return new Screen(Optional.empty(), null);
      }
      Optional<String> state = stty("-g");
      if (state.isEmpty()) {
        return new Screen(Optional.empty(), null);
      }
      Screen screen = new Screen(state, Files.newInputStream(TERMINAL));
      // Ctrl-C ends the process past all of ours but this.
      Runtime.getRuntime().addShutdownHook(screen.restore);
      var _ = stty("-icanon", "-echo", "min", "0", "time", "0");
      print("\u001b[?1049h\u001b[?25l"); // the other screen, no cursor
      return screen;
    }

    private static Optional<String> stty(String... arguments)
        throws IOException, InterruptedException {
      List<String> command = new java.util.ArrayList<>(List.of("stty"));
      command.addAll(List.of(arguments));
      Process process =
          new ProcessBuilder(command)
              .redirectInput(TERMINAL.toFile())
              .redirectError(ProcessBuilder.Redirect.DISCARD)
              .start();
      String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
      return process.waitFor() == 0 ? Optional.of(said.strip()) : Optional.empty();
    }

    private static void print(String text) {
      System.out.print(text);
      System.out.flush();
    }

    int rows() {
      return rows;
    }

    int columns() {
      return columns;
    }

    /** Waits, or until a key is pressed; false: to end. */
    boolean pause(Duration time, java.util.function.IntConsumer key)
        throws IOException, InterruptedException {
      long deadline = System.nanoTime() + time.toNanos();
      while (true) {
        if (keys != null) {
          int pressed = keys.read();
          if (pressed == 'q' || pressed == 4) {
            return false;
          }
          if (pressed > 0) {
            key.accept(pressed);
          }
        }
        long left = deadline - System.nanoTime();
        if (left <= 0) {
          return true;
        }
        TimeUnit.NANOSECONDS.sleep(Math.min(left, 100_000_000L));
      }
    }

    void frame(PrintWriter out, List<String> lines) {
      if (saved.isEmpty()) {
        lines.forEach(out::println);
        return;
      }
      StringBuilder text = new StringBuilder("\u001b[H");
      lines.stream().limit(rows).forEach(line -> text.append(line).append("\u001b[K\r\n"));
      text.append("\u001b[J");
      print(text.toString());
      measure();
    }

    /** As it is now: windows change their size. */
    void measure() {
      try {
        List<String> size = List.of(stty("size").orElse("").split(" ", -1));
        if (size.size() == 2) {
          rows = Math.max(4, Integer.parseInt(size.get(0)));
          columns = Math.max(20, Integer.parseInt(size.get(1)));
        }
      } catch (IOException | NumberFormatException e) {
        rows = 24;
        columns = 80;
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
      }
    }

    private void restore() {
      saved.ifPresent(
          state -> {
            print("\u001b[?25h\u001b[?1049l");
            try {
              var _ = stty(state);
            } catch (IOException e) {
              print("run: stty sane\n");
            } catch (InterruptedException e) {
              Thread.currentThread().interrupt();
            }
          });
    }

    @Override
    public void close() throws IOException {
      if (saved.isPresent()) {
        restore();
        try {
          Runtime.getRuntime().removeShutdownHook(restore);
        } catch (IllegalStateException e) {
          return; // it runs already, and does the same
        }
      }
      if (keys != null) {
        keys.close();
      }
    }
  }
}
