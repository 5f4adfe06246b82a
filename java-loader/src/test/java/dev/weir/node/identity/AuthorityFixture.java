// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.identity;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.cert.CertificateException;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.Arrays;
import java.util.List;
import java.util.SortedSet;
import java.util.TreeSet;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Assumptions;

/** An authority in a directory of its own, with a clock that tests set. */
final class AuthorityFixture implements InstantSource {

  static final Instant START = Instant.parse("2026-11-21T12:00:00Z");
  static final String DOMAIN = "shop.example";
  static final SpiffeId WEB = new SpiffeId(DOMAIN, "shop", "web");
  static final SpiffeId DB = new SpiffeId(DOMAIN, "shop", "db");
  static final CertificateAuthority.Terms TERMS =
      new CertificateAuthority.Terms(CertificateAuthority.LEAF_LIFE, false, false);
  static final CertificateAuthority.Terms TRUSTING =
      new CertificateAuthority.Terms(CertificateAuthority.LEAF_LIFE, false, true);
  static final RootSource MADE = new RootSource.Made(CertificateAuthority.ROOT_LIFE);

  final Path state;
  final Path ca;
  final Path run;
  final IdentityDirectory identities;
  private Instant now = START;

  AuthorityFixture(Path directory) {
    this.state = directory.resolve("state");
    this.ca = state.resolve("ca");
    this.run = directory.resolve("run");
    this.identities = new IdentityDirectory(run, ownGroup());
  }

  /** So that the tests need no privileges. */
  private static int ownGroup() {
    try {
      return (Integer) Files.getAttribute(Path.of("/proc/self"), "unix:gid");
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  @Override
  public Instant instant() {
    return now;
  }

  void pass(Duration time) {
    now = now.plus(time);
  }

  CertificateAuthority authority() {
    return authority(new Disk());
  }

  CertificateAuthority authority(Disk disk) {
    return new CertificateAuthority(state, identities, this, disk);
  }

  AuthorityFixture init() {
    Listing _ = authority().init(DOMAIN, MADE);
    return this;
  }

  Issued issue(SpiffeId... ids) {
    return authority().issue(ids(ids), false, false, TERMS);
  }

  Listing rotate() {
    return rotate(Duration.ZERO, false);
  }

  Listing rotate(Duration after, boolean distrust) {
    return authority().rotate(MADE, rotation(after, distrust));
  }

  static CertificateAuthority.Rotation rotation(Duration after, boolean distrust) {
    return new CertificateAuthority.Rotation(
        after, Duration.ZERO, distrust, CertificateAuthority.LEAF_LIFE, false);
  }

  static SortedSet<SpiffeId> ids(SpiffeId... ids) {
    return new TreeSet<>(Arrays.asList(ids));
  }

  Path svid(SpiffeId id) {
    return identities.svid(id.namespace(), id.account());
  }

  X509Certificate leaf(SpiffeId id) {
    return chain(svid(id)).getFirst();
  }

  List<X509Certificate> bundle() {
    return chain(identities.bundle());
  }

  /** By the JDK alone, to have a second opinion of the files. */
  static List<X509Certificate> chain(Path file) {
    String text = text(file);
    int key = text.indexOf("-----BEGIN PRIVATE KEY-----");
    byte[] certificates =
        (key < 0 ? text : text.substring(0, key)).getBytes(StandardCharsets.US_ASCII);
    try {
      return CertificateFactory.getInstance("X.509")
          .generateCertificates(new ByteArrayInputStream(certificates))
          .stream()
          .map(X509Certificate.class::cast)
          .collect(Collectors.toList());
    } catch (CertificateException e) {
      throw new AssertionError(file + ": " + e, e);
    }
  }

  static String text(Path file) {
    try {
      return Files.readString(file, StandardCharsets.US_ASCII);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** What openssl says, which must succeed; skipped where it is not installed. */
  static String openssl(String... arguments) {
    Assumptions.assumeTrue(Files.isExecutable(Path.of("/usr/bin/openssl")), "openssl is missing");
    List<String> command = new java.util.ArrayList<>(List.of("/usr/bin/openssl"));
    command.addAll(Arrays.asList(arguments));
    try {
      Process process =
          new ProcessBuilder(command)
              .redirectErrorStream(true)
              .redirectInput(Path.of("/dev/null").toFile())
              .start();
      String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
      if (process.waitFor() != 0) {
        throw new AssertionError(String.join(" ", command) + ": " + said);
      }
      return said;
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new AssertionError(e);
    }
  }
}
