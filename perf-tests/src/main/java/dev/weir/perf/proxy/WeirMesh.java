// SPDX-License-Identifier: Apache-2.0
package dev.weir.perf.proxy;

import dev.weir.node.kernel.Places;
import dev.weir.perf.Child;
import dev.weir.perf.ProcessTree;
import dev.weir.perf.Template;
import dev.weir.perf.Workspace;
import dev.weir.perf.measure.MeasureException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Weir as its users run it: {@code weir up} on a directory of policy files, with the agent, the
 * kernel's part, and the proxy the agent starts. Agent and proxy share the tested processor; what
 * is measured is the proxy's process.
 *
 * @param agent the agent
 * @param proxy the proxy
 * @param gateway where the Gateway's listener is
 * @param virtual where the governed client finds the service
 */
record WeirMesh(Child agent, ProcessTree proxy, String gateway, String virtual)
    implements AutoCloseable {

  private static final String VIRTUAL_ADDRESS = "10.97.0.10";

  /**
   * Starts it and waits for its listener.
   *
   * @param front what the one listener there is speaks: who serves no TLS carries none of it
   * @param root the cgroup that is governed; backends and governed clients live below it
   */
  static WeirMesh start(Workspace workspace, Path root, Backends backends, Front front)
      throws MeasureException, InterruptedException {
    int port = Workspace.freePort();
    Map<String, Object> places = new HashMap<>();
    places.put("cgroup", "/" + Places.cgroup2Mount().relativize(root));
    places.put("outbound", Workspace.freePort());
    places.put("metrics", Workspace.freePort());
    places.put("health", Workspace.freePort());
    places.put("first", backends.first());
    places.put("second", backends.second());
    places.put("virtual", VIRTUAL_ADDRESS);
    places.put("listeners", front.encrypted() ? https(port) : http(port));
    boolean mutual = front == Front.MUTUAL_TLS;
    places.put(
        "clients",
        mutual
            ? "tls: {frontend: {default: {validation: {caCertificateRefs:"
                + " [{group: '', kind: ConfigMap, name: clients}]}}}}"
            : "");
    places.put("authority", mutual ? backends.clients().configMap("shop", "clients") : "");
    places.put("secret", front.encrypted() ? backends.keyPair().secret("shop", "bench") : "");
    workspace.write("policy/mesh.yaml", Template.fill(WeirMesh.class, "mesh.yaml", places));
    Path run = workspace.files().resolve("run");
    Child agent =
        Child.silent(
            workspace,
            "weir-up",
            Child.TESTED,
            workspace.cgroup("weir"),
            workspace.weir(root),
            List.of(
                workspace.checkout().resolve("weir").toString(),
                "up",
                "--down-on-exit",
                workspace.files().resolve("policy").toString()));
    try {
      agent.listening(port);
      Path pid = run.resolve("proxy.pid");
      agent.made(pid);
      return new WeirMesh(
          agent,
          new ProcessTree("Weir's proxy", Long.parseLong(Files.readString(pid).split("\\s", 2)[0])),
          (front.encrypted() ? "https" : "http") + "://127.0.0.1:" + port + "/item",
          "http://" + VIRTUAL_ADDRESS + "/item");
    } catch (MeasureException e) {
      agent.close();
      throw e;
    } catch (IOException | NumberFormatException e) {
      agent.close();
      throw new MeasureException("cannot find Weir's proxy: " + e.getMessage(), e);
    }
  }

  /** A listener in mesh.yaml. */
  static String http(int port) {
    return "{name: http, protocol: HTTP, port: " + port + "}";
  }

  /** One that ends TLS. */
  static String https(int port) {
    return "{name: https, protocol: HTTPS, port: "
        + port
        + ", tls: {certificateRefs: [{name: bench}]}}";
  }

  @Override
  public void close() {
    agent.close();
  }
}
