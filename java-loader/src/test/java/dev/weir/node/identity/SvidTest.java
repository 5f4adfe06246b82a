// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.identity;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.weir.node.kernel.NodeException;
import dev.weir.policy.identity.NotAnSvidException;
import dev.weir.policy.identity.SvidRules;
import java.math.BigInteger;
import java.security.KeyPair;
import java.security.SecureRandom;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.time.Instant;
import java.util.Arrays;
import java.util.Date;
import java.util.List;
import org.bouncycastle.asn1.x500.X500Name;
import org.bouncycastle.asn1.x509.BasicConstraints;
import org.bouncycastle.asn1.x509.ExtendedKeyUsage;
import org.bouncycastle.asn1.x509.Extension;
import org.bouncycastle.asn1.x509.GeneralName;
import org.bouncycastle.asn1.x509.GeneralNames;
import org.bouncycastle.asn1.x509.KeyPurposeId;
import org.bouncycastle.asn1.x509.KeyUsage;
import org.bouncycastle.asn1.x509.SubjectPublicKeyInfo;
import org.bouncycastle.cert.X509v3CertificateBuilder;
import org.bouncycastle.cert.jcajce.JcaX509CertificateConverter;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Each rule of the standard about leaves, by a leaf that breaks just that one. */
final class SvidTest {

  private static final Instant NOW = Instant.parse("2026-11-21T12:00:00Z");
  private static final SecureRandom RANDOM = new SecureRandom();
  private static final KeyPair ROOT_KEYS = Keys.generate(RANDOM);
  private static final X509Certificate ROOT =
      new Issuer(RANDOM)
          .root(ROOT_KEYS, "a.example", NOW.minusSeconds(60), NOW.plus(Duration.ofDays(1)));
  private static final String ID = "spiffe://a.example/ns/n/sa/s";

  private int usage = KeyUsage.digitalSignature;
  private boolean usageCritical = true;
  private BasicConstraints constraints = new BasicConstraints(false);
  private KeyPurposeId[] purposes = {KeyPurposeId.id_kp_serverAuth, KeyPurposeId.id_kp_clientAuth};
  private List<String> uris = List.of(ID);
  private KeyPair signer = ROOT_KEYS;

  private X509Certificate leaf() throws Exception {
    X509v3CertificateBuilder builder =
        new X509v3CertificateBuilder(
            X500Name.getInstance(ROOT.getSubjectX500Principal().getEncoded()),
            BigInteger.TEN,
            Date.from(NOW.minusSeconds(10)),
            Date.from(NOW.plusSeconds(10)),
            new X500Name("CN=somebody"),
            SubjectPublicKeyInfo.getInstance(Keys.generate(RANDOM).getPublic().getEncoded()));
    builder.addExtension(Extension.basicConstraints, true, constraints);
    if (usage != 0) {
      builder.addExtension(Extension.keyUsage, usageCritical, new KeyUsage(usage));
    }
    if (purposes.length > 0) {
      builder.addExtension(Extension.extendedKeyUsage, false, new ExtendedKeyUsage(purposes));
    }
    if (!uris.isEmpty()) {
      builder.addExtension(
          Extension.subjectAlternativeName,
          false,
          new GeneralNames(
              uris.stream()
                  .map(uri -> new GeneralName(GeneralName.uniformResourceIdentifier, uri))
                  .toArray(GeneralName[]::new)));
    }
    return new JcaX509CertificateConverter()
        .getCertificate(
            builder.build(
                new JcaContentSignerBuilder("SHA256withECDSA").build(signer.getPrivate())));
  }

  private String check(Instant at) throws Exception {
    return SvidRules.check(List.of(leaf()), List.of(ROOT), at);
  }

  private void refused(String why) {
    assertThatThrownBy(() -> check(NOW))
        .isInstanceOf(NotAnSvidException.class)
        .hasMessageContaining(why);
  }

  @Test
  void aLeafThatBreaksNoneIsBelieved() throws Exception {
    assertThat(check(NOW)).isEqualTo(ID);
  }

  @Test
  void extendedKeyUsageNeedNotBeThere() throws Exception {
    purposes = new KeyPurposeId[0];
    assertThat(check(NOW)).isEqualTo(ID);
  }

  @Test
  void bothPurposesOrNone() {
    purposes = Arrays.copyOf(purposes, 1);
    refused("clientAuth");
  }

  @Test
  void twoUrisAreNone() {
    uris = List.of(ID, "https://a.example/");
    refused("not 2");
  }

  @Test
  void noUriIsNone() {
    uris = List.of();
    refused("not 0");
  }

  @ParameterizedTest
  @ValueSource(
      strings = {"https://a.example/ns/n/sa/s", "spiffe://a.example", "spiffe://a.example/"})
  void whatIsNoIdOfAWorkload(String uri) {
    uris = List.of(uri);
    refused("no SPIFFE ID");
  }

  @ParameterizedTest
  @ValueSource(ints = {KeyUsage.keyCertSign, KeyUsage.cRLSign})
  void whoMaySignProvesNothing(int more) {
    usage |= more;
    refused("may sign");
  }

  @Test
  void anAuthorityProvesNothing() {
    constraints = new BasicConstraints(true);
    refused("may sign");
  }

  @Test
  void keyUsageMustBeThere() {
    usage = 0;
    refused("keyUsage");
  }

  @Test
  void keyUsageMustBeCritical() {
    usageCritical = false;
    refused("critical");
  }

  @Test
  void digitalSignatureMustBeThere() {
    usage = KeyUsage.keyAgreement;
    refused("digitalSignature");
  }

  @Test
  void aSignatureOfAnotherKeyIsNoneThoughTheNameFits() {
    signer = Keys.generate(RANDOM);
    refused("no path to a root that is believed");
  }

  @ParameterizedTest
  @ValueSource(longs = {-11, 11, 86401})
  void itHoldsFromItsBeginningToItsEnd(long seconds) {
    assertThatThrownBy(() -> check(NOW.plusSeconds(seconds)))
        .isInstanceOf(NotAnSvidException.class);
  }

  @Test
  void aRootThatHasEndedIsBelievedNoMore() {
    X509Certificate ended =
        new Issuer(RANDOM).root(ROOT_KEYS, "a.example", NOW.minusSeconds(60), NOW.minusSeconds(1));
    assertThatThrownBy(() -> SvidRules.check(List.of(leaf()), List.of(ended), NOW))
        .isInstanceOf(NotAnSvidException.class);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "web",
        "shop/web/x",
        "/web",
        "shop/",
        "../web",
        "shop/..",
        "shop/a b",
        "shop/a%2fb",
        "spiffe://other.example/ns/shop/sa/web",
        "spiffe://a.example/ns/shop/sa/",
        ""
      })
  void whatNamesNoAccount(String text) {
    assertThatThrownBy(() -> SpiffeId.parse(text, "a.example")).isInstanceOf(NodeException.class);
  }

  @ParameterizedTest
  @ValueSource(strings = {"shop/web", "spiffe://a.example/ns/shop/sa/web"})
  void whatNamesAnAccount(String text) {
    assertThat(SpiffeId.parse(text, "a.example").uri())
        .isEqualTo("spiffe://a.example/ns/shop/sa/web");
  }

  @ParameterizedTest
  @ValueSource(strings = {"", "A.example", "a/b", "a:1", "u@a", "a b"})
  void whatIsNoTrustDomain(String name) {
    assertThatThrownBy(() -> new SpiffeId(name, "n", "s"))
        .hasMessageContaining("is no trust domain");
  }
}
