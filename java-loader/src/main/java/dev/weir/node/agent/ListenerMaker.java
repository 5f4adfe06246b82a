// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.agent;

import dev.weir.node.bpf.BpfException;
import dev.weir.node.bpf.Errno;
import dev.weir.node.bpf.LoopbackListener;
import dev.weir.node.bpf.SystemCalls;
import java.io.File;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.List;

/**
 * A process that opens the proxy's port on loopback of other network namespaces, passes what it
 * opened to the proxy, and ends.
 *
 * <p>A process of its own, because a socket is known by the cgroup it is made in: what the proxy
 * shall accept must be made in the proxy's, and there the agent is not; and the proxy, which is,
 * has no privilege to enter a namespace.
 */
public final class ListenerMaker {

  /** Enters the proxy's cgroup before any socket is made. */
  private static final String SCRIPT = "echo 0 >\"$1\" || exit 1; shift; exec \"$@\"";

  private ListenerMaker() {}

  /**
   * Starts one.
   *
   * @param java the {@code java} program
   * @param cgroup the proxy's
   * @param socket where the proxy takes listeners
   * @param port the proxy's
   * @param namespaces such as {@code /proc/PID/ns/net}
   */
  public static Process start(
      Path java, Path cgroup, Path socket, int port, Collection<Path> namespaces)
      throws IOException {
    List<String> command = new ArrayList<>(List.of("/bin/sh", "-c", SCRIPT, "weir-listeners"));
    command.add(cgroup.resolve("cgroup.procs").toString());
    command.addAll(
        List.of(
            java.toString(),
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-Xmx32m",
            "--enable-native-access=ALL-UNNAMED",
            "-cp",
            System.getProperty("java.class.path"),
            ListenerMaker.class.getName(),
            socket.toString(),
            Integer.toString(port)));
    namespaces.forEach(path -> command.add(path.toString()));
    ProcessBuilder builder = new ProcessBuilder(command);
    builder.redirectInput(new File("/dev/null"));
    builder.redirectOutput(ProcessBuilder.Redirect.INHERIT);
    builder.redirectError(ProcessBuilder.Redirect.INHERIT);
    return builder.start();
  }

  /**
   * Opens and passes. Exit status: the number of namespaces in which there is no listener.
   *
   * @param arguments the proxy's socket, the port, and the namespaces
   */
  public static void main(String[] arguments) {
    Path socket = Path.of(arguments[0]);
    int port = Integer.parseInt(arguments[1]);
    long failed =
        Arrays.stream(arguments)
            .skip(2)
            .filter(namespace -> !make(socket, port, Path.of(namespace)))
            .count();
    System.exit((int) Math.min(failed, 100));
  }

  private static boolean make(Path socket, int port, Path namespace) {
    try {
      return SystemCalls.in(namespace, () -> pass(socket, port));
    } catch (BpfException e) {
      System.err.println(
          "weir: the proxy cannot listen in network namespace "
              + namespace
              + ", so what leads to it from there is refused: "
              + e.getMessage());
      return false;
    }
  }

  private static boolean pass(Path socket, int port) {
    try (LoopbackListener four = LoopbackListener.open(false, port)) {
      four.passTo(socket);
    }
    try (LoopbackListener six = LoopbackListener.open(true, port)) {
      six.passTo(socket);
    } catch (BpfException e) {
      if (e.errno() != Errno.EADDRNOTAVAIL && e.errno() != Errno.EAFNOSUPPORT) {
        throw e;
      }
    }
    return true;
  }
}
