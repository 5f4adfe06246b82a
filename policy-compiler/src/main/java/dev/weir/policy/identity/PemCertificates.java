// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.identity;

import java.io.ByteArrayInputStream;
import java.security.cert.CertificateException;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;

/**
 * Certificates in PEM (RFC 7468); what stands around its blocks, and other blocks, is no matter.
 */
public final class PemCertificates {

  private static final String BEGIN = "-----BEGIN CERTIFICATE-----";
  private static final String END = "-----END CERTIFICATE-----";

  private PemCertificates() {}

  /**
   * All certificates of a text, in its order.
   *
   * @throws CertificateException when a block has no end or is no certificate; the message says
   *     which one it is and never quotes it
   */
  public static List<X509Certificate> read(String pem) throws CertificateException {
    List<X509Certificate> certificates = new ArrayList<>();
    CertificateFactory factory = CertificateFactory.getInstance("X.509");
    for (int from = pem.indexOf(BEGIN); from >= 0; from = pem.indexOf(BEGIN, from)) {
      int number = certificates.size() + 1;
      int content = from + BEGIN.length();
      int to = pem.indexOf(END, content);
      if (to < 0) {
        throw new CertificateException("certificate " + number + " has no END");
      }
      try {
        byte[] der = Base64.getMimeDecoder().decode(pem.substring(content, to));
        certificates.add(
            (X509Certificate) factory.generateCertificate(new ByteArrayInputStream(der)));
      } catch (IllegalArgumentException | CertificateException e) {
        throw new CertificateException("certificate " + number + " cannot be read", e);
      }
      from = to + END.length();
    }
    return List.copyOf(certificates);
  }
}
