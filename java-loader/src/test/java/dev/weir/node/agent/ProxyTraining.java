// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.agent;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.GeneralSecurityException;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.spec.ECGenParameterSpec;
import java.time.Duration;
import java.time.Instant;
import java.util.Base64;
import java.util.Date;
import java.util.concurrent.TimeUnit;
import javax.security.auth.x500.X500Principal;
import org.bouncycastle.asn1.x509.Extension;
import org.bouncycastle.asn1.x509.GeneralName;
import org.bouncycastle.asn1.x509.GeneralNames;
import org.bouncycastle.cert.jcajce.JcaX509v3CertificateBuilder;
import org.bouncycastle.operator.OperatorCreationException;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;

/** Gives a {@link RealProxy} its AOT cache, as {@code make build} does. */
final class ProxyTraining {

  private static final Path DRIVER = Path.of("..", "scripts", "training", "TrainProxy.java");
  private static final Duration PATIENCE = Duration.ofMinutes(2);

  private ProxyTraining() {}

  /** A certificate that signs itself, and its key, both in PEM. */
  record Identity(String certificate, String key) {

    static Identity of(String name)
        throws GeneralSecurityException, IOException, OperatorCreationException {
      KeyPairGenerator generator = KeyPairGenerator.getInstance("EC");
      generator.initialize(new ECGenParameterSpec("secp256r1"));
      KeyPair pair = generator.generateKeyPair();
      X500Principal subject = new X500Principal("CN=" + name);
      Instant now = Instant.now();
      byte[] certificate =
          new JcaX509v3CertificateBuilder(
                  subject,
                  BigInteger.ONE,
                  Date.from(now.minus(Duration.ofHours(1))),
                  Date.from(now.plus(Duration.ofDays(1))),
                  subject,
                  pair.getPublic())
              .addExtension(
                  Extension.subjectAlternativeName,
                  false,
                  new GeneralNames(new GeneralName(GeneralName.dNSName, name)))
              .build(new JcaContentSignerBuilder("SHA256withECDSA").build(pair.getPrivate()))
              .getEncoded();
      return new Identity(
          pem("CERTIFICATE", certificate), pem("PRIVATE KEY", pair.getPrivate().getEncoded()));
    }

    private static String pem(String label, byte[] bytes) {
      return "-----BEGIN "
          + label
          + "-----\n"
          + Base64.getMimeEncoder(64, new byte[] {'\n'}).encodeToString(bytes)
          + "\n-----END "
          + label
          + "-----\n";
    }
  }

  /**
   * Makes the cache of a run with the plan, the connections and the requests that scripts/train has
   * for it.
   *
   * @param home what {@link RealProxy#home} has laid out
   * @param work a directory to be made
   */
  static void train(Path home, Path work) throws Exception {
    Files.createDirectory(work);
    Identity identity = Identity.of("training.example");
    Path certificate = Files.writeString(work.resolve("certificate.pem"), identity.certificate());
    Path key = Files.writeString(work.resolve("key.pem"), identity.key());
    Path socket = work.resolve("proxy.sock");
    Path cache = home.resolve("proxy.aot");
    Path log = work.resolve("log");
    ProcessBuilder proxy =
        logged(
            log,
            "@" + home.resolve("proxy.options"),
            "-XX:AOTCacheOutput=" + cache,
            "-Djava.library.path=" + home.resolve("lib/proxy"),
            "-cp",
            ProxyCommand.classPath(home.resolve("lib/proxy")),
            "dev.weir.proxy.ProxyMain",
            "--control",
            socket.toString());
    proxy.environment().put("MALLOC_ARENA_MAX", "1");
    // The cache is made by a JVM of its own, which needs more room than the proxy has.
    proxy.environment().put("JDK_AOT_VM_OPTIONS", "-Xmx512m");
    ProcessBuilder driver =
        logged(
            log,
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-cp",
            System.getProperty("java.class.path"),
            DRIVER.toString(),
            socket.toString(),
            certificate.toString(),
            key.toString());
    Process trained = proxy.start();
    try {
      Process training = driver.start();
      try {
        assertThat(ended(training)).as(() -> said(log)).isTrue();
        assertThat(training.exitValue()).as(() -> said(log)).isZero();
      } finally {
        training.destroyForcibly();
      }
      assertThat(ended(trained)).as(() -> said(log)).isTrue();
      assertThat(cache).as(() -> said(log)).exists();
      Files.setPosixFilePermissions(cache, PosixFilePermissions.fromString("rw-r--r--"));
    } finally {
      trained.destroyForcibly();
    }
  }

  private static ProcessBuilder logged(Path log, String... arguments) {
    ProcessBuilder builder = new ProcessBuilder(arguments);
    builder.command().addFirst(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    return builder
        .redirectErrorStream(true)
        .redirectOutput(ProcessBuilder.Redirect.appendTo(log.toFile()));
  }

  private static boolean ended(Process process) throws InterruptedException {
    return process.waitFor(PATIENCE.toSeconds(), TimeUnit.SECONDS);
  }

  private static String said(Path log) {
    try {
      return Files.readString(log, StandardCharsets.UTF_8);
    } catch (IOException e) {
      return String.valueOf(e.getMessage());
    }
  }
}
