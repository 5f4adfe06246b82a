// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.json.JsonObject;
import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.ProxyPlan.Listener;
import dev.weir.policy.plan.ProxyPlan.Tls;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.condition.EnabledIfSystemProperty;
import org.junit.jupiter.api.io.TempDir;

/**
 * What testssl.sh finds about an HTTPS listener. Its name is not one of those that every run of the
 * tests takes: {@code make test-tls} runs it, for minutes.
 */
@Timeout(1200)
@EnabledIfSystemProperty(
    named = "weir.testssl",
    matches = ".+",
    disabledReason = "takes minutes: make test-tls")
final class TlsScan {

  private static final Set<String> GRAVE = Set.of("MEDIUM", "HIGH", "CRITICAL", "FATAL");

  /**
   * About the certificate that this test makes for itself, not about the listener: nobody revokes
   * it, so it names no place to ask.
   */
  private static final Set<String> OF_THE_CERTIFICATE = Set.of("cert_revocation");

  @TempDir private Path directory;

  @Test
  void hasNoFindingOfSeverityMediumOrHigher() throws Exception {
    Authority authority = new Authority(directory, "Scan");
    authority.issue("cart", "dns:localhost");
    Path roots = Files.writeString(directory.resolve("ca.pem"), authority.pem());
    Path findings = directory.resolve("findings.json");
    int port = FreePorts.next();
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh(2, System::nanoTime)) {
      mesh.origin = Optional.empty();
      mesh.proxy.update(
          mesh.update(
              List.of(),
              List.of(
                  new Listener(
                      "shop/edge",
                      "https",
                      Optional.of(Address.LOOPBACK4),
                      port,
                      "",
                      Optional.of(new Tls(List.of(authority.keyPair("cart").name()))),
                      List.of(Mesh.route(Mesh.weighted(Mesh.any(), 1))))),
              List.of(authority.keyPair("cart")),
              List.of(),
              backend.port()));
      Process scan =
          new ProcessBuilder(
                  System.getProperty("weir.testssl"),
                  "--quiet",
                  "--color",
                  "0",
                  "--warnings",
                  "off",
                  // Offline: what the listener does, not what lists on the Internet know of a name.
                  "--nodns",
                  "none",
                  "--add-ca",
                  roots.toString(),
                  "--protocols",
                  "--fs",
                  "--server-preference",
                  "--server-defaults",
                  "--vulnerable",
                  "--std",
                  "--jsonfile",
                  findings.toString(),
                  "--ip",
                  "127.0.0.1",
                  "localhost:" + port)
              .redirectErrorStream(true)
              .redirectOutput(directory.resolve("scan.txt").toFile())
              .start();
      assertThat(scan.waitFor(15, TimeUnit.MINUTES)).isTrue();
    }
    System.out.println(Files.readString(directory.resolve("scan.txt")));
    assertThat(findings).exists();
    List<JsonObject> all = found(findings);
    // It has really looked: a scan that reached nobody finds nothing.
    assertThat(all).anyMatch(f -> f.text("id").equals("TLS1_3") && f.text("severity").equals("OK"));
    assertThat(all).anyMatch(f -> f.text("id").equals("heartbleed"));
    assertThat(
            all.stream()
                .filter(finding -> GRAVE.contains(finding.text("severity")))
                .filter(finding -> !OF_THE_CERTIFICATE.contains(finding.text("id")))
                .map(f -> f.text("severity") + " " + f.text("id") + ": " + f.text("finding")))
        .isEmpty();
  }

  private static List<JsonObject> found(Path file) throws IOException {
    return JsonObject.parse("{\"findings\":" + Files.readString(file) + "}", "findings")
        .objects("findings");
  }
}
