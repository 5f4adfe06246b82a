// SPDX-License-Identifier: Apache-2.0
package dev.weir.perf.proxy;

import dev.weir.perf.Child;
import dev.weir.perf.Template;
import dev.weir.perf.Workspace;
import dev.weir.perf.measure.MeasureException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * What all proxies lead to: two nginx that answer 1 KB. They live in the cgroups of Weir's {@code
 * cart-v1} and {@code cart-v2}.
 *
 * @param processes the two
 * @param first port of the version that gets 99 of 100 requests
 * @param second port of the other one
 * @param keyPair for those that end TLS
 * @param clients for those that ask clients for certificates
 */
record Backends(List<Child> processes, int first, int second, KeyPair keyPair, Clients clients)
    implements AutoCloseable {

  /** Bytes of each answer's body. */
  static final int BODY = 1024;

  /** Bytes of an answer to {@code /large}, and of what {@code /upload} is sent. */
  static final int LARGE = 1 << 20;

  /** Starts them. */
  static Backends start(Workspace workspace) throws MeasureException, InterruptedException {
    int first = Workspace.freePort();
    int second = Workspace.freePort();
    List<Child> processes = new ArrayList<>();
    Backends backends =
        new Backends(processes, first, second, KeyPair.make(workspace), Clients.make(workspace));
    try {
      processes.add(backend(workspace, "v1", first));
      processes.add(backend(workspace, "v2", second));
      return backends;
    } catch (MeasureException e) {
      backends.close();
      throw e;
    }
  }

  private static Child backend(Workspace workspace, String version, int port)
      throws MeasureException, InterruptedException {
    Path directory = workspace.write("backend-" + version + "/files/large", "l".repeat(LARGE));
    Map<String, Object> places =
        Map.of(
            "port",
            port,
            "version",
            version,
            "body",
            "b".repeat(BODY),
            "files",
            directory.resolveSibling(""));
    Path configuration =
        workspace.write(
            "backend-" + version + "/nginx.conf",
            Template.fill(Backends.class, "backend.conf", places));
    Child child =
        Child.silent(
            workspace,
            "backend-" + version,
            Child.LOAD,
            workspace.cgroup("mesh/cart-" + version),
            Map.of(),
            nginx(workspace, configuration));
    try {
      return child.listening(port);
    } catch (MeasureException e) {
      child.close();
      throw e;
    }
  }

  /** The command that runs nginx with a configuration; it keeps its files beside that. */
  static List<String> nginx(Workspace workspace, Path configuration) {
    return List.of(
        workspace.peer("nginx"),
        "-p",
        configuration.resolveSibling("") + "/",
        "-e",
        "stderr",
        "-c",
        configuration.toString());
  }

  @Override
  public void close() {
    processes.forEach(Child::close);
  }
}
