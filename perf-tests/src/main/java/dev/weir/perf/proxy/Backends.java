// SPDX-License-Identifier: Apache-2.0
package dev.weir.perf.proxy;

import dev.weir.perf.Child;
import dev.weir.perf.Template;
import dev.weir.perf.Workspace;
import dev.weir.perf.measure.MeasureException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;

/**
 * What all proxies lead to: one nginx that answers 1 KB on two ports, and a certificate for those
 * that end TLS (EC P-256).
 *
 * @param process the nginx
 * @param first port of the version that gets 99 of 100 requests
 * @param second port of the other one
 * @param certificate PEM file
 * @param key PEM file, PKCS#8
 * @param bundle PEM file with both, as HAProxy wants it
 */
record Backends(Child process, int first, int second, Path certificate, Path key, Path bundle)
    implements AutoCloseable {

  /** Bytes of each answer's body. */
  static final int BODY = 1024;

  static Backends start(Workspace workspace, Path cgroup)
      throws MeasureException, InterruptedException {
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
    Path configuration =
        workspace.write(
            "backend/nginx.conf",
            Template.fill(
                Backends.class,
                "backend.conf",
                Map.of("first", first, "second", second, "body", "b".repeat(BODY))));
    Child process =
        Child.silent(
            workspace, "backend", Child.LOAD, cgroup, Map.of(), nginx(workspace, configuration));
    try {
      process.listening(first).listening(second);
    } catch (MeasureException e) {
      process.close();
      throw e;
    }
    return new Backends(process, first, second, certificate, key, bundle);
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
    process.close();
  }
}
