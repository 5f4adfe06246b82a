// SPDX-License-Identifier: Apache-2.0
package dev.weir.perf;

import dev.weir.perf.apply.ApplyBench;
import dev.weir.perf.compile.CompileBench;
import dev.weir.perf.connect.ConnectBench;
import dev.weir.perf.measure.Figure;
import dev.weir.perf.measure.History;
import dev.weir.perf.measure.Machine;
import dev.weir.perf.measure.MeasureException;
import dev.weir.perf.measure.Report;
import dev.weir.perf.measure.Section;
import dev.weir.perf.proxy.BodiesBench;
import dev.weir.perf.proxy.Front;
import dev.weir.perf.proxy.HandshakeBench;
import dev.weir.perf.proxy.LatencyBench;
import dev.weir.perf.proxy.MemoryBench;
import dev.weir.perf.proxy.ProxyBench;
import dev.weir.perf.proxy.StartBench;
import java.io.PrintStream;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.concurrent.Callable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** The command: runs benchmarks, prints the table, keeps report and history. */
@Command(
    name = "bench.sh",
    mixinStandardHelpOptions = true,
    description =
        "Measures what Weir costs, beside nginx, HAProxy and Envoy. Figures beyond their aim are"
            + " marked; the exit status is 0 unless something could not be measured.")
public final class Bench implements Callable<Integer> {

  static final List<Benchmark> ALL =
      List.of(
          new ConnectBench(),
          new ProxyBench(Front.PLAIN),
          new ProxyBench(Front.TLS),
          new ProxyBench(Front.HTTP_2),
          new HandshakeBench(),
          new BodiesBench(),
          new LatencyBench(),
          new StartBench(),
          new MemoryBench(),
          new CompileBench(),
          new ApplyBench());

  @Option(
      names = "--quick",
      description = "Short and few rounds, about a minute in all: shows that it works, no more.")
  private boolean quick;

  @Option(
      names = "--only",
      paramLabel = "NAME",
      split = ",",
      description = "Run only this benchmark; may be repeated. See --list.")
  private List<String> only = List.of();

  @Option(
      names = "--minutes",
      paramLabel = "N",
      description =
          "How long the load of `memory` lasts, for each of plain HTTP and TLS"
              + " (default: 10; with --quick: half a minute).")
  private Optional<Integer> minutes = Optional.empty();

  @Option(names = "--list", description = "List the benchmarks.")
  private boolean list;

  @Option(
      names = "--output",
      paramLabel = "DIR",
      defaultValue = "target/bench",
      description = "Where report.md and report.json go (default: ${DEFAULT-VALUE}).")
  private Path output = Path.of("target/bench");

  private Bench() {}

  /**
   * What a benchmark is given.
   *
   * @param workspace its files, cgroups and peers
   * @param quick whether to measure briefly
   * @param load how long to put load on what is measured after much of it
   * @param progress where to tell what goes on
   */
  public record Context(Workspace workspace, boolean quick, Duration load, PrintStream progress) {

    /** One of two, by whether this is a quick run. */
    public int rounds(int ifQuick, int otherwise) {
      return quick ? ifQuick : otherwise;
    }

    /** One line about what goes on. */
    public void say(String what) {
      progress.println("bench: " + what);
    }
  }

  /** Runs the command. */
  public static void main(String[] args) {
    System.exit(new CommandLine(new Bench()).execute(args));
  }

  @Override
  public Integer call() throws MeasureException, InterruptedException {
    if (list) {
      ALL.forEach(benchmark -> System.out.printf("%-10s %s%n", benchmark.id(), benchmark.about()));
      return 0;
    }
    for (String name : only) {
      if (ALL.stream().noneMatch(benchmark -> benchmark.id().equals(name))) {
        System.err.println("bench: no benchmark is called " + name + "; see --list");
        return 2;
      }
    }
    Instant began = Instant.now();
    Machine machine = Machine.describe();
    Context context =
        new Context(
            Workspace.of(System.getenv()),
            quick,
            minutes.isPresent()
                ? Duration.ofMinutes(minutes.get())
                : Duration.ofSeconds(quick ? 30 : 600),
            System.err);
    Map<String, String> versions = Peers.versions(context.workspace());
    List<Section> sections = new ArrayList<>();
    Map<String, String> failures = new LinkedHashMap<>();
    for (Benchmark benchmark : ALL) {
      if (!only.isEmpty() && !only.contains(benchmark.id())) {
        continue;
      }
      context.say(benchmark.id() + ": " + benchmark.about());
      try {
        sections.add(benchmark.run(context));
      } catch (MeasureException e) {
        context.say(benchmark.id() + " could not be measured: " + e.getMessage());
        failures.put(benchmark.id(), String.valueOf(e.getMessage()));
      }
    }
    String commit = System.getenv().getOrDefault("WEIR_BENCH_COMMIT", "unknown");
    History history = new History(Path.of("perf-tests/history.jsonl"));
    List<Figure> figures = sections.stream().flatMap(s -> s.figures().stream()).toList();
    Map<String, Double> before = new LinkedHashMap<>();
    for (Figure figure : figures) {
      OptionalDouble was = history.before(figure, machine, quick);
      was.ifPresent(value -> before.put(figure.id(), value));
    }
    Report report = new Report(began, commit, quick, machine, versions, sections, failures, before);
    report.write(output);
    history.add(figures, machine, quick, commit, report.at());
    System.out.println(report.markdown());
    context.say(
        "took %d s; the report is in %s"
            .formatted(Duration.between(began, Instant.now()).toSeconds(), output));
    return failures.isEmpty() ? 0 : 1;
  }
}
