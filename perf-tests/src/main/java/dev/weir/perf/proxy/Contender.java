// SPDX-License-Identifier: Apache-2.0
package dev.weir.perf.proxy;

import dev.weir.perf.Child;
import dev.weir.perf.Template;
import dev.weir.perf.Workspace;
import dev.weir.perf.measure.MeasureException;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * One HTTP proxy under test. All of them do the same: one worker on one processor, keep-alive on
 * both sides, requests shared 99 to 1 between two backends, no access log.
 *
 * @param name for the table
 * @param process the proxy
 * @param url to fetch through it
 */
record Contender(String name, Child process, String url) implements AutoCloseable {

  static final String WEIR = "Weir";
  static final String NGINX = "nginx";

  @Override
  public void close() {
    process.close();
  }

  static Contender nginx(Workspace workspace, Path cgroup, Backends backends, boolean tls)
      throws MeasureException, InterruptedException {
    int port = Workspace.freePort();
    Path configuration =
        workspace.write(
            "nginx/nginx.conf",
            Template.fill(
                Contender.class, "nginx.conf", places(port, backends, tls ? " ssl" : "")));
    return start(workspace, cgroup, NGINX, port, tls, Backends.nginx(workspace, configuration));
  }

  static Contender haproxy(Workspace workspace, Path cgroup, Backends backends, boolean tls)
      throws MeasureException, InterruptedException {
    int port = Workspace.freePort();
    String ssl = tls ? " ssl crt " + backends.bundle() + " ssl-min-ver TLSv1.3" : "";
    Path configuration =
        workspace.write(
            "haproxy.cfg",
            Template.fill(Contender.class, "haproxy.cfg", places(port, backends, ssl)));
    return start(
        workspace,
        cgroup,
        "HAProxy",
        port,
        tls,
        List.of(workspace.peer("haproxy"), "-db", "-f", configuration.toString()));
  }

  static Contender envoy(Workspace workspace, Path cgroup, Backends backends, boolean tls)
      throws MeasureException, InterruptedException {
    int port = Workspace.freePort();
    Map<String, Object> places = places(port, backends, "");
    places.put("transport", tls ? Template.fill(Contender.class, "envoy-tls.yaml", places) : "");
    Path configuration =
        workspace.write("envoy.yaml", Template.fill(Contender.class, "envoy.yaml", places));
    return start(
        workspace,
        cgroup,
        "Envoy",
        port,
        tls,
        List.of(
            workspace.peer("envoy"),
            "-c",
            configuration.toString(),
            "--concurrency",
            "1",
            "--disable-hot-restart",
            "--log-level",
            "error"));
  }

  private static Map<String, Object> places(int port, Backends backends, String ssl) {
    Map<String, Object> places = new HashMap<>();
    places.put("port", port);
    places.put("first", backends.first());
    places.put("second", backends.second());
    places.put("certificate", backends.certificate());
    places.put("key", backends.key());
    places.put("ssl", ssl);
    return places;
  }

  private static Contender start(
      Workspace workspace, Path cgroup, String name, int port, boolean tls, List<String> command)
      throws MeasureException, InterruptedException {
    Child process = Child.silent(workspace, name, Child.TESTED, cgroup, Map.of(), command);
    try {
      process.listening(port);
    } catch (MeasureException e) {
      process.close();
      throw e;
    }
    return new Contender(
        name, process, (tls ? "https" : "http") + "://127.0.0.1:" + port + "/item");
  }
}
