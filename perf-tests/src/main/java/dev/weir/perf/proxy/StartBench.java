// SPDX-License-Identifier: Apache-2.0
package dev.weir.perf.proxy;

import dev.weir.perf.Bench.Context;
import dev.weir.perf.Benchmark;
import dev.weir.perf.Child;
import dev.weir.perf.Template;
import dev.weir.perf.Workspace;
import dev.weir.perf.measure.Figure;
import dev.weir.perf.measure.MeasureException;
import dev.weir.perf.measure.Report;
import dev.weir.perf.measure.Samples;
import dev.weir.perf.measure.Section;
import dev.weir.policy.Compilation;
import dev.weir.policy.PolicyCompiler;
import dev.weir.policy.plan.PlanCodec;
import dev.weir.policy.plan.ProxyUpdate;
import dev.weir.policy.plan.ProxyUpdateCodec;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.Channels;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/** How long the proxy takes from its start until it accepts connections. */
public final class StartBench implements Benchmark {

  private static final double AIM_MILLIS = 500;
  private static final long PATIENCE_NANOS = 20_000_000_000L;

  /** Frame types of the proxy's control socket (docs/protocols.md). */
  private static final int UPDATE = 1;

  private static final int OK = 128;

  /** The command line finds it by this. */
  public StartBench() {}

  @Override
  public String id() {
    return "start";
  }

  @Override
  public String about() {
    return "from the start of the proxy's process until it takes a plan, and accepts";
  }

  /** Milliseconds since the start of the process. */
  private record Times(double serving, double accepting) {}

  @Override
  public Section run(Context context) throws MeasureException, InterruptedException {
    Workspace workspace = context.workspace();
    int port = Workspace.freePort();
    int tls = Workspace.freePort();
    byte[] update = update(workspace, port, tls);
    int rounds = context.rounds(3, 15);
    List<Times> cached = new ArrayList<>();
    List<Times> bare = new ArrayList<>();
    for (int round = -1; round < rounds; round++) {
      Times with = start(workspace, true, port, tls, update);
      Times without = start(workspace, false, port, tls, update);
      if (round >= 0) {
        cached.add(with);
        bare.add(without);
      }
    }
    List<List<String>> rows = new ArrayList<>();
    rows.add(row("as shipped, with its AOT cache", cached));
    rows.add(row("without the cache", bare));
    Samples accepting = Samples.of(cached.stream().mapToDouble(Times::accepting));
    return new Section(
        id(),
        "Start of the proxy",
        ("From the start of the proxy's process, with what `make build` lays out, until its control"
                + " socket answers, and until it accepts at the listeners of its first plan: %d"
                + " interleaved starts, any processor.")
            .formatted(rounds),
        List.of("how", "control socket", "accepting", "fastest", "slowest"),
        rows,
        List.of(
            Figure.of(
                "start.accepting",
                "Weir's proxy, from exec to accepting",
                accepting,
                "ms",
                AIM_MILLIS)),
        List.of());
  }

  private static List<String> row(String how, List<Times> times) {
    Samples accepting = Samples.of(times.stream().mapToDouble(Times::accepting));
    return List.of(
        how,
        Report.number(Samples.of(times.stream().mapToDouble(Times::serving)).median(), "ms"),
        Report.number(accepting.median(), "ms"),
        Report.number(accepting.quantile(0), "ms"),
        Report.number(accepting.quantile(1), "ms"));
  }

  private static byte[] update(Workspace workspace, int port, int tls)
      throws MeasureException, InterruptedException {
    Map<String, Object> places = new HashMap<>();
    places.put("cgroup", "/weir-bench-start");
    places.put("outbound", Workspace.freePort());
    places.put("metrics", Workspace.freePort());
    places.put("health", Workspace.freePort());
    places.put("first", Workspace.freePort());
    places.put("second", Workspace.freePort());
    places.put("virtual", "10.97.0.10");
    places.put("listeners", WeirMesh.http(port) + ", " + WeirMesh.https(tls));
    places.put("clients", "");
    places.put("authority", "");
    places.put("secret", KeyPair.make(workspace).secret("shop", "bench"));
    Path file =
        workspace.write("start/mesh.yaml", Template.fill(StartBench.class, "mesh.yaml", places));
    return switch (PolicyCompiler.compileDirectory(file.resolveSibling(""))) {
      case Compilation.Compiled compiled -> {
        // No kernel is asked here, so the numbers are our own: any that are not reserved.
        List<Integer> numbers =
            IntStream.range(0, compiled.plan().workloads().size())
                .map(i -> i < 5 ? i : i + 16)
                .boxed()
                .toList();
        yield ProxyUpdateCodec.encode(
            new ProxyUpdate(1, PlanCodec.forProxy(compiled.plan()), numbers, compiled.keyPairs()));
      }
      case Compilation.Refused refused ->
          throw new MeasureException("the plan is refused: " + refused.errors());
    };
  }

  private static Times start(Workspace workspace, boolean cache, int port, int tls, byte[] update)
      throws MeasureException, InterruptedException {
    Path dist = workspace.checkout().resolve("target/dist");
    Path socket = workspace.files().resolve("start.sock");
    List<String> command = new ArrayList<>();
    command.add(workspace.jdk().resolve("bin/java").toString());
    command.add("@" + dist.resolve("proxy.options"));
    if (cache) {
      if (!Files.exists(dist.resolve("proxy.aot"))) {
        throw new MeasureException("there is no " + dist + "/proxy.aot; run: make build");
      }
      command.add("-XX:AOTCache=" + dist.resolve("proxy.aot"));
    }
    Path library = dist.resolve("lib/proxy");
    command.add("-Djava.library.path=" + library);
    command.addAll(List.of("-cp", jars(library), "dev.weir.proxy.ProxyMain"));
    command.addAll(List.of("--control", socket.toString()));
    long began = System.nanoTime();
    try (Child _ =
            Child.silent(
                workspace,
                "start",
                Child.ANY,
                workspace.cgroup("tested"),
                Map.of("MALLOC_ARENA_MAX", "1"),
                command);
        SocketChannel control = connected(UnixDomainSocketAddress.of(socket), began)) {
      double serving = (System.nanoTime() - began) / 1e6;
      call(control, update);
      InetAddress loopback = InetAddress.getLoopbackAddress();
      connected(new InetSocketAddress(loopback, port), began).close();
      connected(new InetSocketAddress(loopback, tls), began).close();
      return new Times(serving, (System.nanoTime() - began) / 1e6);
    } catch (IOException e) {
      throw new MeasureException("the proxy does not start: " + e.getMessage(), e);
    } finally {
      delete(socket);
    }
  }

  private static void delete(Path socket) throws MeasureException {
    try {
      Files.deleteIfExists(socket);
    } catch (IOException e) {
      throw new MeasureException("cannot remove " + socket + ": " + e.getMessage(), e);
    }
  }

  private static String jars(Path library) throws MeasureException {
    try (Stream<Path> files = Files.list(library)) {
      return files
          .map(Path::toString)
          .filter(name -> name.endsWith(".jar"))
          .sorted()
          .collect(Collectors.joining(":"));
    } catch (IOException | UncheckedIOException e) {
      throw new MeasureException("cannot read " + library + "; run: make build", e);
    }
  }

  private static SocketChannel connected(SocketAddress to, long began)
      throws IOException, InterruptedException {
    while (true) {
      SocketChannel channel =
          to instanceof UnixDomainSocketAddress
              ? SocketChannel.open(StandardProtocolFamily.UNIX)
              : SocketChannel.open();
      try {
        channel.connect(to);
        return channel;
      } catch (IOException e) {
        channel.close();
        if (System.nanoTime() - began > PATIENCE_NANOS) {
          throw e;
        }
        Thread.sleep(1);
      }
    }
  }

  private static void call(SocketChannel control, byte[] payload) throws IOException {
    DataOutputStream out = new DataOutputStream(Channels.newOutputStream(control));
    out.writeInt(payload.length + 1);
    out.write(UPDATE);
    out.write(payload);
    out.flush();
    DataInputStream in = new DataInputStream(Channels.newInputStream(control));
    byte[] reply = new byte[in.readInt()];
    in.readFully(reply);
    if ((reply[0] & 0xff) != OK) {
      throw new IOException("it refused the plan");
    }
  }
}
