// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.tls;

import dev.weir.policy.identity.PemCertificates;
import dev.weir.policy.plan.ProxyPlan.ClientTrust;
import java.security.InvalidAlgorithmParameterException;
import java.security.NoSuchAlgorithmException;
import java.security.cert.CertPath;
import java.security.cert.CertPathValidator;
import java.security.cert.CertPathValidatorException;
import java.security.cert.CertPathValidatorResult;
import java.security.cert.CertificateException;
import java.security.cert.CertificateExpiredException;
import java.security.cert.CertificateFactory;
import java.security.cert.CertificateNotYetValidException;
import java.security.cert.PKIXParameters;
import java.security.cert.TrustAnchor;
import java.security.cert.X509Certificate;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Date;
import java.util.List;
import java.util.Set;
import java.util.function.Predicate;
import javax.net.ssl.X509TrustManager;
import org.jspecify.annotations.Nullable;

/**
 * Which certificates the clients of a listener must show, and whether one is good enough: a path to
 * one of the listener's own authorities and to nobody else's (RFC 5280), for authenticating
 * clients. There are no revocation lists. Immutable.
 */
public final class ClientCertificates {

  /** A leaf and those between it and an authority; each step costs a verified signature. */
  private static final int MAX_PATH = 8;

  // RFC 5280 4.2.1.3 and 4.2.1.12.
  private static final int DIGITAL_SIGNATURE = 0;
  private static final String CLIENT_AUTH = "1.3.6.1.5.5.7.3.2";
  private static final String ANY_PURPOSE = "2.5.29.37.0";

  private final ClientTrust rules;
  private final List<X509Certificate> authorities;

  /**
   * What a plan says. Authorities that cannot be read, or are none, are left out: nobody is
   * believed for them.
   */
  public ClientCertificates(ClientTrust rules) {
    this.rules = rules;
    List<X509Certificate> read = new ArrayList<>();
    for (String pem : rules.authorities()) {
      try {
        read.addAll(PemCertificates.read(pem));
      } catch (CertificateException e) {
        // The compiler refuses such files; of what came all the same nothing is believed.
      }
    }
    this.authorities = read.stream().filter(c -> c.getBasicConstraints() >= 0).toList();
  }

  /** What the plan says. */
  public ClientTrust rules() {
    return rules;
  }

  /** Whether who shows no good one is refused. */
  public boolean required() {
    return rules.required();
  }

  /** For the handshake: refuses there what must be good; else whoever is interested looks later. */
  X509TrustManager trustManager() {
    return new InHandshake();
  }

  /**
   * Whether what was shown is good enough.
   *
   * @param shown leaf first, in the order of the path; what comes behind the first one that an
   *     authority has signed is passed over
   * @param at when it must hold
   * @throws CertificateException when it is not, with the reason
   */
  public void check(List<X509Certificate> shown, Instant at) throws CertificateException {
    if (shown.isEmpty()) {
      throw new CertificateException("no certificate was shown");
    }
    X509Certificate leaf = shown.getFirst();
    inTime(leaf, at);
    forClients(leaf);
    CertificateException why =
        new CertificateException(
            name(leaf) + ": none of the listener's authorities has signed it or those above it");
    for (int length = 1; length <= Math.min(shown.size(), MAX_PATH); length++) {
      List<X509Certificate> path = shown.subList(0, length);
      for (X509Certificate authority : authorities) {
        if (authority.getSubjectX500Principal().equals(path.getLast().getIssuerX500Principal())) {
          try {
            validate(path, authority, at);
            return;
          } catch (CertPathValidatorException e) {
            why =
                new CertificateException(
                    name(leaf) + ": no path to an authority: " + e.getMessage(), e);
          }
        }
      }
    }
    throw why;
  }

  /** RFC 5280 6.1 looks at neither time nor constraints of an anchor; here they hold as well. */
  private static void validate(List<X509Certificate> path, X509Certificate authority, Instant at)
      throws CertPathValidatorException, CertificateException {
    inTime(authority, at);
    if (path.size() - 1 > authority.getBasicConstraints()) {
      throw new CertPathValidatorException("the authority allows no path of this length");
    }
    CertPath certificates = CertificateFactory.getInstance("X.509").generateCertPath(path);
    try {
      PKIXParameters parameters =
          new PKIXParameters(Set.of(new TrustAnchor(authority, nameConstraints(authority))));
      parameters.setRevocationEnabled(false);
      parameters.setDate(Date.from(at));
      CertPathValidatorResult _ =
          CertPathValidator.getInstance("PKIX").validate(certificates, parameters);
    } catch (NoSuchAlgorithmException | InvalidAlgorithmParameterException e) {
      throw new IllegalStateException("every JDK has PKIX", e);
    } catch (IllegalArgumentException e) {
      throw new CertificateException("the authority's name constraints cannot be read", e);
    }
  }

  /** The extension's value (RFC 5280 4.2.1.10) without the OCTET STRING around it; null if none. */
  private static byte @Nullable [] nameConstraints(X509Certificate authority)
      throws CertificateException {
    byte[] wrapped = authority.getExtensionValue("2.5.29.30");
    if (wrapped == null) {
      return null;
    }
    // X.690 8.1.3: one byte of type, then a length of one byte, or of as many as it says.
    int header = wrapped.length > 1 && wrapped[1] < 0 ? 2 + (wrapped[1] & 0x7f) : 2;
    if (header > wrapped.length) {
      throw new CertificateException("the authority's name constraints cannot be read");
    }
    return Arrays.copyOfRange(wrapped, header, wrapped.length);
  }

  private static void inTime(X509Certificate certificate, Instant at) throws CertificateException {
    Instant begins = certificate.getNotBefore().toInstant();
    Instant ends = certificate.getNotAfter().toInstant();
    if (at.isBefore(begins)) {
      throw new CertificateNotYetValidException(
          name(certificate) + ": begins at " + begins + ", and this node's clock says " + at);
    }
    if (at.isAfter(ends)) {
      throw new CertificateExpiredException(
          name(certificate) + ": ended at " + ends + ", and this node's clock says " + at);
    }
  }

  private static void forClients(X509Certificate leaf) throws CertificateException {
    boolean[] usage = leaf.getKeyUsage();
    if (usage != null && !usage[DIGITAL_SIGNATURE]) {
      throw new CertificateException(name(leaf) + ": its keyUsage is without digitalSignature");
    }
    List<String> purposes = leaf.getExtendedKeyUsage();
    Predicate<String> ours = purpose -> purpose.equals(CLIENT_AUTH) || purpose.equals(ANY_PURPOSE);
    if (purposes != null && purposes.stream().noneMatch(ours)) {
      throw new CertificateException(name(leaf) + ": its extendedKeyUsage is without clientAuth");
    }
  }

  private static String name(X509Certificate certificate) {
    return ForwardedCertificate.text(certificate.getSubjectX500Principal());
  }

  private final class InHandshake implements X509TrustManager {
    @Override
    public void checkClientTrusted(X509Certificate[] chain, String authType)
        throws CertificateException {
      if (required()) {
        check(List.of(chain), Instant.now());
      }
    }

    @Override
    public void checkServerTrusted(X509Certificate[] chain, String authType)
        throws CertificateException {
      throw new CertificateException("this side is the server");
    }

    /** Told to clients, so that one with several certificates can choose. */
    @Override
    public X509Certificate[] getAcceptedIssuers() {
      return authorities.toArray(X509Certificate[]::new);
    }
  }
}
