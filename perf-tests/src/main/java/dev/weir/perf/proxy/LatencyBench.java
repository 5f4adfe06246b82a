// SPDX-License-Identifier: Apache-2.0
package dev.weir.perf.proxy;

import dev.weir.perf.Bench.Context;
import dev.weir.perf.Benchmark;
import dev.weir.perf.Workspace;
import dev.weir.perf.measure.Figure;
import dev.weir.perf.measure.MeasureException;
import dev.weir.perf.measure.Report;
import dev.weir.perf.measure.Rounds;
import dev.weir.perf.measure.Samples;
import dev.weir.perf.measure.Section;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.ToDoubleFunction;
import java.util.stream.IntStream;

/**
 * What a proxy adds to the time of an answer when it is half loaded: the same requests per second
 * to all of them and to the backend itself.
 */
public final class LatencyBench implements Benchmark {

  private static final int CONNECTIONS = 32;
  private static final double AIM_NGINX = 1.5;

  /** The command line finds it by this. */
  public LatencyBench() {}

  @Override
  public String id() {
    return "latency";
  }

  @Override
  public String about() {
    return "time added to an answer at half load (p50, p99), plain HTTP at a constant rate";
  }

  /** Who is asked: a proxy, or the backend itself. */
  private record Way(String name, String url) {}

  @Override
  public Section run(Context context) throws MeasureException, InterruptedException {
    Workspace workspace = context.workspace();
    List<List<String>> rows = new ArrayList<>();
    List<Figure> figures = new ArrayList<>();
    int rounds = context.rounds(3, 9);
    try (Contest contest = Contest.start(workspace, Front.PLAIN)) {
      List<Way> ways = new ArrayList<>();
      ways.add(new Way("direct", "http://127.0.0.1:" + contest.backends().first() + "/item"));
      contest.contenders().forEach(each -> ways.add(new Way(each.name(), each.url())));
      int envoy = 0;
      int ours = 0;
      for (Contender contender : contest.contenders()) {
        int most = saturated(context, contender);
        if (contender.name().equals(Contender.ENVOY)) {
          envoy = most / 2;
        } else if (contender.name().equals(Contender.WEIR)) {
          ours = most / 2;
        }
      }
      measure(context, ways, ours, "half of what Weir can do", "weirs-half", rows, figures);
      measure(context, ways, envoy, "half of what Envoy can do", "envoys-half", rows, figures);
    }
    return new Section(
        id(),
        "Time added to an answer",
        ("%d connections, plain HTTP, one request due every so many microseconds whether or not"
                + " earlier ones were answered; an answer's time counts from when its request was"
                + " due. Medians of %d interleaved rounds; what is added is over the backend"
                + " itself, asked as often in the same round. The rates are taken from a run at"
                + " saturation.")
            .formatted(CONNECTIONS, rounds),
        List.of("rate and way", "p50", "p50 added", "p99", "p99 added"),
        rows,
        figures,
        List.of());
  }

  private int saturated(Context context, Contender contender)
      throws MeasureException, InterruptedException {
    context.say(id() + ": how much " + contender.name() + " can do");
    long warm = context.rounds(20_000, 300_000);
    List<Double> perSecond = new ArrayList<>();
    for (long done = 0; done < warm || perSecond.size() < 4; ) {
      Wrk.Load load =
          Wrk.run(context.workspace(), contender.client(), contender.url(), CONNECTIONS, 1);
      done += load.requests();
      perSecond.add(load.requests() / load.seconds());
    }
    return (int) new Samples(perSecond.subList(perSecond.size() - 3, perSecond.size())).median();
  }

  private void measure(
      Context context,
      List<Way> ways,
      int rate,
      String what,
      String id,
      List<List<String>> rows,
      List<Figure> figures)
      throws MeasureException, InterruptedException {
    int rounds = context.rounds(3, 9);
    int seconds = context.rounds(1, 3);
    Map<Way, List<Paced.Latency>> found =
        Rounds.run(
            ways,
            1,
            rounds,
            way ->
                Paced.run(
                    context.workspace(),
                    context.workspace().cgroup("load"),
                    way.url,
                    rate,
                    CONNECTIONS,
                    seconds),
            round ->
                context.say(
                    "%s: %,d/s, %s; round %d of %d"
                        .formatted(id(), rate, what, round + 1, rounds)));
    List<Paced.Latency> direct = found.getOrDefault(ways.getFirst(), List.of());
    double nginx = 0;
    double envoy = 0;
    for (Map.Entry<Way, List<Paced.Latency>> entry : found.entrySet()) {
      String name = entry.getKey().name;
      List<Paced.Latency> times = entry.getValue();
      Samples p50 = added(times, direct, Paced.Latency::p50Micros);
      Samples p99 = added(times, direct, Paced.Latency::p99Micros);
      rows.add(
          List.of(
              "%,d/s, %s: %s".formatted(rate, what, name),
              Report.number(median(times, Paced.Latency::p50Micros), "µs"),
              name.equals("direct") ? "" : Report.number(p50.median(), "µs"),
              Report.number(median(times, Paced.Latency::p99Micros), "µs"),
              name.equals("direct") ? "" : Report.number(p99.median(), "µs")));
      String who = id() + "." + id + "." + name.toLowerCase(Locale.ROOT);
      if (!name.equals("direct")) {
        figures.add(Figure.of(who + ".p99-added", name + ", p99 added at " + what, p99, "µs"));
      }
      switch (name) {
        case Contender.NGINX -> nginx = p99.median();
        case Contender.ENVOY -> envoy = p99.median();
        case Contender.WEIR -> {
          figures.add(
              Figure.of(
                  who + ".p99-added-over-nginx",
                  "Weir's proxy over nginx, p99 added at " + what,
                  Samples.of(p99.median() / nginx),
                  "x",
                  AIM_NGINX));
          figures.add(
              Figure.of(
                  who + ".p99-added-over-envoy",
                  "Weir's proxy over Envoy, p99 added at " + what,
                  Samples.of(p99.median() / envoy),
                  "x",
                  1));
        }
        default -> {}
      }
    }
  }

  private static double median(List<Paced.Latency> times, ToDoubleFunction<Paced.Latency> what) {
    return Samples.of(times.stream().mapToDouble(what)).median();
  }

  /** Round by round, how much longer it took. */
  private static Samples added(
      List<Paced.Latency> times, List<Paced.Latency> direct, ToDoubleFunction<Paced.Latency> what) {
    return Samples.of(
        IntStream.range(0, times.size())
            .mapToDouble(
                i -> what.applyAsDouble(times.get(i)) - what.applyAsDouble(direct.get(i))));
  }
}
