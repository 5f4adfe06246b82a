// SPDX-License-Identifier: Apache-2.0
package dev.weir.perf.proxy;

import dev.weir.perf.Bench.Context;
import dev.weir.perf.Benchmark;
import dev.weir.perf.Child;
import dev.weir.perf.ProcessTree;
import dev.weir.perf.Workspace;
import dev.weir.perf.measure.Figure;
import dev.weir.perf.measure.MeasureException;
import dev.weir.perf.measure.Samples;
import dev.weir.perf.measure.Section;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** What the proxies hold after minutes of load on many connections. */
public final class MemoryBench implements Benchmark {

  private static final int CONNECTIONS = 1000;
  private static final int PER_CONNECTION = 2;
  private static final long IDLE_MILLIS = 10_000;
  private static final double AIM_PLAIN = 80;
  private static final double AIM_TLS = 92;
  private static final double AIM_ANONYMOUS = 55;

  /** The command line finds it by this. */
  public MemoryBench() {}

  @Override
  public String id() {
    return "memory";
  }

  @Override
  public String about() {
    return "memory after minutes of load (--minutes) with 1,000 connections, plain and TLS 1.3";
  }

  @Override
  public Section run(Context context) throws MeasureException, InterruptedException {
    List<List<String>> rows = new ArrayList<>();
    List<Figure> figures = new ArrayList<>();
    List<String> remarks = new ArrayList<>();
    for (Front front : List.of(Front.PLAIN, Front.TLS)) {
      try (Contest contest = Contest.start(context.workspace(), front)) {
        measure(context, contest, front, rows, figures, remarks);
      }
    }
    return new Section(
        id(),
        "Memory after load",
        ("%,d connections with keep-alive to each proxy, on each of them %d requests a second for"
             + " %d seconds, all proxies at the same time; at the end of it, and %d seconds after"
             + " the connections were closed.")
            .formatted(CONNECTIONS, PER_CONNECTION, context.load().toSeconds(), IDLE_MILLIS / 1000),
        List.of(
            "front and proxy",
            "RSS at the end",
            "PSS",
            "anonymous",
            "RSS after",
            "PSS after",
            "anonymous after"),
        rows,
        figures,
        remarks);
  }

  private void measure(
      Context context,
      Contest contest,
      Front front,
      List<List<String>> rows,
      List<Figure> figures,
      List<String> remarks)
      throws MeasureException, InterruptedException {
    long seconds = context.load().toSeconds();
    context.say("%s: %s for %d s".formatted(id(), front.text(), seconds));
    Map<Contender, Child> loads = new LinkedHashMap<>();
    Map<Contender, ProcessTree.Memory> busy = new LinkedHashMap<>();
    try {
      for (Contender contender : contest.contenders()) {
        loads.put(contender, load(context.workspace(), contender, seconds));
      }
      Thread.sleep(Math.max(1, seconds - 3) * 1000);
      for (Contender contender : contest.contenders()) {
        busy.put(contender, contender.process().memory());
      }
      for (Map.Entry<Contender, Child> load : loads.entrySet()) {
        Wrk.Load done = H2load.answered(load.getKey().url(), load.getValue().finish(), seconds);
        long due = seconds * CONNECTIONS * PER_CONNECTION;
        if (done.failed() > 0 || done.requests() < CONNECTIONS) {
          throw new MeasureException(
              "%s: %,d of %,d requests were answered, %,d failed"
                  .formatted(load.getKey().name(), done.requests(), due, done.failed()));
        }
        if (done.requests() < due * 9 / 10) {
          remarks.add(
              "%s, %s: only %,d of %,d requests were asked; the machine was too busy for more."
                  .formatted(load.getKey().name(), front.text(), done.requests(), due));
        }
      }
    } finally {
      loads.values().forEach(Child::close);
    }
    Thread.sleep(IDLE_MILLIS);
    for (Map.Entry<Contender, ProcessTree.Memory> each : busy.entrySet()) {
      Contender contender = each.getKey();
      ProcessTree.Memory open = each.getValue();
      ProcessTree.Memory after = contender.process().memory();
      rows.add(
          List.of(
              front.text() + ": " + contender.name(),
              mib(open.rssKib()),
              mib(open.pssKib()),
              mib(open.anonymousKib()),
              mib(after.rssKib()),
              mib(after.pssKib()),
              mib(after.anonymousKib())));
      // How long it lasted is part of the name: five minutes are not comparable with ten.
      String who =
          "%s.%s.%ds.%s."
              .formatted(id(), front.id(), seconds, contender.name().toLowerCase(Locale.ROOT));
      String what = ", " + front.text();
      if (contender.name().equals(Contender.WEIR)) {
        double aim = front == Front.TLS ? AIM_TLS : AIM_PLAIN;
        figures.add(
            figure(
                who + "rss",
                "Weir's proxy, RSS with 1,000 connections at work" + what,
                open.rssKib(),
                aim));
        figures.add(
            figure(who + "rss-after", "Weir's proxy, RSS after them" + what, after.rssKib(), aim));
        figures.add(
            figure(
                who + "anonymous",
                "Weir's proxy, anonymous memory with 1,000 connections at work" + what,
                open.anonymousKib(),
                AIM_ANONYMOUS));
        figures.add(
            figure(
                who + "anonymous-after",
                "Weir's proxy, anonymous memory after them" + what,
                after.anonymousKib(),
                AIM_ANONYMOUS));
      } else {
        figures.add(
            Figure.of(
                who + "rss",
                contender.name() + ", RSS with 1,000 connections at work" + what,
                Samples.of(open.rssKib() / 1024.0),
                "MiB"));
      }
    }
  }

  private static Figure figure(String id, String name, long kib, double aim) {
    return Figure.of(id, name, Samples.of(kib / 1024.0), "MiB", aim);
  }

  private static Child load(Workspace workspace, Contender contender, long seconds)
      throws MeasureException {
    return Child.talking(
            workspace,
            "load-" + contender.name().toLowerCase(Locale.ROOT),
            Child.LOAD,
            contender.client(),
            List.of(
                workspace.peer("h2load"),
                "--h1",
                "-t1",
                "-c" + CONNECTIONS,
                "--rps=" + PER_CONNECTION,
                "-D" + seconds,
                contender.url()))
        // Where a proxy negotiates no protocol, it says so twice for each connection.
        .reading();
  }

  private static String mib(long kib) {
    return String.format(Locale.ROOT, "%.1f MiB", kib / 1024.0);
  }
}
