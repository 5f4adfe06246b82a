// SPDX-License-Identifier: Apache-2.0
package dev.weir.perf.proxy;

import dev.weir.perf.Bench.Context;
import dev.weir.perf.Benchmark;
import dev.weir.perf.ProcessTree;
import dev.weir.perf.Workspace;
import dev.weir.perf.measure.Figure;
import dev.weir.perf.measure.MeasureException;
import dev.weir.perf.measure.Report;
import dev.weir.perf.measure.Rounds;
import dev.weir.perf.measure.Samples;
import dev.weir.perf.measure.Section;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.ToDoubleFunction;

/**
 * CPU per request and memory of Weir's proxy beside nginx, HAProxy and Envoy.
 *
 * <p>The proxies have one processor to themselves, the load generator and the backends the other.
 * Each block is a few seconds of as many requests as the proxy answers; what counts is the
 * processor time of its process per request, which a slower neighbour does not change.
 */
public final class ProxyBench implements Benchmark {

  private static final int CONNECTIONS = 32;
  private static final int MANY = 1000;

  private final Front front;

  /** One for what clients speak. */
  public ProxyBench(Front front) {
    this.front = front;
  }

  @Override
  public String id() {
    return front.id();
  }

  @Override
  public String about() {
    return switch (front) {
      case PLAIN -> "CPU per request and memory, plain HTTP keep-alive";
      case TLS -> "CPU per request and memory, TLS 1.3 in, plain HTTP out";
      case MUTUAL_TLS -> "CPU per request and memory, mutual TLS 1.3 in, plain HTTP out";
      case HTTP_2 -> "CPU per request and memory, HTTP/2 in, HTTP/1.1 out";
    };
  }

  /** One block's cost. */
  private record Cost(double cpuMicros, double perSecond, double p50Micros, double p99Micros) {}

  /**
   * Many connections at once.
   *
   * @param cpuMicros per request
   * @param failed requests that were not answered well, or not within five seconds
   * @param requests that were answered
   * @param before memory before them, when a few connections had worked for long
   * @param open memory meanwhile
   * @param after memory some seconds after they were closed
   */
  private record Crowd(
      double cpuMicros,
      long failed,
      long requests,
      ProcessTree.Memory before,
      ProcessTree.Memory open,
      ProcessTree.Memory after) {}

  @Override
  public Section run(Context context) throws MeasureException, InterruptedException {
    Workspace workspace = context.workspace();
    try (Contest contest = Contest.start(workspace, front)) {
      List<Contender> contenders = new ArrayList<>(contest.contenders());
      if (front == Front.PLAIN) {
        Contender redirected = Contender.redirected(workspace, contest.mesh());
        redirected.check(workspace, front, contest.backends());
        contenders.add(redirected);
      }
      return measure(context, contenders);
    }
  }

  private Section measure(Context context, List<Contender> contenders)
      throws MeasureException, InterruptedException {
    // By requests, not by time: a JIT compiler counts calls.
    int warm = context.rounds(20_000, 300_000);
    for (Contender contender : contenders) {
      context.say(id() + ": warming " + contender.name() + " with " + warm + " requests");
      for (long done = 0; done < warm; ) {
        done += load(context.workspace(), contender, CONNECTIONS, 1).requests();
      }
    }
    int rounds = context.rounds(3, 9);
    int seconds = context.rounds(1, 3);
    Map<Contender, List<Cost>> costs =
        Rounds.run(
            contenders,
            1,
            rounds,
            contender -> block(context.workspace(), contender, seconds),
            round -> context.say(id() + ": round " + (round + 1) + " of " + rounds));
    Map<Contender, Crowd> crowds = new LinkedHashMap<>();
    for (Contender contender : contenders) {
      context.say(id() + ": " + contender.name() + " with " + MANY + " connections");
      crowds.put(contender, crowd(context, contender));
    }
    return section(contenders, costs, crowds);
  }

  private Wrk.Load load(Workspace workspace, Contender contender, int requests, int seconds)
      throws MeasureException, InterruptedException {
    return front == Front.HTTP_2
        ? H2load.run(workspace, contender.client(), contender.url(), requests, seconds)
        : Wrk.run(workspace, contender.client(), contender.url(), requests, seconds);
  }

  private Cost block(Workspace workspace, Contender contender, int seconds)
      throws MeasureException, InterruptedException {
    long before = contender.process().cpuNanos();
    Wrk.Load done = load(workspace, contender, CONNECTIONS, seconds);
    long cpu = contender.process().cpuNanos() - before;
    if (done.failed() > 0) {
      throw new MeasureException(
          contender.name()
              + ": "
              + done.failed()
              + " of "
              + done.requests()
              + " requests failed: what fails cannot be compared");
    }
    return new Cost(
        cpu / 1e3 / done.requests(),
        done.requests() / done.seconds(),
        done.p50Micros(),
        done.p99Micros());
  }

  /** Many connections at once, and what is left when they are gone again. */
  private Crowd crowd(Context context, Contender contender)
      throws MeasureException, InterruptedException {
    int seconds = context.rounds(5, 10);
    ProcessTree.Memory few = contender.process().memory();
    Thread sampler = Thread.currentThread();
    List<ProcessTree.Memory> middle = new ArrayList<>();
    List<MeasureException> failures = new ArrayList<>();
    Thread watch =
        Thread.ofPlatform()
            .start(
                () -> {
                  try {
                    Thread.sleep(seconds * 750L);
                    middle.add(contender.process().memory());
                  } catch (MeasureException e) {
                    failures.add(e);
                  } catch (InterruptedException e) {
                    sampler.interrupt();
                  }
                });
    long before = contender.process().cpuNanos();
    Wrk.Load done = load(context.workspace(), contender, MANY, seconds);
    long cpu = contender.process().cpuNanos() - before;
    watch.join();
    if (!failures.isEmpty()) {
      throw failures.getFirst();
    }
    Thread.sleep(context.rounds(500, 5000));
    return new Crowd(
        cpu / 1e3 / done.requests(),
        done.failed(),
        done.requests(),
        few,
        middle.getFirst(),
        contender.process().memory());
  }

  private Section section(
      List<Contender> contenders, Map<Contender, List<Cost>> costs, Map<Contender, Crowd> crowds) {
    Contender nginx = contenders.getFirst();
    List<List<String>> rows = new ArrayList<>();
    List<Figure> figures = new ArrayList<>();
    Samples reference = samples(costs, nginx, Cost::cpuMicros);
    List<String> remarks = new ArrayList<>();
    for (Map.Entry<Contender, Crowd> entry : crowds.entrySet()) {
      Contender contender = entry.getKey();
      Crowd crowd = entry.getValue();
      if (crowd.failed() > 0) {
        remarks.add(
            "**%s failed %,d of %,d requests** with %,d connections (or answered after more than five seconds)."
                .formatted(contender.name(), crowd.failed(), crowd.requests(), MANY));
      }
      Samples cpu = samples(costs, contender, Cost::cpuMicros);
      Samples ratio = cpu.over(reference);
      rows.add(
          List.of(
              contender.name(),
              Report.number(cpu.median(), "µs"),
              Report.number(ratio.median(), "x"),
              "%,.0f".formatted(samples(costs, contender, Cost::perSecond).median()),
              Report.number(samples(costs, contender, Cost::p50Micros).median(), "µs"),
              Report.number(samples(costs, contender, Cost::p99Micros).median(), "µs"),
              mib(crowd.before().rssKib()),
              Report.number(crowd.cpuMicros(), "µs"),
              mib(crowd.open().rssKib()),
              mib(crowd.after().rssKib()),
              mib(crowd.after().pssKib()),
              mib(crowd.after().anonymousKib())));
      if (contender.name().equals(Contender.REDIRECTED)) {
        figures.add(
            Figure.of(
                id() + ".redirected.over-nginx",
                "Weir's proxy, led there by the kernel, over nginx, CPU per request",
                ratio,
                "x"));
        continue;
      }
      String who = contender.name().toLowerCase(Locale.ROOT);
      String what = front.text();
      boolean ours = contender.name().equals(Contender.WEIR);
      figures.add(
          Figure.of(
              id() + "." + who + ".cpu",
              contender.name() + ", CPU per request, " + what,
              cpu,
              "µs"));
      if (ours) {
        String name = "Weir's proxy over nginx, CPU per request, " + what;
        figures.add(
            Figure.of(
                id() + ".weir.over-nginx", name, ratio, "x", front == Front.HTTP_2 ? 1.0 : 1.2));
        if (front != Front.HTTP_2) {
          figures.add(
              Figure.of(
                  id() + ".weir.over-envoy",
                  "Weir's proxy over Envoy, CPU per request, " + what,
                  cpu.over(samples(costs, contenders.get(2), Cost::cpuMicros)),
                  "x",
                  0.4));
        }
        Samples few = Samples.of(crowd.before().rssKib() / 1024.0);
        String steadily = "Weir's proxy, steady RSS with 32 connections, " + what;
        figures.add(
            front != Front.PLAIN
                ? Figure.of(id() + ".weir.rss-32", steadily, few, "MiB")
                : Figure.of(id() + ".weir.rss-32", steadily, few, "MiB", 80));
        Samples rss = Samples.of(crowd.after().rssKib() / 1024.0);
        String steady = "Weir's proxy, steady RSS after 1,000 connections, " + what;
        figures.add(
            front != Front.PLAIN
                ? Figure.of(id() + ".weir.rss", steady, rss, "MiB")
                : Figure.of(id() + ".weir.rss", steady, rss, "MiB", 80));
      }
    }
    return new Section(
        id(),
        "HTTP proxies, " + front.text() + (front == Front.PLAIN ? "" : " in front"),
        ("%d %s, answers of %,d bytes,"
                + " 99 to 1 between two backends%s. CPU is user and system time of the proxy's"
                + " process per request, medians of %d interleaved rounds; latencies are at"
                + " saturation. CPU per request and memory with %,d at work, and memory"
                + " some seconds after they closed.")
            .formatted(
                CONNECTIONS,
                front == Front.HTTP_2
                    ? "requests at once, " + H2load.STREAMS + " on a connection"
                    : "connections with keep-alive, one request at a time on each",
                Backends.BODY,
                front.encrypted() ? ", TLS 1.3 on the client's side" : "",
                reference.count(),
                MANY),
        List.of(
            "proxy",
            "CPU per request",
            "over nginx",
            "requests/s",
            "p50",
            "p99",
            "RSS at 32",
            "CPU at 1,000",
            "RSS at 1,000",
            "RSS after",
            "PSS after",
            "anonymous"),
        rows,
        figures,
        remarks);
  }

  private static Samples samples(
      Map<Contender, List<Cost>> costs, Contender contender, ToDoubleFunction<Cost> what) {
    return Samples.of(costs.getOrDefault(contender, List.of()).stream().mapToDouble(what));
  }

  private static String mib(long kib) {
    return String.format(Locale.ROOT, "%.1f MiB", kib / 1024.0);
  }
}
