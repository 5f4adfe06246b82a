// SPDX-License-Identifier: Apache-2.0
package dev.weir.perf.compile;

import dev.weir.perf.Bench.Context;
import dev.weir.perf.Benchmark;
import dev.weir.perf.measure.Figure;
import dev.weir.perf.measure.MeasureException;
import dev.weir.perf.measure.Report;
import dev.weir.perf.measure.Samples;
import dev.weir.perf.measure.Section;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import org.openjdk.jmh.results.RunResult;
import org.openjdk.jmh.runner.Runner;
import org.openjdk.jmh.runner.RunnerException;
import org.openjdk.jmh.runner.options.OptionsBuilder;
import org.openjdk.jmh.runner.options.TimeValue;
import org.openjdk.jmh.runner.options.VerboseMode;
import org.openjdk.jmh.util.Statistics;

/** Runs {@link CompileBenchmark} in JVMs with the flags of {@code weir}. */
public final class CompileBench implements Benchmark {

  private static final double AIM_MILLIS = 2_000;
  private static final double CHANGE_AIM_MILLIS = 20;

  /** What the files, the objects made of them and the plan must all have room in. */
  private static final String HEAP = "-Xmx192m";

  @Override
  public String id() {
    return "compile";
  }

  @Override
  public String about() {
    return "10,000 workloads, 5,000 services and 100,000 rules from files to plan";
  }

  @Override
  public Section run(Context context) throws MeasureException, InterruptedException {
    Samples first = measure(context, "compile", 0, 1, context.rounds(1, 5));
    context.say("compile: now in a JVM that has compiled before");
    Samples later = measure(context, "compile", context.rounds(1, 3), context.rounds(2, 7), 1);
    Samples encoded =
        measure(context, "compileAndEncode", context.rounds(1, 3), context.rounds(2, 7), 1);
    context.say("compile: now after one file has changed");
    Samples policy = changed(context, "policyChanged");
    Samples written = changed(context, "policyWritten");
    Samples workloads = changed(context, "workloadsChanged");
    Samples services = changed(context, "servicesChanged");
    return new Section(
        id(),
        "Compiler",
        ("%,d workloads in %,d groups, %,d services, %,d policy clauses that are a verdict each,"
                + " files in memory; medians, in JVMs with the flags of the command line and a"
                + " heap of 192 MiB. The compiler after a change is one that has read all files"
                + " before.")
            .formatted(
                LargePolicy.WORKLOADS,
                LargePolicy.GROUPS,
                LargePolicy.SERVICES,
                LargePolicy.GROUPS * LargePolicy.CLAUSES),
        List.of("what", "time", "fastest", "slowest", "runs"),
        List.of(
            row("first compile of a new JVM", first),
            row("later compiles", later),
            row("later compiles, and the plan's bytes", encoded),
            row("after the file of one policy has changed", policy),
            row("after the file of one policy was written, in a directory", written),
            row("after a file of ten workloads has changed", workloads),
            row("after a file of five services has changed", services)),
        List.of(
            Figure.of("compile.first", "full compile, first one of a JVM", first, "ms", AIM_MILLIS),
            Figure.of("compile.later", "full compile, later ones", later, "ms", AIM_MILLIS),
            Figure.of(
                "compile.policy",
                "compile after one policy file changed",
                policy,
                "ms",
                CHANGE_AIM_MILLIS),
            Figure.of(
                "compile.written",
                "compile of a directory after one policy file was written",
                written,
                "ms",
                CHANGE_AIM_MILLIS),
            Figure.of(
                "compile.workloads",
                "compile after one workload file changed",
                workloads,
                "ms",
                CHANGE_AIM_MILLIS),
            Figure.of(
                "compile.services",
                "compile after one service file changed",
                services,
                "ms",
                CHANGE_AIM_MILLIS)),
        List.of());
  }

  private static List<String> row(String what, Samples samples) {
    return List.of(
        what,
        Report.number(samples.median(), "ms"),
        Report.number(samples.quantile(0), "ms"),
        Report.number(samples.quantile(1), "ms"),
        String.valueOf(samples.count()));
  }

  private static Samples changed(Context context, String method) throws MeasureException {
    return measure(context, method, context.rounds(2, 10), context.rounds(3, 20), 1);
  }

  private static Samples measure(
      Context context, String method, int warmUp, int iterations, int forks)
      throws MeasureException {
    OptionsBuilder options = new OptionsBuilder();
    options
        .include("\\Q" + CompileBenchmark.class.getName() + "." + method + "\\E$")
        .warmupIterations(warmUp)
        .measurementIterations(iterations)
        .forks(forks)
        .timeout(TimeValue.minutes(2))
        .shouldFailOnError(true)
        .verbosity(VerboseMode.SILENT)
        .jvm(context.workspace().jdk().resolve("bin/java").toString())
        .jvmArgs("@" + context.workspace().checkout().resolve("target/dist/node.options"), HEAP);
    List<Double> millis = new ArrayList<>();
    try {
      Collection<RunResult> results = new Runner(options.build()).run();
      for (RunResult result : results) {
        Statistics statistics = result.getPrimaryResult().getStatistics();
        var data = statistics.getRawData();
        while (data.hasNext()) {
          var value = data.next();
          for (long i = 0; i < value.getValue(); i++) {
            millis.add(value.getKey());
          }
        }
      }
    } catch (RunnerException e) {
      Throwable cause = e;
      for (Throwable next = e; next != null; next = next.getCause()) {
        cause = next.getSuppressed().length > 0 ? next.getSuppressed()[0] : next;
      }
      throw new MeasureException("the compiler's benchmark failed: " + cause, e);
    }
    if (millis.isEmpty()) {
      throw new MeasureException("the compiler's benchmark has no result");
    }
    return new Samples(millis);
  }
}
