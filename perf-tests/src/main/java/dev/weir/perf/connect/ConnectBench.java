// SPDX-License-Identifier: Apache-2.0
package dev.weir.perf.connect;

import dev.weir.node.kernel.Places;
import dev.weir.perf.Bench.Context;
import dev.weir.perf.Benchmark;
import dev.weir.perf.Child;
import dev.weir.perf.Template;
import dev.weir.perf.Workspace;
import dev.weir.perf.measure.Figure;
import dev.weir.perf.measure.MeasureException;
import dev.weir.perf.measure.Report;
import dev.weir.perf.measure.Rounds;
import dev.weir.perf.measure.Samples;
import dev.weir.perf.measure.Section;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.ToDoubleFunction;

/**
 * The price of a connection, and of a datagram, in the client's processor time: bare, under Weir
 * with 100,000 verdicts, and through HAProxy in TCP mode.
 *
 * <p>Hooks at a cgroup cost whoever lives below it and nobody else. So the mesh is attached at a
 * cgroup of its own, and the same client program runs once below it and once beside it: blocks of a
 * few milliseconds alternate between the two with nothing to attach or detach in between.
 */
public final class ConnectBench implements Benchmark {

  private static final String LOOPBACK = "127.0.0.1";

  /**
   * What one block does.
   *
   * <p>The aims are those of a client below the mesh over a bare one. That of a connected UDP
   * socket is 1.00 in two decimals: no hook is asked when it sends.
   */
  private enum Kind {
    /** Socket, connect, close with a reset. */
    CONNECT("connect", 200, true, 1.08),
    /** Socket, connect, request, answer, end of file, close. */
    EXCHANGE("exchange", 200, true, 1.08),
    /** Requests and answers over one connection. */
    MESSAGES("messages", 300, true, 1.02),
    /** Datagrams of a socket that is not connected, none answered. */
    SEND("send", 300, false, 1.12),
    /** Datagrams of a socket that is not connected, and their answers. */
    ASK("ask", 300, false, 1.03),
    /** Datagrams of a connected socket, and their answers. */
    TALK("talk", 300, false, 1.005),
    /** Socket, connect that is refused, close. */
    REFUSED("refused", 200, true, 1.0);

    private static final List<Kind> BESIDE_BARE =
        List.of(CONNECT, EXCHANGE, MESSAGES, SEND, ASK, TALK);

    private final String command;
    private final int count;
    private final boolean tcp;
    private final double aim;

    Kind(String command, int count, boolean tcp, double aim) {
      this.command = command;
      this.count = count;
      this.tcp = tcp;
      this.aim = aim;
    }
  }

  /**
   * One way from a client to a server.
   *
   * @param name for the table
   * @param client who connects
   * @param server who answers
   * @param tcp whether this way is one for TCP; one for datagrams otherwise
   * @param between processes whose work a connection needs besides these two
   * @param address where the client connects to
   * @param port where the client connects to
   */
  private record Way(
      String name,
      Child client,
      Child server,
      boolean tcp,
      List<Child> between,
      String address,
      int port) {}

  /** What one cycle of a block cost; times in microseconds. */
  private record Cost(double client, double server, double between, double p50, double p99) {
    double together() {
      return client + server + between;
    }
  }

  @Override
  public String id() {
    return "connect";
  }

  @Override
  public String about() {
    return "CPU per connection and datagram: bare, under Weir with 100,000 verdicts, HAProxy (TCP)";
  }

  @Override
  public Section run(Context context) throws MeasureException, InterruptedException {
    Workspace workspace = context.workspace();
    Path bare = workspace.cgroup("bare");
    Path mesh = workspace.cgroup("mesh");
    Path web = workspace.cgroup("mesh/web");
    Path cart = workspace.cgroup("mesh/cart");
    Path loader = workspace.cgroup("loader");
    int barePort = Workspace.freePort();
    int cartPort = Workspace.freePort();
    int haproxyPort = Workspace.freePort();
    List<Child> children = new ArrayList<>();
    try {
      List<String> apply =
          List.of(
              inMesh(web), inMesh(cart), inMesh(mesh.resolve("proxy")), String.valueOf(cartPort));
      context.say("connect: putting 100,000 verdicts in force");
      mesh(workspace, loader, mesh, "apply", apply);
      // Twice, so that both slots are full, as they are on a node whose policy has changed once.
      Samples applied = Samples.of(mesh(workspace, loader, mesh, "apply", apply));
      Samples memory = Samples.of(memory(workspace, loader));
      int resident = processesIn(loader);

      Child bareServer = server(workspace, children, "bare-server", bare, "server", barePort);
      Child cartServer = server(workspace, children, "cart", cart, "server", cartPort);
      Child bareEcho = server(workspace, children, "bare-echo", bare, "udp-server", barePort);
      Child cartEcho = server(workspace, children, "cart-echo", cart, "udp-server", cartPort);
      Child bareClient = client(workspace, children, "bare-client", bare);
      Child secondClient = client(workspace, children, "second-client", bare);
      Child webClient = client(workspace, children, "web", web);
      Child haproxy = haproxy(workspace, children, bare, haproxyPort, barePort);
      List<Way> ways = new ArrayList<>();
      for (boolean tcp : List.of(true, false)) {
        Child bareEnd = tcp ? bareServer : bareEcho;
        Child cartEnd = tcp ? cartServer : cartEcho;
        ways.add(new Way("bare", bareClient, bareEnd, tcp, List.of(), LOOPBACK, barePort));
        ways.add(new Way("bare, again", secondClient, bareEnd, tcp, List.of(), LOOPBACK, barePort));
        ways.add(new Way("Weir, direct", webClient, cartEnd, tcp, List.of(), LOOPBACK, cartPort));
        ways.add(
            new Way(
                "Weir, virtual address",
                webClient,
                cartEnd,
                tcp,
                List.of(),
                SyntheticPlan.VIRTUAL_ADDRESS,
                SyntheticPlan.VIRTUAL_PORT));
      }
      ways.add(
          new Way(
              "HAProxy, TCP",
              bareClient,
              bareServer,
              true,
              List.of(haproxy),
              LOOPBACK,
              haproxyPort));
      refusedElsewhere(webClient, barePort);
      return measure(context, ways, applied, memory, resident);
    } finally {
      children.reversed().forEach(Child::close);
      down(context, loader, mesh);
    }
  }

  /** The control: the programs judge this client, so another port than the allowed is refused. */
  private static void refusedElsewhere(Child client, int port) throws MeasureException {
    String answer = client.ask("connect 127.0.0.1 " + port + " 1");
    if (!answer.startsWith("error connect: Connection refused")) {
      throw new MeasureException(
          "the governed client was not refused where no verdict allows it ("
              + answer
              + "): Weir is not in force, so there is nothing to measure");
    }
  }

  private Section measure(
      Context context, List<Way> all, Samples applied, Samples memory, int resident)
      throws MeasureException, InterruptedException {
    int rounds = context.rounds(20, 150);
    List<List<String>> rows = new ArrayList<>();
    List<Figure> figures = new ArrayList<>();
    for (Kind kind : Kind.BESIDE_BARE) {
      List<Way> ofKind = all.stream().filter(way -> way.tcp() == kind.tcp).toList();
      Map<Way, List<Cost>> costs =
          Rounds.run(
              ofKind,
              5,
              rounds,
              way -> block(way, kind),
              round -> {
                if (round % 50 == 0) {
                  context.say("connect: " + kind.command + ", round " + round + " of " + rounds);
                }
              });
      Samples bare = samples(costs, ofKind.getFirst(), Cost::client);
      Samples together = samples(costs, ofKind.getFirst(), Cost::together);
      for (Way way : ofKind) {
        Samples client = samples(costs, way, Cost::client);
        Samples ratio = client.over(bare);
        rows.add(
            List.of(
                kind.command + ": " + way.name(),
                Report.number(client.median(), "µs"),
                Report.number(ratio.median(), "x"),
                Report.number(samples(costs, way, Cost::server).median(), "µs"),
                way.between().isEmpty()
                    ? "none"
                    : Report.number(samples(costs, way, Cost::between).median(), "µs"),
                Report.number(samples(costs, way, Cost::together).over(together).median(), "x"),
                Report.number(samples(costs, way, Cost::p50).median(), "µs"),
                Report.number(samples(costs, way, Cost::p99).median(), "µs")));
        if (way.name().startsWith("Weir")) {
          figures.add(figure(kind, way, ratio));
        }
      }
    }
    refusals(all, rounds, rows, figures);
    figures.add(Figure.of("connect.apply", "100,000 verdicts, from plan to force", applied, "ms"));
    figures.add(
        Figure.of("connect.memory", "kernel memory of all maps, both slots full", memory, "MiB"));
    figures.add(
        Figure.of(
            "connect.resident",
            "processes of Weir alive after apply",
            Samples.of(resident),
            "",
            0));
    return new Section(
        id(),
        "Connections",
        ("%,d verdicts over %,d identities and %,d workloads in force, all hooks attached, all"
             + " telemetry on. CPU is of the client's thread per cycle, which over loopback holds"
             + " the work of both ends' kernel side; medians of %d interleaved blocks of %d cycles"
             + " (%d for messages), ratios within each round. \"connect\" is socket, connect,"
             + " reset; \"exchange\" adds a request, its answer and an orderly close; \"messages\""
             + " is one request and answer of 64 bytes over an established connection. \"send\" is"
             + " a datagram of 64 bytes of a UDP socket that is not connected, \"ask\" the same and"
             + " its answer, \"talk\" both on a connected socket; \"refused\" a connect that is"
             + " refused, beside one that succeeds bare. p50 and p99 are of connect() (of the"
             + " answer with messages, ask and talk, of the call with send), medians over blocks.")
            .formatted(
                SyntheticPlan.VERDICTS,
                SyntheticPlan.IDENTITIES,
                SyntheticPlan.WORKLOADS,
                rounds,
                Kind.CONNECT.count,
                Kind.MESSAGES.count),
        List.of(
            "way",
            "client CPU",
            "over bare",
            "server CPU",
            "between",
            "all over bare",
            "p50",
            "p99"),
        rows,
        figures,
        List.of(
            "\"bare, again\" is a second client beside the first: how far it is from 1.00x is what"
                + " this machine's noise is worth.",
            "HAProxy answers a handshake before it asks its server, and so never asks when the"
                + " client resets at once: compare it by \"exchange\".",
            "\"between\" is CPU of processes in the middle. Everything that put Weir in force ran"
                + " in a cgroup of its own, which holds "
                + resident
                + " processes while this is measured."));
  }

  /** How long a refused connect takes, beside one of nobody's that succeeds. */
  private static void refusals(
      List<Way> all, int rounds, List<List<String>> rows, List<Figure> figures)
      throws MeasureException, InterruptedException {
    Way bare = all.getFirst();
    Way governed =
        all.stream().filter(way -> way.name().equals("Weir, direct")).findFirst().orElseThrow();
    Way refused =
        new Way(
            "Weir, refused",
            governed.client(),
            bare.server(),
            true,
            List.of(),
            bare.address(),
            bare.port());
    Map<Way, List<Cost>> costs =
        Rounds.run(
            List.of(bare, refused),
            5,
            rounds,
            way -> block(way, way.equals(refused) ? Kind.REFUSED : Kind.CONNECT),
            _ -> {});
    Samples p50 = samples(costs, refused, Cost::p50);
    rows.add(
        List.of(
            Kind.REFUSED.command + ": " + refused.name(),
            Report.number(samples(costs, refused, Cost::client).median(), "µs"),
            Report.number(
                samples(costs, refused, Cost::client)
                    .over(samples(costs, bare, Cost::client))
                    .median(),
                "x"),
            "none",
            "none",
            Report.number(
                samples(costs, refused, Cost::together)
                    .over(samples(costs, bare, Cost::together))
                    .median(),
                "x"),
            Report.number(p50.median(), "µs"),
            Report.number(samples(costs, refused, Cost::p99).median(), "µs")));
    figures.add(
        Figure.of(
            "connect.refused",
            "refused connect(), over a bare one that succeeds, wall time (p50)",
            p50.over(samples(costs, bare, Cost::p50)),
            "x",
            Kind.REFUSED.aim));
  }

  private static Figure figure(Kind kind, Way way, Samples ratio) {
    String id = "connect." + kind.command + (way.name().endsWith("direct") ? ".direct" : ".vip");
    String name = kind.command + ", " + way.name() + ", over bare, client CPU";
    return Figure.of(id, name, ratio, "x", kind.aim);
  }

  private static Samples samples(Map<Way, List<Cost>> costs, Way way, ToDoubleFunction<Cost> what) {
    return Samples.of(costs.getOrDefault(way, List.of()).stream().mapToDouble(what));
  }

  private static Cost block(Way way, Kind kind) throws MeasureException {
    long server = way.server().tree().threadNanos();
    long between = nanos(way.between());
    String answer =
        way.client().ask(kind.command + " " + way.address() + " " + way.port() + " " + kind.count);
    String[] fields = answer.split(" ", -1);
    if (!fields[0].equals("ok")) {
      throw new MeasureException(way.name() + ", " + kind.command + ": " + answer);
    }
    double cycles = kind.count * 1e3;
    return new Cost(
        Long.parseLong(fields[2]) / cycles,
        (way.server().tree().threadNanos() - server) / cycles,
        (nanos(way.between()) - between) / cycles,
        Long.parseLong(fields[4]) / 1e3,
        Long.parseLong(fields[5]) / 1e3);
  }

  private static long nanos(List<Child> children) throws MeasureException {
    long nanos = 0;
    for (Child child : children) {
      nanos += child.tree().threadNanos();
    }
    return nanos;
  }

  private static Child server(
      Workspace workspace, List<Child> children, String name, Path cgroup, String command, int port)
      throws MeasureException {
    Child child =
        Child.talking(
            workspace,
            name,
            Child.LOAD,
            cgroup,
            List.of(cycle(workspace), command, LOOPBACK, String.valueOf(port)));
    children.add(child);
    ready(name, child);
    return child;
  }

  private static Child client(Workspace workspace, List<Child> children, String name, Path cgroup)
      throws MeasureException {
    Child child =
        Child.talking(workspace, name, Child.TESTED, cgroup, List.of(cycle(workspace), "client"));
    children.add(child);
    ready(name, child);
    return child;
  }

  private static Child haproxy(
      Workspace workspace, List<Child> children, Path cgroup, int port, int backend)
      throws MeasureException, InterruptedException {
    String text =
        Template.fill(
            ConnectBench.class, "haproxy-tcp.cfg", Map.of("port", port, "backend", backend));
    Path configuration = workspace.write("haproxy-tcp.cfg", text);
    Child child =
        Child.silent(
            workspace,
            "haproxy-tcp",
            Child.LOAD,
            cgroup,
            Map.of(),
            List.of(workspace.peer("haproxy"), "-db", "-f", configuration.toString()));
    children.add(child);
    return child.listening(port);
  }

  private static void ready(String name, Child child) throws MeasureException {
    String answer = child.answer();
    if (!answer.equals("ready")) {
      throw new MeasureException(name + ": " + answer);
    }
  }

  private static String cycle(Workspace workspace) {
    return workspace.files().resolve("cycle").toString();
  }

  /** Runs {@link MeshCommand}; the number it prints, or 0. */
  private static double mesh(
      Workspace workspace, Path cgroup, Path root, String what, List<String> more)
      throws MeasureException, InterruptedException {
    List<String> command = new ArrayList<>(workspace.java());
    command.addAll(
        List.of(
            MeshCommand.class.getName(),
            what,
            root.toString(),
            workspace.pins().toString(),
            workspace.files().toString()));
    command.addAll(more);
    try (Child child = Child.talking(workspace, "mesh-" + what, Child.LOAD, cgroup, command)) {
      String output = child.finish().strip();
      return output.isEmpty() ? 0 : Double.parseDouble(output);
    }
  }

  /** A failure to remove must not hide why there was nothing to measure; bench.sh removes too. */
  private static void down(Context context, Path cgroup, Path root) throws InterruptedException {
    try {
      mesh(context.workspace(), cgroup, root, "down", List.of());
    } catch (MeasureException e) {
      context.say("connect: could not take Weir out of force: " + e.getMessage());
    }
  }

  private static double memory(Workspace workspace, Path cgroup)
      throws MeasureException, InterruptedException {
    List<String> command =
        List.of(
            workspace.files().resolve("mapmemory").toString(),
            workspace.pins().resolve("maps").toString());
    try (Child child = Child.talking(workspace, "mapmemory", Child.LOAD, cgroup, command)) {
      return child
              .finish()
              .lines()
              .filter(line -> line.endsWith(" total"))
              .mapToLong(line -> Long.parseLong(line.split(" ", 2)[0]))
              .sum()
          / (1024.0 * 1024);
    }
  }

  private static int processesIn(Path cgroup) throws MeasureException {
    try {
      return Files.readAllLines(cgroup.resolve("cgroup.procs")).size();
    } catch (IOException e) {
      throw new MeasureException("cannot read processes of " + cgroup + ": " + e.getMessage(), e);
    }
  }

  /** A cgroup as a plan names it: from the cgroup2 root. */
  private static String inMesh(Path cgroup) {
    return "/" + Places.cgroup2Mount().relativize(cgroup);
  }
}
