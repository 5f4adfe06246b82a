// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.identity;

import static dev.weir.node.identity.AuthorityFixture.DOMAIN;
import static dev.weir.node.identity.AuthorityFixture.WEB;
import static dev.weir.node.identity.AuthorityFixture.chain;
import static dev.weir.node.identity.AuthorityFixture.openssl;
import static dev.weir.node.identity.AuthorityFixture.text;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.weir.node.kernel.NodeException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Roots that others made: here openssl. */
final class GivenRootTest {

  private static final String CA = "basicConstraints=critical,CA:TRUE";
  private static final String SIGNS = "keyUsage=critical,keyCertSign,cRLSign";

  @TempDir private Path directory;

  private AuthorityFixture mesh = new AuthorityFixture(Path.of("/nowhere"));

  @BeforeEach
  void make() {
    mesh = new AuthorityFixture(directory);
    // openssl makes certificates that begin now.
    mesh.pass(Duration.between(mesh.instant(), Instant.now().plusSeconds(60)));
  }

  private Path file(String name) {
    return directory.resolve(name);
  }

  private void selfSigned(String name, List<String> key, String... extensions) {
    List<String> command = new ArrayList<>(List.of("req", "-x509", "-nodes", "-days", "30"));
    command.addAll(key);
    command.addAll(List.of("-subj", "/O=Example/CN=" + name));
    command.addAll(List.of("-keyout", file(name + ".key").toString()));
    command.addAll(List.of("-out", file(name + ".pem").toString()));
    for (String extension : extensions) {
      command.addAll(List.of("-addext", extension));
    }
    String _ = openssl(command.toArray(String[]::new));
  }

  private static List<String> p256() {
    return List.of("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1");
  }

  private Listing init(String name) {
    return mesh.authority()
        .init(DOMAIN, new RootSource.Given(file(name + ".pem"), file(name + ".key")));
  }

  private void refused(String name, String... why) {
    assertThatThrownBy(() -> init(name))
        .isInstanceOf(NodeException.class)
        .satisfies(e -> assertThat(e.getMessage()).contains(Arrays.asList(why)));
    assertThat(mesh.ca.resolve("authority.json")).doesNotExist();
  }

  private void opensslBelievesALeaf() {
    mesh.issue(WEB);
    String svid = mesh.svid(WEB).toString();
    assertThat(
            openssl(
                "verify",
                "-attime",
                Long.toString(mesh.instant().getEpochSecond()),
                "-CAfile",
                mesh.identities.bundle().toString(),
                "-untrusted",
                svid,
                svid))
        .contains("OK");
    assertThat(mesh.authority().list().good()).isTrue();
  }

  @ParameterizedTest
  @ValueSource(strings = {"ec:prime256v1", "ec:secp384r1", "rsa:2048"})
  void theRootOfAnotherSignsWithItsKindOfKey(String kind) {
    selfSigned(
        "root",
        kind.startsWith("rsa")
            ? List.of("-newkey", kind)
            : List.of("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:" + kind.substring(3)),
        CA,
        SIGNS);
    init("root");
    opensslBelievesALeaf();
  }

  @Test
  void certificateAndKeyMayBeInOneFile() throws IOException {
    selfSigned("root", p256(), CA, SIGNS);
    Files.writeString(file("both.pem"), text(file("root.key")) + text(file("root.pem")));
    mesh.authority().init(DOMAIN, new RootSource.Given(file("both.pem"), file("both.pem")));
    opensslBelievesALeaf();
  }

  private void intermediate() throws IOException {
    selfSigned("above", p256(), CA, SIGNS);
    Files.writeString(file("ext"), CA + ",pathlen:0\n" + SIGNS + "\n");
    String request = file("mesh.csr").toString();
    String _ =
        openssl(
            "req",
            "-new",
            "-nodes",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-subj",
            "/CN=mesh",
            "-keyout",
            file("mesh.key").toString(),
            "-out",
            request);
    String _ =
        openssl(
            "x509",
            "-req",
            "-in",
            request,
            "-CA",
            file("above.pem").toString(),
            "-CAkey",
            file("above.key").toString(),
            "-CAcreateserial",
            "-days",
            "20",
            "-extfile",
            file("ext").toString(),
            "-out",
            file("mesh.pem").toString());
  }

  @Test
  void anIntermediateGoesWithTheLeafAndItsRootIntoTheBundle() throws IOException {
    intermediate();
    Files.writeString(file("mesh.pem"), text(file("mesh.pem")) + text(file("above.pem")));
    init("mesh");
    opensslBelievesALeaf();
    assertThat(chain(mesh.svid(WEB))).hasSize(2);
    assertThat(mesh.bundle()).isEqualTo(chain(file("above.pem")));
  }

  @Test
  void anIntermediateAloneIsRefused() throws IOException {
    intermediate();
    refused("mesh", "CN=mesh", "append", "self-signed");
  }

  @Test
  void anIntermediateWithTheWrongRootIsRefused() throws IOException {
    intermediate();
    selfSigned("other", p256(), CA, SIGNS);
    Files.writeString(file("mesh.pem"), text(file("mesh.pem")) + text(file("other.pem")));
    refused("mesh", "cannot sign for shop.example");
  }

  @Test
  void whatIsNoAuthorityIsRefused() {
    selfSigned("leaf", p256(), "basicConstraints=critical,CA:FALSE");
    refused("leaf", "CN=leaf", "may not sign certificates");
  }

  @Test
  void theKeyOfAnotherIsRefused() throws IOException {
    selfSigned("root", p256(), CA, SIGNS);
    selfSigned("other", p256(), CA, SIGNS);
    Files.writeString(file("root.key"), text(file("other.key")));
    refused("root", "root.key: cannot be used", "key of another");
  }

  @Test
  void aShortRsaKeyIsRefused() {
    selfSigned("root", List.of("-newkey", "rsa:1024"), CA, SIGNS);
    refused("root", "1024 bits is too short");
  }

  @Test
  void anEncryptedKeyIsRefusedWithWhatToDo() throws IOException {
    selfSigned("root", p256(), CA, SIGNS);
    String _ =
        openssl(
            "pkcs8",
            "-topk8",
            "-in",
            file("root.key").toString(),
            "-passout",
            "pass:x",
            "-out",
            file("locked.key").toString());
    Files.writeString(file("root.key"), text(file("locked.key")));
    refused("root", "root.key", "ENCRYPTED PRIVATE KEY", "openssl pkcs8 -topk8 -nocrypt");
  }

  @Test
  void aRootOfAnotherTrustDomainIsRefused() {
    selfSigned("root", p256(), CA, SIGNS, "subjectAltName=URI:spiffe://other.example");
    refused("root", "spiffe://other.example", "not for trust domain shop.example");
  }

  @Test
  void aRootWhoseNameConstraintsForbidTheTrustDomainIsRefused() {
    selfSigned("root", p256(), CA, SIGNS, "nameConstraints=critical,permitted;URI:other.example");
    refused("root", "cannot sign for shop.example");
  }

  @Test
  void aRootThatHasEndedIsRefused() {
    selfSigned("root", p256(), CA, SIGNS);
    mesh.pass(Duration.ofDays(31));
    refused("root", "CN=root", "has ended at");
  }

  @Test
  void aRootThatHasNotBegunPointsAtTheClock() {
    selfSigned("root", p256(), CA, SIGNS);
    mesh.pass(Duration.ofDays(-1));
    refused("root", "CN=root", "is the clock wrong?");
  }

  @Test
  void aMissingFileAndOneThatIsCutShortAreNamed() throws IOException {
    selfSigned("root", p256(), CA, SIGNS);
    String whole = text(file("root.pem"));
    Files.writeString(file("root.pem"), whole.substring(0, whole.length() - 10));
    refused("root", "root.pem: cut short");
    Files.delete(file("root.pem"));
    refused("root", "root.pem: no such file");
  }

  @Test
  void aRotationMayTakeTheRootOfAnother() {
    mesh.init().issue(WEB);
    selfSigned("root", p256(), CA, SIGNS);
    Listing rotated =
        mesh.authority()
            .rotate(
                new RootSource.Given(file("root.pem"), file("root.key")),
                AuthorityFixture.rotation(Duration.ZERO, false));
    assertThat(rotated.good()).isTrue();
    assertThat(mesh.bundle()).hasSize(2).containsAll(chain(file("root.pem")));
    mesh.pass(Duration.ofHours(17));
    opensslBelievesALeaf();
  }
}
