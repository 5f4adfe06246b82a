// SPDX-License-Identifier: Apache-2.0
package dev.weir.perf.proxy;

import dev.weir.perf.Workspace;
import dev.weir.perf.measure.MeasureException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Base64;
import java.util.List;

/**
 * A certificate for 127.0.0.1 and its key (EC P-256), as each proxy wants them.
 *
 * @param certificate PEM file
 * @param key PEM file, PKCS#8
 * @param bundle PEM file with both
 */
public record KeyPair(Path certificate, Path key, Path bundle) {

  /** A new one. */
  public static KeyPair make(Workspace workspace) throws MeasureException, InterruptedException {
    Path certificate = workspace.files().resolve("server.crt");
    Path key = workspace.files().resolve("server.key");
    List<String> command =
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
            certificate.toString());
    try {
      Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
      String output = process.inputReader(StandardCharsets.UTF_8).readAllAsString();
      if (process.waitFor() != 0) {
        throw new MeasureException("openssl could not make a certificate: " + output);
      }
    } catch (IOException e) {
      throw new MeasureException("cannot run openssl: " + e.getMessage(), e);
    }
    return new KeyPair(
        certificate, key, workspace.write("server.pem", text(certificate) + text(key)));
  }

  /** As a Secret of Kubernetes. */
  public String secret(String namespace, String name) throws MeasureException {
    return """
    ---
    apiVersion: v1
    kind: Secret
    metadata: {name: %s, namespace: %s}
    type: kubernetes.io/tls
    data:
      tls.crt: %s
      tls.key: %s
    """
        .formatted(name, namespace, base64(certificate), base64(key));
  }

  private static String base64(Path file) throws MeasureException {
    return Base64.getEncoder().encodeToString(text(file).getBytes(StandardCharsets.UTF_8));
  }

  private static String text(Path file) throws MeasureException {
    try {
      return Files.readString(file);
    } catch (IOException e) {
      throw new MeasureException("cannot read " + file + ": " + e.getMessage(), e);
    }
  }
}
