// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.identity;

import static dev.weir.node.identity.AuthorityFixture.DB;
import static dev.weir.node.identity.AuthorityFixture.DOMAIN;
import static dev.weir.node.identity.AuthorityFixture.MADE;
import static dev.weir.node.identity.AuthorityFixture.START;
import static dev.weir.node.identity.AuthorityFixture.TERMS;
import static dev.weir.node.identity.AuthorityFixture.TRUSTING;
import static dev.weir.node.identity.AuthorityFixture.WEB;
import static dev.weir.node.identity.AuthorityFixture.chain;
import static dev.weir.node.identity.AuthorityFixture.ids;
import static dev.weir.node.identity.AuthorityFixture.openssl;
import static dev.weir.node.identity.AuthorityFixture.text;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.weir.node.kernel.NodeException;
import dev.weir.policy.identity.SvidRules;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class CertificateAuthorityTest {

  @TempDir private Path directory;

  private AuthorityFixture mesh = new AuthorityFixture(Path.of("/nowhere"));

  @BeforeEach
  void make() {
    mesh = new AuthorityFixture(directory);
  }

  private static String mode(Path path) throws IOException {
    return PosixFilePermissions.toString(Files.getPosixFilePermissions(path));
  }

  private List<String> rootFiles() throws IOException {
    try (Stream<Path> files = Files.list(mesh.ca)) {
      return files
          .map(file -> String.valueOf(file.getFileName()))
          .filter(name -> name.startsWith("root-"))
          .toList();
    }
  }

  private IdentityState state(SpiffeId id) {
    return mesh.authority().list().identities().stream()
        .filter(identity -> identity.id().equals(id.uri()))
        .findFirst()
        .orElseThrow()
        .state();
  }

  private List<Issued.Result> results(Issued issued) {
    return issued.identities().stream().map(Issued.Identity::result).toList();
  }

  // ---- init

  @Test
  void whatIsMadeIsItsOwnersAlone() throws IOException {
    mesh.init();
    assertThat(mode(mesh.state)).isEqualTo("rwx------");
    assertThat(mode(mesh.ca)).isEqualTo("rwx------");
    try (Stream<Path> files = Files.list(mesh.ca)) {
      for (Path file : files.toList()) {
        assertThat(mode(file)).as(file.toString()).isEqualTo("rw-------");
      }
    }
  }

  @Test
  void aRootSignsLeavesAndSaysWhoseItIs() throws Exception {
    mesh.init();
    X509Certificate root = chain(mesh.ca.resolve(rootFiles().getFirst())).getFirst();
    assertThat(root.getBasicConstraints()).isZero();
    assertThat(root.getKeyUsage())
        .containsExactly(false, false, false, false, false, true, true, false, false);
    assertThat(root.getCriticalExtensionOIDs()).contains("2.5.29.15", "2.5.29.19");
    assertThat(SvidRules.uris(root)).containsExactly("spiffe://shop.example");
    assertThat(root.getPublicKey().getAlgorithm()).isEqualTo("EC");
    assertThat(root.getNotAfter().toInstant())
        .isEqualTo(START.plus(CertificateAuthority.ROOT_LIFE));
    root.verify(root.getPublicKey());
  }

  @Test
  void anAuthorityIsNotOverwritten() throws IOException {
    mesh.init();
    List<String> before = rootFiles();
    assertThatThrownBy(mesh::init)
        .isInstanceOf(NodeException.class)
        .hasMessageContaining("already")
        .hasMessageContaining("weir ca rotate");
    assertThat(rootFiles()).isEqualTo(before);
  }

  @Test
  void withoutAnAuthorityEveryOtherCommandSaysHowToMakeOne() {
    assertThatThrownBy(() -> mesh.issue(WEB)).hasMessageContaining("weir ca init");
    assertThatThrownBy(() -> mesh.rotate()).hasMessageContaining("weir ca init");
    assertThatThrownBy(() -> mesh.authority().list()).hasMessageContaining("weir ca init");
  }

  @Test
  void aDirectoryThatOthersCanReadIsRefused() throws IOException {
    mesh.init();
    Files.setPosixFilePermissions(mesh.ca, PosixFilePermissions.fromString("rwxr-x---"));
    assertThatThrownBy(() -> mesh.issue(WEB))
        .hasMessageContaining("open to others")
        .hasMessageContaining("--distrust");
  }

  @Test
  void aKeyFileThatOthersCanReadIsRefused() throws IOException {
    mesh.init();
    Files.setPosixFilePermissions(
        mesh.ca.resolve(rootFiles().getFirst()), PosixFilePermissions.fromString("rw-r--r--"));
    assertThatThrownBy(() -> mesh.issue(WEB)).hasMessageContaining("open to others");
  }

  // ---- issue

  @Test
  void aLeafHasWhatTheStandardAsksAndNothingElse() throws Exception {
    mesh.init().issue(WEB);
    X509Certificate leaf = mesh.leaf(WEB);
    assertThat(leaf.getSubjectX500Principal().getName()).isEmpty();
    assertThat(leaf.getSubjectAlternativeNames())
        .containsExactly(List.of(6, "spiffe://shop.example/ns/shop/sa/web"));
    assertThat(leaf.getBasicConstraints()).isEqualTo(-1);
    assertThat(leaf.getKeyUsage())
        .containsExactly(true, false, false, false, false, false, false, false, false);
    assertThat(leaf.getExtendedKeyUsage())
        .containsExactly("1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2");
    // keyUsage, basicConstraints, and the name, since there is no subject (RFC 5280 4.1.2.6).
    assertThat(leaf.getCriticalExtensionOIDs())
        .containsExactlyInAnyOrder("2.5.29.15", "2.5.29.19", "2.5.29.17");
    assertThat(leaf.getNotBefore().toInstant())
        .isEqualTo(START.minus(CertificateAuthority.CLOCK_SKEW));
    assertThat(leaf.getNotAfter().toInstant()).isEqualTo(START.plus(Duration.ofHours(24)));
  }

  @Test
  void serialsAreRandomAndOf128Bits() {
    mesh.init();
    Set<Object> serials = new HashSet<>();
    int longest = 0;
    for (int i = 0; i < 40; i++) {
      Issued _ =
          mesh.authority()
              .issue(
                  ids(WEB),
                  false,
                  false,
                  new CertificateAuthority.Terms(Duration.ofHours(1), true, false));
      serials.add(mesh.leaf(WEB).getSerialNumber());
      longest = Math.max(longest, mesh.leaf(WEB).getSerialNumber().bitLength());
      assertThat(mesh.leaf(WEB).getSerialNumber().signum()).isPositive();
    }
    assertThat(serials).hasSize(40);
    assertThat(longest).isBetween(120, 128);
  }

  @Test
  void opensslBelievesALeafInBothRolesAndStrictly() {
    mesh.init().issue(WEB);
    for (String purpose : List.of("sslserver", "sslclient")) {
      String said =
          openssl(
              "verify",
              "-x509_strict",
              "-purpose",
              purpose,
              "-attime",
              Long.toString(START.getEpochSecond()),
              "-CAfile",
              mesh.identities.bundle().toString(),
              mesh.svid(WEB).toString());
      assertThat(said).contains("svid.pem: OK");
    }
  }

  @Test
  void opensslReadsTheKeyAndItIsTheLeafs() {
    mesh.init().issue(WEB);
    String file = mesh.svid(WEB).toString();
    assertThat(openssl("pkey", "-in", file, "-pubout"))
        .isEqualTo(openssl("x509", "-in", file, "-noout", "-pubkey"));
  }

  @Test
  void theProxysGroupReadsLeavesAndNobodyElse() throws IOException {
    mesh.init().issue(WEB);
    assertThat(mode(mesh.svid(WEB))).isEqualTo("rw-r-----");
    assertThat(mode(mesh.identities.bundle())).isEqualTo("rw-r-----");
    for (Path each = mesh.svid(WEB).getParent();
        each != null && !each.equals(mesh.run);
        each = each.getParent()) {
      assertThat(mode(each)).as(each.toString()).isEqualTo("rwxr-x---");
    }
  }

  @Test
  void whatIsGoodIsKeptUntilTwoThirdsOfItsLifeAreOver() {
    mesh.init().issue(WEB);
    Object first = mesh.leaf(WEB).getSerialNumber();
    mesh.pass(Duration.ofHours(15));
    assertThat(results(mesh.issue(WEB))).containsExactly(Issued.Result.kept);
    assertThat(mesh.leaf(WEB).getSerialNumber()).isEqualTo(first);
    assertThat(state(WEB)).isEqualTo(IdentityState.good);
    mesh.pass(Duration.ofHours(2));
    assertThat(state(WEB)).isEqualTo(IdentityState.due);
    assertThat(results(mesh.issue(WEB))).containsExactly(Issued.Result.renewed);
    assertThat(mesh.leaf(WEB).getSerialNumber()).isNotEqualTo(first);
    assertThat(state(WEB)).isEqualTo(IdentityState.good);
  }

  @Test
  void aRenewedLeafHasAnotherKey() {
    mesh.init().issue(WEB);
    Object before = mesh.leaf(WEB).getPublicKey();
    mesh.pass(Duration.ofHours(17));
    mesh.issue(WEB);
    assertThat(mesh.leaf(WEB).getPublicKey()).isNotEqualTo(before);
  }

  @Test
  void renewIsForAllThatHaveOne() {
    mesh.init().issue(WEB, DB);
    mesh.pass(Duration.ofHours(17));
    assertThat(results(mesh.authority().issue(ids(), true, false, TERMS)))
        .containsExactly(Issued.Result.renewed, Issued.Result.renewed);
  }

  @Test
  void whatHasEndedAndNobodyAskedForGoesWithAWholePolicy() {
    mesh.init().issue(WEB, DB);
    mesh.pass(Duration.ofHours(25));
    assertThat(results(mesh.authority().issue(ids(WEB), false, true, TERMS)))
        .containsExactly(Issued.Result.removed, Issued.Result.renewed);
    assertThat(mesh.svid(DB)).doesNotExist();
    assertThat(mesh.svid(DB).getParent()).doesNotExist();
  }

  @Test
  void whatHasNotEndedStaysThoughNobodyAskedForIt() {
    mesh.init().issue(WEB, DB);
    mesh.authority().issue(ids(WEB), false, true, TERMS);
    assertThat(mesh.svid(DB)).exists();
  }

  @Test
  void aLeafDoesNotOutliveItsRoot() {
    mesh.authority().init(DOMAIN, new RootSource.Made(Duration.ofDays(1)));
    mesh.pass(Duration.ofHours(20));
    Issued issued = mesh.issue(WEB);
    assertThat(issued.identities().getFirst().why()).contains("root");
    assertThat(mesh.leaf(WEB).getNotAfter().toInstant()).isEqualTo(START.plus(Duration.ofDays(1)));
  }

  @Test
  void aRootThatHasEndedSignsNothing() {
    mesh.authority().init(DOMAIN, new RootSource.Made(Duration.ofDays(1)));
    mesh.pass(Duration.ofDays(2));
    assertThatThrownBy(() -> mesh.issue(WEB))
        .hasMessageContaining("has ended at 2026-11-22T12:00:00Z")
        .hasMessageContaining("clock says 2026-11-23T12:00:00Z")
        .hasMessageContaining("weir ca rotate");
    mesh.rotate();
    assertThat(results(mesh.issue(WEB))).containsExactly(Issued.Result.issued);
  }

  @Test
  void aLeafWithTheKeyOfAnotherIsBrokenAndMadeAnew() throws IOException {
    mesh.init().issue(WEB, DB);
    String web = text(mesh.svid(WEB));
    String db = text(mesh.svid(DB));
    int key = web.indexOf("-----BEGIN PRIVATE");
    Files.writeString(
        mesh.svid(WEB), web.substring(0, key) + db.substring(db.indexOf("-----BEGIN PRIVATE")));
    assertThat(state(WEB)).isEqualTo(IdentityState.broken);
    mesh.issue(WEB);
    assertThat(state(WEB)).isEqualTo(IdentityState.good);
  }

  @Test
  void theLeafOfAnotherAccountIsBroken() throws IOException {
    mesh.init().issue(WEB, DB);
    Files.writeString(mesh.svid(WEB), text(mesh.svid(DB)));
    Listing listing = mesh.authority().list();
    assertThat(listing.good()).isFalse();
    assertThat(listing.identities().getLast().problem()).contains("/sa/db");
  }

  @Test
  void theLeafOfAnotherAuthorityIsUntrusted() throws IOException {
    AuthorityFixture other = new AuthorityFixture(directory.resolve("other")).init();
    other.issue(WEB);
    mesh.init().issue(WEB);
    Files.writeString(mesh.svid(WEB), text(other.svid(WEB)));
    assertThat(state(WEB)).isEqualTo(IdentityState.untrusted);
    mesh.issue(WEB);
    assertThat(state(WEB)).isEqualTo(IdentityState.good);
  }

  @Test
  void manyAtOnceDoNotDisturbEachOther() throws Exception {
    mesh.init();
    List<Callable<Issued>> all = new ArrayList<>();
    for (int i = 0; i < 8; i++) {
      SpiffeId id = new SpiffeId(DOMAIN, "shop", "account-" + i);
      all.add(() -> mesh.issue(id));
    }
    try (ExecutorService threads = Executors.newFixedThreadPool(4)) {
      for (Future<Issued> issued : threads.invokeAll(all)) {
        assertThat(results(issued.get())).containsExactly(Issued.Result.issued);
      }
    }
    Listing listing = mesh.authority().list();
    assertThat(listing.identities()).hasSize(8);
    assertThat(listing.good()).isTrue();
  }

  // ---- rotate

  @Test
  void bothRootsAreBelievedUntilTheOldOnesLeavesHaveEnded() throws IOException {
    mesh.init().issue(WEB, DB);
    X509Certificate old = mesh.bundle().getFirst();
    mesh.pass(Duration.ofHours(1));
    Listing rotated = mesh.rotate();
    assertThat(rotated.roots())
        .extracting(RootStatus::role)
        .containsExactly(RootStatus.Role.leaves, RootStatus.Role.signs);
    assertThat(mesh.bundle()).hasSize(2).contains(old);
    assertThat(state(WEB)).isEqualTo(IdentityState.good);
    assertThat(results(mesh.issue(WEB))).containsExactly(Issued.Result.kept);

    mesh.pass(Duration.ofHours(16)); // WEB follows when it is due
    assertThat(results(mesh.issue(WEB))).containsExactly(Issued.Result.renewed);
    assertThat(mesh.bundle()).hasSize(2).last().isEqualTo(old);
    assertThat(state(DB)).isEqualTo(IdentityState.due);

    mesh.pass(Duration.ofHours(7).plusMinutes(6)); // what the old one signed has ended
    mesh.issue(WEB);
    assertThat(mesh.bundle()).hasSize(1).doesNotContain(old);
    assertThat(rootFiles()).hasSize(1);
    assertThat(state(WEB)).isEqualTo(IdentityState.good);
  }

  @Test
  void leavesOfEitherRootAreBelievedByOpensslWithTheOneBundle() {
    mesh.init().issue(WEB);
    mesh.pass(Duration.ofHours(1));
    mesh.rotate();
    mesh.issue(DB);
    assertThat(mesh.leaf(WEB).getIssuerX500Principal())
        .isNotEqualTo(mesh.leaf(DB).getIssuerX500Principal());
    for (SpiffeId id : List.of(WEB, DB)) {
      String said =
          openssl(
              "verify",
              "-x509_strict",
              "-attime",
              Long.toString(mesh.instant().getEpochSecond()),
              "-CAfile",
              mesh.identities.bundle().toString(),
              mesh.svid(id).toString());
      assertThat(said).contains("OK");
    }
  }

  @Test
  void theOldKeyIsGoneAsSoonAsTheNewOneSigns() throws IOException {
    mesh.init();
    String old = rootFiles().getFirst();
    mesh.pass(Duration.ofHours(1));
    mesh.issue(WEB);
    mesh.rotate();
    assertThat(text(mesh.ca.resolve(old)))
        .contains("BEGIN CERTIFICATE")
        .doesNotContain("PRIVATE KEY");
  }

  @Test
  void twoRootsOfTheSameSecondAreInTheOrderTheyWereMadeIn() {
    mesh.init().issue(WEB);
    String second = mesh.rotate().roots().getLast().id();
    assertThat(mesh.issue(DB).root()).isEqualTo(second);
    String third = mesh.rotate().roots().getLast().id();
    assertThat(mesh.issue(new SpiffeId(DOMAIN, "shop", "cart")).root()).isEqualTo(third);
  }

  @Test
  void aRootThatWaitsIsBelievedAtOnceAndSignsLater() throws IOException {
    mesh.init().issue(WEB);
    String old = mesh.issue(WEB).root();
    Listing rotated = mesh.rotate(Duration.ofHours(2), false);
    assertThat(rotated.roots())
        .extracting(RootStatus::role)
        .containsExactly(RootStatus.Role.signs, RootStatus.Role.waits);
    assertThat(mesh.bundle()).hasSize(2);
    assertThat(mesh.issue(DB).root()).isEqualTo(old);
    assertThatThrownBy(() -> mesh.rotate()).hasMessageContaining("follows already");
    mesh.pass(Duration.ofHours(2));
    String next = mesh.issue(new SpiffeId(DOMAIN, "shop", "cart")).root();
    assertThat(next).isNotEqualTo(old).isEqualTo(rotated.roots().getLast().id());
    assertThat(text(mesh.ca.resolve("root-" + old + ".pem"))).doesNotContain("PRIVATE KEY");
  }

  @Test
  void anOverlapOutlastsTheLeavesThatThisNodeKnowsOf() {
    mesh.init();
    mesh.authority()
        .rotate(
            MADE,
            new CertificateAuthority.Rotation(
                Duration.ZERO, Duration.ofDays(2), false, CertificateAuthority.LEAF_LIFE, false));
    mesh.pass(Duration.ofHours(47));
    mesh.issue(WEB);
    assertThat(mesh.bundle()).hasSize(2);
    mesh.pass(Duration.ofHours(2));
    mesh.issue(WEB);
    assertThat(mesh.bundle()).hasSize(1);
  }

  @Test
  void aDistrustedRootIsBelievedNoMoreAndAllItSignedIsMadeAnew() throws IOException {
    mesh.init().issue(WEB, DB);
    X509Certificate old = mesh.bundle().getFirst();
    Object web = mesh.leaf(WEB).getSerialNumber();
    Listing rotated = mesh.rotate(Duration.ZERO, true);
    assertThat(rotated.good()).isTrue();
    assertThat(rotated.roots()).hasSize(1);
    assertThat(mesh.bundle()).hasSize(1).doesNotContain(old);
    assertThat(mesh.leaf(WEB).getSerialNumber()).isNotEqualTo(web);
    assertThat(rootFiles()).hasSize(1);
  }

  // ---- clocks

  @Test
  void aClockThatHasGoneBackIsNamedAndNothingIsIssued() {
    mesh.init().issue(WEB);
    Object before = mesh.leaf(WEB).getSerialNumber();
    mesh.pass(Duration.ofDays(-400));
    assertThatThrownBy(() -> mesh.issue(WEB))
        .hasMessageContaining("clock is wrong: it says 2025-10-17T12:00:00Z")
        .hasMessageContaining("2026-11-21T12:00:00Z")
        .hasMessageContaining("--trust-clock");
    assertThatThrownBy(() -> mesh.rotate()).hasMessageContaining("clock is wrong");
    assertThat(mesh.leaf(WEB).getSerialNumber()).isEqualTo(before);
    Listing listing = mesh.authority().list();
    assertThat(listing.good()).isFalse();
    assertThat(listing.problems()).singleElement().asString().contains("clock is wrong");
    assertThat(listing.identities().getFirst().state()).isEqualTo(IdentityState.early);
  }

  @Test
  void aClockThatStandsBackALittleIsNotCalledWrong() {
    mesh.init().issue(WEB);
    mesh.pass(Duration.ofMinutes(-4));
    assertThat(results(mesh.issue(WEB, DB)))
        .containsExactly(Issued.Result.issued, Issued.Result.kept);
    assertThat(mesh.authority().list().good()).isTrue();
  }

  @Test
  void leavesOfAClockThatWasAheadAreMadeAnewOnceTheClockIsTrusted() {
    mesh.init();
    mesh.pass(Duration.ofDays(300));
    mesh.issue(WEB);
    mesh.pass(Duration.ofDays(-299));
    assertThatThrownBy(() -> mesh.issue(WEB)).hasMessageContaining("--trust-clock");
    mesh.authority().issue(ids(WEB), false, false, TRUSTING);
    assertThat(mesh.authority().list().good()).isTrue();
    mesh.issue(DB); // and from then on without
    assertThat(state(DB)).isEqualTo(IdentityState.good);
  }

  @Test
  void aRootOfAClockThatWasAheadIsFollowedByAnotherOnceTheClockIsTrusted() {
    mesh.pass(Duration.ofDays(3000));
    mesh.init();
    mesh.pass(Duration.ofDays(-3000));
    assertThatThrownBy(() -> mesh.authority().issue(ids(WEB), false, false, TRUSTING))
        .hasMessageContaining("weir ca rotate --trust-clock");
    Listing rotated =
        mesh.authority()
            .rotate(
                MADE,
                new CertificateAuthority.Rotation(
                    Duration.ZERO, Duration.ZERO, false, CertificateAuthority.LEAF_LIFE, true));
    assertThat(rotated.good()).isTrue();
    mesh.issue(WEB);
    assertThat(state(WEB)).isEqualTo(IdentityState.good);
  }

  @Test
  void whatNobodyRenewsIsAWarningAndThenOver() {
    mesh.init().issue(WEB);
    mesh.pass(Duration.ofHours(21));
    assertThat(state(WEB)).isEqualTo(IdentityState.ending);
    assertThat(mesh.authority().list().good()).isFalse();
    mesh.pass(Duration.ofHours(3));
    assertThat(state(WEB)).isEqualTo(IdentityState.ended);
  }

  @Test
  void aRootNearItsEndIsAWarning() {
    mesh.init();
    mesh.pass(Duration.ofDays(3000));
    assertThat(mesh.authority().list().good()).isTrue();
    mesh.pass(Duration.ofDays(300));
    assertThat(mesh.authority().list().roots().getFirst().problem()).contains("weir ca rotate");
    mesh.rotate();
    assertThat(mesh.authority().list().good()).isTrue();
  }

  // ---- damage

  @Test
  void aDamagedIndexNamesFileAndLine() throws IOException {
    mesh.init();
    Files.writeString(mesh.ca.resolve("authority.json"), "{\n  \"version\": 2\n}\n");
    assertThatThrownBy(() -> mesh.issue(WEB))
        .isInstanceOf(NodeException.class)
        .hasMessageContaining("authority.json:2:");
  }

  @Test
  void aMissingRootIsNamed() throws IOException {
    mesh.init();
    String root = rootFiles().getFirst();
    Files.delete(mesh.ca.resolve(root));
    assertThatThrownBy(() -> mesh.issue(WEB)).hasMessageContaining(root + " is missing");
  }

  @Test
  void noErrorTellsAKey() throws IOException {
    mesh.init();
    Path root = mesh.ca.resolve(rootFiles().getFirst());
    String text = text(root);
    int begin = text.indexOf("-----BEGIN PRIVATE KEY-----") + 28;
    String secret = text.substring(begin + 20, begin + 40);
    Files.writeString(root, text.substring(0, begin) + "AAAA" + text.substring(begin + 4));
    assertThatThrownBy(() -> mesh.issue(WEB))
        .hasMessageContaining("cannot be used")
        .satisfies(
            e -> {
              java.io.StringWriter trace = new java.io.StringWriter();
              e.printStackTrace(new java.io.PrintWriter(trace));
              assertThat(trace.toString()).doesNotContain(secret);
            });
  }

  @Test
  void timesAreWholeSecondsSoThatWhatIsAskedAtTheEndIsOver() {
    mesh.init();
    mesh.pass(Duration.ofMillis(700));
    mesh.issue(WEB);
    Instant end = mesh.leaf(WEB).getNotAfter().toInstant();
    mesh.pass(Duration.between(mesh.instant(), end));
    assertThat(state(WEB)).isEqualTo(IdentityState.ended);
  }
}
