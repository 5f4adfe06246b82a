// SPDX-License-Identifier: Apache-2.0
package dev.weir.perf.apply;

import dev.weir.node.kernel.Places;
import dev.weir.perf.Bench.Context;
import dev.weir.perf.Benchmark;
import dev.weir.perf.Child;
import dev.weir.perf.Workspace;
import dev.weir.perf.measure.Figure;
import dev.weir.perf.measure.MeasureException;
import dev.weir.perf.measure.Report;
import dev.weir.perf.measure.Samples;
import dev.weir.perf.measure.Section;
import dev.weir.perf.proxy.KeyPair;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;

/** Times {@code weir apply} on the example, from its start to its end, as a user would. */
public final class ApplyBench implements Benchmark {

  private static final double AIM_MILLIS = 1_000;
  private static final long SETTLE_MILLIS = 1_000;

  @Override
  public String id() {
    return "apply";
  }

  @Override
  public String about() {
    return "`weir apply` of the example, from its start to its end";
  }

  @Override
  public Section run(Context context) throws MeasureException, InterruptedException {
    Workspace workspace = context.workspace();
    Path root = workspace.cgroup("applied");
    Path policy = example(workspace, root);
    int rounds = context.rounds(2, 10);
    List<Double> first = new ArrayList<>();
    List<Double> again = new ArrayList<>();
    try {
      weir(workspace, root, "apply", policy.toString()); // reads the programs from the disk
      for (int round = 0; round < rounds; round++) {
        weir(workspace, root, "down");
        // The kernel frees what was taken down a while later, and the next attach waits for it.
        Thread.sleep(SETTLE_MILLIS);
        first.add(weir(workspace, root, "apply", policy.toString()));
        Thread.sleep(SETTLE_MILLIS);
        again.add(weir(workspace, root, "apply", policy.toString()));
      }
    } finally {
      weir(workspace, root, "down");
    }
    Samples loaded = new Samples(first);
    Samples changed = new Samples(again);
    return new Section(
        id(),
        "weir apply",
        ("From the start of the command to its end, on the files of examples/edge-node; medians of"
                + " %d runs. The first one loads and attaches the programs; the next finds them"
                + " in force. A second passes between any two commands.")
            .formatted(rounds),
        List.of("what", "time", "fastest", "slowest"),
        List.of(row("nothing in force before", loaded), row("a generation in force", changed)),
        List.of(
            Figure.of(
                "apply.first",
                "weir apply of the example, nothing in force before",
                loaded,
                "ms",
                AIM_MILLIS),
            Figure.of(
                "apply.again", "weir apply of the example, again", changed, "ms", AIM_MILLIS)),
        List.of());
  }

  private static List<String> row(String what, Samples samples) {
    return List.of(
        what,
        Report.number(samples.median(), "ms"),
        Report.number(samples.quantile(0), "ms"),
        Report.number(samples.quantile(1), "ms"));
  }

  /**
   * A copy of the example that lives below a cgroup of this run, with the key pair that the demo
   * makes for its Gateway.
   */
  private static Path example(Workspace workspace, Path root)
      throws MeasureException, InterruptedException {
    String below = "/" + Places.cgroup2Mount().relativize(root) + "/weir-demo";
    KeyPair keyPair = KeyPair.make(workspace);
    Path from = workspace.checkout().resolve("examples/edge-node/policy");
    try (Stream<Path> files = Files.list(from)) {
      for (Path file : files.toList()) {
        workspace.write(
            "example/" + file.getFileName(), Files.readString(file).replace("/weir-demo", below));
      }
    } catch (IOException e) {
      throw new MeasureException("cannot copy " + from + ": " + e.getMessage(), e);
    }
    workspace.write("example/shop-tls.yaml", keyPair.secret("shop", "shop-tls"));
    return workspace.files().resolve("example");
  }

  /** Runs a command of {@code weir}; milliseconds it took. */
  private static double weir(Workspace workspace, Path root, String... arguments)
      throws MeasureException, InterruptedException {
    List<String> command = new ArrayList<>();
    command.add(workspace.checkout().resolve("weir").toString());
    command.addAll(List.of(arguments));
    Map<String, String> environment = workspace.weir(root);
    long started = System.nanoTime();
    try (Child child =
        Child.talking(
            workspace, "weir", Child.ANY, workspace.cgroup("weir"), environment, command)) {
      child.finish();
      return (System.nanoTime() - started) / 1e6;
    }
  }
}
