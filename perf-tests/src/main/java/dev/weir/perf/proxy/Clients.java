// SPDX-License-Identifier: Apache-2.0
package dev.weir.perf.proxy;

import dev.weir.perf.Workspace;
import dev.weir.perf.measure.MeasureException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * What clients show where they are asked for certificates (EC P-256).
 *
 * @param authority PEM file of who issued it
 * @param certificate PEM file
 * @param key PEM file, PKCS#8
 */
record Clients(Path authority, Path certificate, Path key) {

  /** New ones. */
  static Clients make(Workspace workspace) throws MeasureException, InterruptedException {
    Path configuration =
        workspace.write(
            "clients.cnf",
            """
            [req]
            distinguished_name = name
            [name]
            [authority]
            basicConstraints = critical, CA:TRUE
            keyUsage = critical, keyCertSign
            [client]
            basicConstraints = critical, CA:FALSE
            keyUsage = critical, digitalSignature
            extendedKeyUsage = clientAuth
            """);
    Path authority = workspace.files().resolve("clients-ca.crt");
    Path authorityKey = workspace.files().resolve("clients-ca.key");
    issue(configuration, "authority", authority, authorityKey, List.of());
    Path certificate = workspace.files().resolve("client.crt");
    Path key = workspace.files().resolve("client.key");
    issue(
        configuration,
        "client",
        certificate,
        key,
        List.of("-CA", authority.toString(), "-CAkey", authorityKey.toString()));
    return new Clients(authority, certificate, key);
  }

  private static void issue(
      Path configuration, String what, Path certificate, Path key, List<String> issuer)
      throws MeasureException, InterruptedException {
    List<String> command = new ArrayList<>();
    command.addAll(List.of("openssl", "req", "-x509", "-config", configuration.toString()));
    command.addAll(List.of("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"));
    command.addAll(List.of("-subj", "/CN=bench " + what, "-extensions", what, "-days", "7"));
    command.addAll(List.of("-keyout", key.toString(), "-out", certificate.toString()));
    command.addAll(issuer);
    try {
      Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
      String output = process.inputReader(StandardCharsets.UTF_8).readAllAsString();
      if (process.waitFor() != 0) {
        throw new MeasureException("openssl could not make a client's certificate: " + output);
      }
    } catch (IOException e) {
      throw new MeasureException("cannot run openssl: " + e.getMessage(), e);
    }
  }

  /** The authority, as a Gateway refers to it. */
  String configMap(String namespace, String name) throws MeasureException {
    try {
      return """
      ---
      apiVersion: v1
      kind: ConfigMap
      metadata: {name: %s, namespace: %s}
      data:
        ca.crt: |
      %s\
      """
          .formatted(name, namespace, Files.readString(authority).strip().indent(4));
    } catch (IOException e) {
      throw new MeasureException("cannot read " + authority + ": " + e.getMessage(), e);
    }
  }
}
