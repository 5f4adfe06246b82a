// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.identity;

import java.security.InvalidAlgorithmParameterException;
import java.security.NoSuchAlgorithmException;
import java.security.cert.CertPath;
import java.security.cert.CertPathValidator;
import java.security.cert.CertPathValidatorException;
import java.security.cert.CertPathValidatorResult;
import java.security.cert.CertificateException;
import java.security.cert.CertificateFactory;
import java.security.cert.CertificateParsingException;
import java.security.cert.PKIXParameters;
import java.security.cert.TrustAnchor;
import java.security.cert.X509Certificate;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Date;
import java.util.List;
import java.util.Set;

/**
 * The rules of the X.509-SVID standard (SPIFFE, {@code standards/X509-SVID.md}, sections 2 to 5),
 * on top of path validation by RFC 5280, which is the JDK's. Whoever issues, shows or is shown a
 * certificate asks here, so that none of them believes what another one does not.
 */
public final class SvidRules {

  // RFC 5280 4.2.1.3: positions of the bits of keyUsage.
  private static final int DIGITAL_SIGNATURE = 0;
  private static final int KEY_CERT_SIGN = 5;
  private static final int CRL_SIGN = 6;

  /** What an ID begins with. */
  public static final String SCHEME = "spiffe://";

  private static final String KEY_USAGE = "2.5.29.15";
  private static final String SERVER_AUTH = "1.3.6.1.5.5.7.3.1";
  private static final String CLIENT_AUTH = "1.3.6.1.5.5.7.3.2";

  /** RFC 5280 4.2.1.6: uniformResourceIdentifier. */
  private static final int URI = 6;

  private SvidRules() {}

  /**
   * The ID that a chain proves.
   *
   * @param chain leaf first; anchors in it are passed over
   * @param anchors whom to believe
   * @param at when it must hold
   * @throws NotAnSvidException when it proves none, with the reason
   */
  public static String check(
      List<X509Certificate> chain, Collection<X509Certificate> anchors, Instant at)
      throws NotAnSvidException {
    if (anchors.isEmpty()) {
      throw new NotAnSvidException("there is no root to believe (bundle.pem)");
    }
    List<X509Certificate> path =
        chain.stream().filter(certificate -> !anchors.contains(certificate)).toList();
    if (path.isEmpty()) {
      throw new NotAnSvidException("there is no certificate of a workload");
    }
    String id = idOf(path.getFirst());
    requireInTime(path.getFirst(), at);
    NotAnSvidException why =
        new NotAnSvidException(
            "none of the roots that are believed is \""
                + path.getLast().getIssuerX500Principal().getName()
                + "\"");
    for (X509Certificate anchor : anchors) {
      if (anchor.getSubjectX500Principal().equals(path.getLast().getIssuerX500Principal())) {
        try {
          validate(path, anchor, at);
          return id;
        } catch (CertPathValidatorException | CertificateException e) {
          why = new NotAnSvidException("no path to a root that is believed: " + e.getMessage(), e);
        }
      }
    }
    throw why;
  }

  /**
   * Names the clock: what is not valid yet is nearly always a clock that is wrong.
   *
   * @throws NotAnSvidException when a certificate does not hold at that time
   */
  public static void requireInTime(X509Certificate certificate, Instant at)
      throws NotAnSvidException {
    Instant begins = certificate.getNotBefore().toInstant();
    Instant ends = certificate.getNotAfter().toInstant();
    if (at.isBefore(begins)) {
      throw new NotAnSvidException(
          "the certificate begins at "
              + begins
              + " and this node's clock says "
              + at
              + ": this clock is behind, or that of whoever issued it ahead");
    }
    if (at.isAfter(ends)) {
      throw new NotAnSvidException(
          "the certificate ended at " + ends + ", and this node's clock says " + at);
    }
  }

  /**
   * RFC 5280 6.1 asks nothing of an anchor but its name and key. Ours end, and what their name
   * constraints forbid they cannot do: so the anchor's certificate is part of the path as well.
   */
  private static void validate(List<X509Certificate> chain, X509Certificate anchor, Instant at)
      throws CertPathValidatorException, CertificateException {
    List<X509Certificate> whole = new ArrayList<>(chain);
    whole.add(anchor);
    CertPath path = CertificateFactory.getInstance("X.509").generateCertPath(whole);
    try {
      PKIXParameters parameters =
          new PKIXParameters(
              Set.of(
                  new TrustAnchor(anchor.getSubjectX500Principal(), anchor.getPublicKey(), null)));
      // Nothing here lives long enough to be revoked: what must not be believed is not renewed.
      parameters.setRevocationEnabled(false);
      parameters.setDate(Date.from(at));
      CertPathValidatorResult _ = CertPathValidator.getInstance("PKIX").validate(path, parameters);
    } catch (NoSuchAlgorithmException | InvalidAlgorithmParameterException e) {
      throw new IllegalStateException("every JDK has PKIX", e);
    }
  }

  /**
   * The ID in a leaf, of which nothing is verified but that it is one.
   *
   * @return with {@link #SCHEME}
   * @throws NotAnSvidException when it breaks a rule about leaves
   */
  public static String idOf(X509Certificate leaf) throws NotAnSvidException {
    boolean[] usage = leaf.getKeyUsage();
    if (usage == null || !leaf.getCriticalExtensionOIDs().contains(KEY_USAGE)) {
      throw new NotAnSvidException("keyUsage must be there and critical (X509-SVID 4.3)");
    }
    if (leaf.getBasicConstraints() >= 0 || usage[KEY_CERT_SIGN] || usage[CRL_SIGN]) {
      throw new NotAnSvidException("a certificate that may sign others proves no identity (5.2)");
    }
    if (!usage[DIGITAL_SIGNATURE]) {
      throw new NotAnSvidException("keyUsage must have digitalSignature (X509-SVID 4.3)");
    }
    try {
      List<String> purposes = leaf.getExtendedKeyUsage();
      if (purposes != null && !purposes.containsAll(List.of(SERVER_AUTH, CLIENT_AUTH))) {
        throw new NotAnSvidException(
            "extendedKeyUsage must have serverAuth and clientAuth (X509-SVID 4.4)");
      }
    } catch (CertificateParsingException e) {
      throw new NotAnSvidException("extendedKeyUsage cannot be read", e);
    }
    List<String> uris = uris(leaf);
    if (uris.size() != 1) {
      throw new NotAnSvidException(
          "exactly one URI must be among the alternative names, not "
              + uris.size()
              + " (X509-SVID 2)");
    }
    String id = uris.getFirst();
    int path = id.indexOf('/', SCHEME.length());
    if (!id.startsWith(SCHEME) || path < 0 || path == id.length() - 1) {
      throw new NotAnSvidException(
          id + " is no SPIFFE ID of a workload: spiffe://TRUSTDOMAIN/PATH (X509-SVID 3.1)");
    }
    return id;
  }

  /**
   * All URIs among a certificate's alternative names.
   *
   * @throws NotAnSvidException when they cannot be read
   */
  public static List<String> uris(X509Certificate certificate) throws NotAnSvidException {
    List<String> uris = new ArrayList<>();
    try {
      Collection<List<?>> names = certificate.getSubjectAlternativeNames();
      if (names != null) {
        for (List<?> name : names) {
          if (name.get(0) instanceof Integer type
              && type == URI
              && name.get(1) instanceof String text) {
            uris.add(text);
          }
        }
      }
    } catch (CertificateParsingException e) {
      throw new NotAnSvidException("the alternative names cannot be read", e);
    }
    return uris;
  }
}
