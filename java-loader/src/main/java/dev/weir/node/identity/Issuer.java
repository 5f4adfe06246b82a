// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.identity;

import dev.weir.node.kernel.NodeException;
import java.io.IOException;
import java.math.BigInteger;
import java.security.GeneralSecurityException;
import java.security.KeyPair;
import java.security.PrivateKey;
import java.security.PublicKey;
import java.security.SecureRandom;
import java.security.cert.X509Certificate;
import java.time.Instant;
import java.util.Date;
import org.bouncycastle.asn1.x500.RDN;
import org.bouncycastle.asn1.x500.X500Name;
import org.bouncycastle.asn1.x509.AuthorityKeyIdentifier;
import org.bouncycastle.asn1.x509.BasicConstraints;
import org.bouncycastle.asn1.x509.ExtendedKeyUsage;
import org.bouncycastle.asn1.x509.Extension;
import org.bouncycastle.asn1.x509.GeneralName;
import org.bouncycastle.asn1.x509.GeneralNames;
import org.bouncycastle.asn1.x509.KeyPurposeId;
import org.bouncycastle.asn1.x509.KeyUsage;
import org.bouncycastle.asn1.x509.SubjectKeyIdentifier;
import org.bouncycastle.asn1.x509.SubjectPublicKeyInfo;
import org.bouncycastle.cert.X509v3CertificateBuilder;
import org.bouncycastle.cert.jcajce.JcaX509CertificateConverter;
import org.bouncycastle.cert.jcajce.JcaX509CertificateHolder;
import org.bouncycastle.cert.jcajce.JcaX509ExtensionUtils;
import org.bouncycastle.operator.OperatorCreationException;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;

/** Builds and signs certificates: what is in them, and nothing of where they go. */
final class Issuer {

  private static final int SERIAL_BITS = 128;

  private final SecureRandom random;

  Issuer(SecureRandom random) {
    this.random = random;
  }

  /**
   * A root: signs leaves and nothing else, and says whose trust domain it is (X509-SVID 3.2). Its
   * name is made of its key, so that no two roots have the same.
   */
  X509Certificate root(KeyPair keys, String trustDomain, Instant notBefore, Instant notAfter) {
    X500Name name = new X500Name("CN=Weir CA " + Keys.id(keys.getPublic()));
    X509v3CertificateBuilder builder = builder(name, name, keys.getPublic(), notBefore, notAfter);
    try {
      builder.addExtension(Extension.basicConstraints, true, new BasicConstraints(0));
      builder.addExtension(
          Extension.keyUsage, true, new KeyUsage(KeyUsage.keyCertSign | KeyUsage.cRLSign));
      builder.addExtension(
          Extension.subjectKeyIdentifier,
          false,
          new JcaX509ExtensionUtils().createSubjectKeyIdentifier(keys.getPublic()));
      builder.addExtension(
          Extension.subjectAlternativeName, false, uri(SpiffeId.SCHEME + trustDomain));
      return sign(builder, keys.getPrivate(), keys.getPublic());
    } catch (IOException | GeneralSecurityException | OperatorCreationException e) {
      throw new NodeException("cannot make a root for " + trustDomain + ": " + e.getMessage(), e);
    }
  }

  /**
   * A leaf: proves the one ID and has no other name, so its alternative name is critical (RFC 5280
   * 4.1.2.6).
   */
  X509Certificate leaf(
      X509Certificate signer,
      PrivateKey signingKey,
      SpiffeId id,
      PublicKey key,
      Instant notBefore,
      Instant notAfter) {
    X500Name issuer = X500Name.getInstance(signer.getSubjectX500Principal().getEncoded());
    X509v3CertificateBuilder builder =
        builder(issuer, new X500Name(new RDN[0]), key, notBefore, notAfter);
    try {
      JcaX509ExtensionUtils identifiers = new JcaX509ExtensionUtils();
      builder.addExtension(Extension.basicConstraints, true, new BasicConstraints(false));
      builder.addExtension(Extension.keyUsage, true, new KeyUsage(KeyUsage.digitalSignature));
      builder.addExtension(
          Extension.extendedKeyUsage,
          false,
          new ExtendedKeyUsage(
              new KeyPurposeId[] {KeyPurposeId.id_kp_serverAuth, KeyPurposeId.id_kp_clientAuth}));
      builder.addExtension(Extension.subjectAlternativeName, true, uri(id.uri()));
      builder.addExtension(
          Extension.subjectKeyIdentifier, false, identifiers.createSubjectKeyIdentifier(key));
      builder.addExtension(Extension.authorityKeyIdentifier, false, authority(signer, identifiers));
      return sign(builder, signingKey, signer.getPublicKey());
    } catch (IOException | GeneralSecurityException | OperatorCreationException e) {
      throw new NodeException("cannot make a certificate for " + id + ": " + e.getMessage(), e);
    }
  }

  private static AuthorityKeyIdentifier authority(
      X509Certificate signer, JcaX509ExtensionUtils identifiers) throws GeneralSecurityException {
    SubjectKeyIdentifier own =
        SubjectKeyIdentifier.fromExtensions(new JcaX509CertificateHolder(signer).getExtensions());
    return new AuthorityKeyIdentifier(
        (own == null ? identifiers.createSubjectKeyIdentifier(signer.getPublicKey()) : own)
            .getKeyIdentifier());
  }

  private static GeneralNames uri(String uri) {
    return new GeneralNames(new GeneralName(GeneralName.uniformResourceIdentifier, uri));
  }

  private X509v3CertificateBuilder builder(
      X500Name issuer, X500Name subject, PublicKey key, Instant notBefore, Instant notAfter) {
    return new X509v3CertificateBuilder(
        issuer,
        serial(),
        Date.from(notBefore),
        Date.from(notAfter),
        subject,
        SubjectPublicKeyInfo.getInstance(key.getEncoded()));
  }

  /** RFC 5280 4.1.2.2: positive, and at most 20 octets. */
  private BigInteger serial() {
    BigInteger serial = new BigInteger(SERIAL_BITS, random);
    return serial.signum() == 0 ? BigInteger.ONE : serial;
  }

  private X509Certificate sign(X509v3CertificateBuilder builder, PrivateKey key, PublicKey signer)
      throws GeneralSecurityException, OperatorCreationException {
    X509Certificate certificate =
        new JcaX509CertificateConverter()
            .getCertificate(
                builder.build(
                    new JcaContentSignerBuilder(Keys.algorithm(signer))
                        .setSecureRandom(random)
                        .build(key)));
    certificate.verify(signer);
    return certificate;
  }
}
