// SPDX-License-Identifier: Apache-2.0
package dev.weir.perf.proxy;

import dev.weir.perf.Bench.Context;
import dev.weir.perf.Benchmark;
import dev.weir.perf.Child;
import dev.weir.perf.Workspace;
import dev.weir.perf.measure.Figure;
import dev.weir.perf.measure.MeasureException;
import dev.weir.perf.measure.Report;
import dev.weir.perf.measure.Rounds;
import dev.weir.perf.measure.Samples;
import dev.weir.perf.measure.Section;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** CPU per request of large bodies: answers, and requests. */
public final class BodiesBench implements Benchmark {

  private static final int CONNECTIONS = 16;
  private static final double AIM = 1.5;

  /** Which way the body goes. */
  private enum Way {
    ANSWERS("answers", "/large"),
    UPLOADS("uploads", "/upload");

    private final String id;
    private final String path;

    Way(String id, String path) {
      this.id = id;
      this.path = path;
    }
  }

  /** The command line finds it by this. */
  public BodiesBench() {}

  @Override
  public String id() {
    return "bodies";
  }

  @Override
  public String about() {
    return "CPU per request with bodies of 1 MB, answers and uploads, plain HTTP";
  }

  @Override
  public Section run(Context context) throws MeasureException, InterruptedException {
    Workspace workspace = context.workspace();
    Path script =
        workspace.write(
            "upload.lua",
            "wrk.method = 'PUT'\nwrk.body = string.rep('u', %d)\n".formatted(Backends.LARGE));
    int rounds = context.rounds(3, 9);
    List<List<String>> rows = new ArrayList<>();
    List<Figure> figures = new ArrayList<>();
    try (Contest contest = Contest.start(workspace, Front.PLAIN)) {
      for (Way way : Way.values()) {
        for (Contender contender : contest.contenders()) {
          check(workspace, contender, way);
          context.say(id() + ": warming " + contender.name() + " with " + way.id);
          block(workspace, contender, way, script, context.rounds(2, 8));
        }
        Map<Contender, List<Double>> costs =
            Rounds.run(
                contest.contenders(),
                1,
                rounds,
                contender -> block(workspace, contender, way, script, context.rounds(1, 3)),
                round ->
                    context.say(id() + ": " + way.id + ", round " + (round + 1) + " of " + rounds));
        Samples haproxy = new Samples(costs.getOrDefault(contest.contenders().get(1), List.of()));
        costs.forEach(
            (contender, cost) -> {
              Samples cpu = new Samples(cost);
              Samples ratio = cpu.over(haproxy);
              rows.add(
                  List.of(
                      way.id + ": " + contender.name(),
                      Report.number(cpu.median(), "µs"),
                      Report.number(ratio.median(), "x")));
              String who = contender.name().toLowerCase(Locale.ROOT);
              figures.add(
                  Figure.of(
                      id() + "." + way.id + "." + who + ".cpu",
                      contender.name() + ", CPU per request, " + way.id + " of 1 MB",
                      cpu,
                      "µs"));
              if (contender.name().equals(Contender.WEIR)) {
                figures.add(
                    Figure.of(
                        id() + "." + way.id + ".weir.over-haproxy",
                        "Weir's proxy over HAProxy, CPU per request, " + way.id + " of 1 MB",
                        ratio,
                        "x",
                        AIM));
              }
            });
      }
    }
    return new Section(
        id(),
        "Bodies of 1 MB",
        ("%d connections with keep-alive, plain HTTP, one request at a time on each; CPU is user"
                + " and system time of the proxy's process per request, medians of %d interleaved"
                + " rounds.")
            .formatted(CONNECTIONS, rounds),
        List.of("way and proxy", "CPU per request", "over HAProxy"),
        rows,
        figures,
        List.of(
            "nginx keeps what it is sent, and answers that are slow to go, in files: its defaults,"
                + " as everybody's."));
  }

  private static String url(Contender contender, Way way) {
    return contender.url().replace("/item", way.path);
  }

  /** One body has to pass whole, before its price counts. */
  private static void check(Workspace workspace, Contender contender, Way way)
      throws MeasureException, InterruptedException {
    Path body = workspace.files().resolve("backend-v1/files/large");
    List<String> command = new ArrayList<>();
    command.addAll(List.of("curl", "-sS", "--max-time", "10", "-o", "/dev/null"));
    command.addAll(List.of("-w", "%{http_code} %{size_download} %{size_upload}"));
    if (way == Way.UPLOADS) {
      command.addAll(List.of("-H", "Expect:", "-T", body.toString()));
    }
    command.add(url(contender, way));
    try (Child curl = Child.talking(workspace, "curl", Child.LOAD, contender.client(), command)) {
      String told = curl.finish();
      boolean good =
          way == Way.ANSWERS
              ? told.equals("200 " + Backends.LARGE + " 0")
              : told.matches("20[14] 0 " + Backends.LARGE);
      if (!good) {
        throw new MeasureException(
            contender.name() + ", " + way.id + ": status and bytes were " + told);
      }
    }
  }

  private static double block(
      Workspace workspace, Contender contender, Way way, Path script, int seconds)
      throws MeasureException, InterruptedException {
    List<String> options = way == Way.UPLOADS ? List.of("-s", script.toString()) : List.of();
    long before = contender.process().cpuNanos();
    Wrk.Load done =
        Wrk.run(workspace, contender.client(), url(contender, way), CONNECTIONS, seconds, options);
    long cpu = contender.process().cpuNanos() - before;
    if (done.failed() > 0) {
      throw new MeasureException(
          "%s, %s: %d of %d requests failed: what fails cannot be compared"
              .formatted(contender.name(), way.id, done.failed(), done.requests()));
    }
    return cpu / 1e3 / done.requests();
  }
}
