// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.agent;

import dev.weir.policy.plan.PlanFormatException;
import dev.weir.policy.plan.ProxyPlan;
import dev.weir.policy.plan.ProxyUpdate;
import dev.weir.policy.plan.ProxyUpdateCodec;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Clock;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import java.util.jar.JarEntry;
import java.util.jar.JarOutputStream;
import java.util.stream.Stream;

/**
 * Takes the proxy's side of the control socket in a process of its own, so that the agent can be
 * tested without the proxy's module: how it is started, told, watched, adopted, ended. It refuses
 * an update that has a route named {@code shop/refuse-me}.
 */
public final class StandInProxy {

  private StandInProxy() {}

  /** Serves until it is told to drain. */
  public static void serve(Path socket) throws IOException, InterruptedException {
    CountDownLatch drained = new CountDownLatch(1);
    AtomicLong generation = new AtomicLong();
    AtomicBoolean succeeded = new AtomicBoolean();
    if (!socket.endsWith("proxy.sock")) {
      // Where a successor would take listeners; there are none here.
      Files.createFile(socket.resolveSibling("successor-listeners.sock"));
    }
    Log log = new Log(System.err, false, false, Clock.systemUTC());
    try (ControlServer server =
        new ControlServer(
            socket,
            request ->
                switch (request.type()) {
                  case UPDATE -> new ControlServer.Reply(update(request, generation));
                  case STATUS ->
                      new ControlServer.Reply(
                          Frame.of(
                              FrameType.JSON,
                              "{\"generation\":"
                                  + generation
                                  + ",\"listeners\":[\"*:8080\",\"127.0.0.1:15001\"]"
                                  + ",\"connections\":3,\"pools\":[{\"endpoint\":"
                                  + "\"10.0.0.7:80\",\"open\":2,\"idle\":1}]}"));
                  case METRICS ->
                      new ControlServer.Reply(
                          Frame.of(FrameType.TEXT, "stand_in_generation " + generation + "\n"));
                  case HAND_OVER -> {
                    boolean there = Files.exists(Path.of(request.text()));
                    succeeded.set(there);
                    yield new ControlServer.Reply(
                        there
                            ? Frame.of(FrameType.OK)
                            : Frame.of(FrameType.ERROR, "nobody at " + request.text()));
                  }
                  case DRAIN -> new ControlServer.Reply(Frame.of(FrameType.OK), drained::countDown);
                  default -> new ControlServer.Reply(Frame.of(FrameType.ERROR, "what?"));
                },
            log)) {
      log.info("stand-in proxy at " + server.address());
      drained.await();
      if (succeeded.get()) {
        // Without removing the socket: it is another's now.
        Runtime.getRuntime().halt(0);
      }
    }
  }

  private static Frame update(Frame request, AtomicLong generation) {
    try {
      ProxyUpdate update = ProxyUpdateCodec.decode(request.payload());
      boolean refuse =
          update.plan().proxy().virtualServices().stream()
              .flatMap(ProxyPlan.VirtualService::everyRoute)
              .anyMatch(route -> route.name().equals("shop/refuse-me"));
      if (refuse) {
        return Frame.of(FrameType.ERROR, "refused for the test");
      }
      generation.set(update.generation());
      return Frame.of(FrameType.OK);
    } catch (PlanFormatException e) {
      return Frame.of(FrameType.ERROR, String.valueOf(e.getMessage()));
    }
  }

  /** Lays out what {@code make build} would, with this for a proxy. */
  static Path home(Path directory) throws IOException {
    Path library = Files.createDirectories(directory.resolve("lib/proxy"));
    try (JarOutputStream jar =
        new JarOutputStream(Files.newOutputStream(library.resolve("stand-in.jar")))) {
      for (String entry : System.getProperty("java.class.path").split(":", -1)) {
        Path root = Path.of(entry);
        if (Files.isDirectory(root) && !RealProxy.isIn(root)) {
          add(jar, root);
        } else if (entry.endsWith(".jar") && entry.contains("policy-compiler")) {
          Files.copy(root, library.resolve(root.getFileName()));
        }
      }
    }
    return directory;
  }

  private static void add(JarOutputStream jar, Path root) throws IOException {
    try (Stream<Path> files = Files.walk(root)) {
      for (Path file : files.filter(path -> path.toString().endsWith(".class")).toList()) {
        String name = root.relativize(file).toString();
        if (name.startsWith("dev/weir/policy")
            || name.startsWith("dev/weir/node/agent")
            || name.startsWith("dev/weir/proxy")) {
          jar.putNextEntry(new JarEntry(name));
          Files.copy(file, jar);
          jar.closeEntry();
        }
      }
    }
  }
}
