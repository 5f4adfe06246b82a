// SPDX-License-Identifier: Apache-2.0
package dev.weir.perf.proxy;

import dev.weir.perf.Child;
import dev.weir.perf.ProcessTree;
import dev.weir.perf.Template;
import dev.weir.perf.Workspace;
import dev.weir.perf.measure.MeasureException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * One HTTP proxy under test. All of them do the same: one worker on one processor, keep-alive on
 * both sides, requests shared 99 to 1 between two backends, no access log.
 *
 * @param name for the table
 * @param owner what is ended with it
 * @param process the proxy
 * @param url to fetch through it
 * @param client cgroup of the load generator
 */
record Contender(String name, Child owner, ProcessTree process, String url, Path client)
    implements AutoCloseable {

  static final String WEIR = "Weir";
  static final String REDIRECTED = "Weir, led there by the kernel";
  static final String NGINX = "nginx";
  static final String ENVOY = "Envoy";

  @Override
  public void close() {
    owner.close();
  }

  /**
   * Fetches once and looks at the answer: what is fast may also be wrong.
   *
   * @throws MeasureException if the answer is not the backend's
   */
  void check(Workspace workspace, Front front, Backends backends)
      throws MeasureException, InterruptedException {
    String version = front == Front.HTTP_2 ? "--http2-prior-knowledge" : "--http1.1";
    List<String> command = new ArrayList<>();
    command.addAll(List.of("curl", "-sSki", version, "--max-time", "10"));
    if (front == Front.MUTUAL_TLS) {
      command.addAll(List.of("--cert", backends.clients().certificate().toString()));
      command.addAll(List.of("--key", backends.clients().key().toString()));
    }
    command.add(url);
    try (Child curl = Child.talking(workspace, "curl", Child.LOAD, client, command)) {
      String answer = curl.finish();
      if (!answer.startsWith(front == Front.HTTP_2 ? "HTTP/2 200" : "HTTP/1.1 200")
          || !answer.contains("x-version: v")
          || !answer.endsWith("\r\n\r\n" + "b".repeat(Backends.BODY))) {
        throw new MeasureException(name + " answers " + url + " with:\n" + answer);
      }
    }
  }

  static Contender nginx(Workspace workspace, Path cgroup, Backends backends, Front front)
      throws MeasureException, InterruptedException {
    int port = Workspace.freePort();
    Map<String, Object> places = places(port, backends, nginx(front));
    places.put(
        "clients",
        front == Front.MUTUAL_TLS
            ? "ssl_client_certificate %s; ssl_verify_client on;"
                .formatted(backends.clients().authority())
            : "");
    Path configuration =
        workspace.write("nginx/nginx.conf", Template.fill(Contender.class, "nginx.conf", places));
    return start(workspace, cgroup, NGINX, port, front, Backends.nginx(workspace, configuration));
  }

  private static String nginx(Front front) {
    return switch (front) {
      case PLAIN -> "";
      case TLS, MUTUAL_TLS -> " ssl";
      case HTTP_2 -> " http2";
    };
  }

  static Contender haproxy(Workspace workspace, Path cgroup, Backends backends, Front front)
      throws MeasureException, InterruptedException {
    int port = Workspace.freePort();
    String bind =
        switch (front) {
          case PLAIN -> "";
          case TLS -> " ssl crt " + backends.keyPair().bundle() + " ssl-min-ver TLSv1.3";
          case MUTUAL_TLS ->
              " ssl crt %s ssl-min-ver TLSv1.3 ca-file %s verify required"
                  .formatted(backends.keyPair().bundle(), backends.clients().authority());
          case HTTP_2 -> " proto h2";
        };
    Path configuration =
        workspace.write(
            "haproxy.cfg",
            Template.fill(Contender.class, "haproxy.cfg", places(port, backends, bind)));
    return start(
        workspace,
        cgroup,
        "HAProxy",
        port,
        front,
        List.of(workspace.peer("haproxy"), "-db", "-f", configuration.toString()));
  }

  static Contender envoy(Workspace workspace, Path cgroup, Backends backends, Front front)
      throws MeasureException, InterruptedException {
    int port = Workspace.freePort();
    Map<String, Object> places = places(port, backends, "");
    boolean mutual = front == Front.MUTUAL_TLS;
    places.put("required", mutual);
    places.put(
        "validation",
        mutual
            ? "validation_context: {trusted_ca: {filename: %s}}"
                .formatted(backends.clients().authority())
            : "");
    places.put(
        "transport",
        front.encrypted() ? Template.fill(Contender.class, "envoy-tls.yaml", places) : "");
    Path configuration =
        workspace.write("envoy.yaml", Template.fill(Contender.class, "envoy.yaml", places));
    return start(
        workspace,
        cgroup,
        ENVOY,
        port,
        front,
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

  /** Weir's proxy by its Gateway's listener, from a client that nobody governs. */
  static Contender weir(Workspace workspace, WeirMesh mesh) throws MeasureException {
    return new Contender(
        WEIR, mesh.agent(), mesh.proxy(), mesh.gateway(), workspace.cgroup("load"));
  }

  /** The same process, from a governed client that knows only the service's virtual address. */
  static Contender redirected(Workspace workspace, WeirMesh mesh) throws MeasureException {
    return new Contender(
        REDIRECTED, mesh.agent(), mesh.proxy(), mesh.virtual(), workspace.cgroup("mesh/web"));
  }

  private static Map<String, Object> places(int port, Backends backends, String ssl) {
    Map<String, Object> places = new HashMap<>();
    places.put("port", port);
    places.put("first", backends.first());
    places.put("second", backends.second());
    places.put("certificate", backends.keyPair().certificate());
    places.put("key", backends.keyPair().key());
    places.put("ssl", ssl);
    return places;
  }

  private static Contender start(
      Workspace workspace, Path cgroup, String name, int port, Front front, List<String> command)
      throws MeasureException, InterruptedException {
    Child process = Child.silent(workspace, name, Child.TESTED, cgroup, Map.of(), command);
    try {
      process.listening(port);
    } catch (MeasureException e) {
      process.close();
      throw e;
    }
    return new Contender(
        name,
        process,
        process.tree(),
        (front.encrypted() ? "https" : "http") + "://127.0.0.1:" + port + "/item",
        workspace.cgroup("load"));
  }
}
