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
import java.net.URI;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** CPU of a new connection: a full handshake of mutual TLS 1.3, one request, and the end. */
public final class HandshakeBench implements Benchmark {

  private static final int CONNECTIONS = 8;

  /** Nine tenths of nginx's handshakes per second of processor time. */
  private static final double AIM = 1 / 0.9;

  /** The command line finds it by this. */
  public HandshakeBench() {}

  @Override
  public String id() {
    return "handshake";
  }

  @Override
  public String about() {
    return "CPU per full mutual TLS 1.3 handshake (P-256), with one request on it";
  }

  @Override
  public Section run(Context context) throws MeasureException, InterruptedException {
    Workspace workspace = context.workspace();
    int rounds = context.rounds(3, 9);
    try (Contest contest = Contest.start(workspace, Front.MUTUAL_TLS);
        Child load =
            Child.talking(
                workspace,
                "handshakes",
                Child.LOAD,
                workspace.cgroup("load"),
                command(workspace, contest.backends().clients()))) {
      int warm = context.rounds(2_000, 30_000);
      for (Contender contender : contest.contenders()) {
        context.say(id() + ": warming " + contender.name() + " with " + warm + " connections");
        for (long done = 0; done < warm; ) {
          done += handshakes(load, contender, 1);
        }
      }
      Map<Contender, List<Double>> costs =
          Rounds.run(
              contest.contenders(),
              1,
              rounds,
              contender -> block(load, contender, context.rounds(1, 3)),
              round -> context.say(id() + ": round " + (round + 1) + " of " + rounds));
      return section(contest, costs);
    }
  }

  private static List<String> command(Workspace workspace, Clients clients) {
    List<String> command = new ArrayList<>(workspace.java());
    command.addAll(List.of(HandshakeLoad.class.getName(), String.valueOf(CONNECTIONS)));
    command.addAll(List.of(clients.certificate().toString(), clients.key().toString()));
    return command;
  }

  private Section section(Contest contest, Map<Contender, List<Double>> costs) {
    List<List<String>> rows = new ArrayList<>();
    List<Figure> figures = new ArrayList<>();
    Samples nginx = new Samples(costs.getOrDefault(contest.nginx(), List.of()));
    costs.forEach(
        (contender, cost) -> {
          Samples cpu = new Samples(cost);
          Samples ratio = cpu.over(nginx);
          rows.add(
              List.of(
                  contender.name(),
                  Report.number(cpu.median(), "µs"),
                  "%,.0f".formatted(1e6 / cpu.median()),
                  Report.number(ratio.median(), "x")));
          String who = id() + "." + contender.name().toLowerCase(Locale.ROOT);
          figures.add(
              Figure.of(who + ".cpu", contender.name() + ", CPU per full handshake", cpu, "µs"));
          if (contender.name().equals(Contender.WEIR)) {
            figures.add(
                Figure.of(
                    who + ".over-nginx",
                    "Weir's proxy over nginx, CPU per full handshake",
                    ratio,
                    "x",
                    AIM));
          }
        });
    return new Section(
        id(),
        "Full mutual TLS handshakes",
        ("%d connections at once, each a full handshake of TLS 1.3 with P-256 keys and"
                + " certificates on both sides, one request"
                + " with `Connection: close`, and the end; no session is resumed. CPU is user and"
                + " system time of the proxy's process per connection, medians of %d interleaved"
                + " rounds.")
            .formatted(CONNECTIONS, nginx.count()),
        List.of("proxy", "CPU per handshake", "handshakes per CPU second", "over nginx"),
        rows,
        figures,
        List.of());
  }

  private static double block(Child load, Contender contender, int seconds)
      throws MeasureException {
    long before = contender.process().cpuNanos();
    long done = handshakes(load, contender, seconds);
    return (contender.process().cpuNanos() - before) / 1e3 / done;
  }

  private static long handshakes(Child load, Contender contender, int seconds)
      throws MeasureException {
    String answer = load.ask(URI.create(contender.url()).getPort() + " " + seconds);
    if (!answer.startsWith("ok ") || answer.equals("ok 0")) {
      throw new MeasureException("handshakes with " + contender.name() + ": " + answer);
    }
    return Long.parseLong(answer.substring(3));
  }
}
