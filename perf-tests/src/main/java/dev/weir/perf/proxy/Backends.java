// SPDX-License-Identifier: Apache-2.0
package dev.weir.perf.proxy;

import dev.weir.perf.Child;
import dev.weir.perf.Template;
import dev.weir.perf.Workspace;
import dev.weir.perf.measure.MeasureException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * What all proxies lead to: two nginx that answer 1 KB, and a certificate for those that end TLS
 * (EC P-256). They live in the cgroups of Weir's {@code cart-v1} and {@code cart-v2}.
 *
 * @param processes the two
 * @param first port of the version that gets 99 of 100 requests
 * @param second port of the other one
 * @param certificate PEM file
 * @param key PEM file, PKCS#8
 * @param bundle PEM file with both, as HAProxy wants it
 */
record Backends(
    List<Child> processes, int first, int second, Path certificate, Path key, Path bundle)
    implements AutoCloseable {

  /** Bytes of each answer's body. */
  static final int BODY = 1024;

  /** Starts them. */
  static Backends start(Workspace workspace) throws MeasureException, InterruptedException {
    int first = Workspace.freePort();
    int second = Workspace.freePort();
    Path certificate = workspace.files().resolve("server.crt");
    Path key = workspace.files().resolve("server.key");
    run(
        List.of(
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-subj",
            "/CN=bench",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-days",
            "7",
            "-keyout",
            key.toString(),
            "-out",
            certificate.toString()));
    Path bundle = workspace.write("server.pem", text(certificate) + text(key));
    List<Child> processes = new ArrayList<>();
    Backends backends = new Backends(processes, first, second, certificate, key, bundle);
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
    Map<String, Object> places = Map.of("port", port, "version", version, "body", "b".repeat(BODY));
    Path configuration =
        workspace.write(
            "backend-" + version + "/nginx.conf",
            Template.fill(Backends.class, "backend.conf", places));
    Path cgroup = workspace.cgroup("mesh/cart-" + version);
    Child child =
        Child.silent(
            workspace,
            "backend-" + version,
            Child.LOAD,
            cgroup,
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

  private static String text(Path file) throws MeasureException {
    try {
      return Files.readString(file);
    } catch (IOException e) {
      throw new MeasureException("cannot read " + file + ": " + e.getMessage(), e);
    }
  }

  private static void run(List<String> command) throws MeasureException, InterruptedException {
    try {
      Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
      String output = process.inputReader().readAllAsString();
      if (process.waitFor() != 0) {
        throw new MeasureException(String.join(" ", command) + " failed: " + output);
      }
    } catch (IOException e) {
      throw new MeasureException("cannot run " + command.getFirst() + ": " + e.getMessage(), e);
    }
  }

  @Override
  public void close() {
    processes.forEach(Child::close);
  }
}
