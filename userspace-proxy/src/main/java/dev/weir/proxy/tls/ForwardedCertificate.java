// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.tls;

import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.security.cert.CertificateEncodingException;
import java.security.cert.CertificateParsingException;
import java.security.cert.X509Certificate;
import java.util.Collection;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import javax.security.auth.x500.X500Principal;

/**
 * A client's certificate as {@code x-forwarded-client-cert} tells it to backends: Envoy's format,
 * with {@code By}, {@code Hash}, {@code Subject}, {@code URI} and {@code DNS}. Whatever stands in
 * the certificate, the text is printable ASCII and has no more elements and pairs than that.
 */
public final class ForwardedCertificate {

  /** Longer ones are told by their hash alone: backends refuse long headers. */
  static final int MAX_LENGTH = 4096;

  // RFC 5280 4.2.1.6.
  private static final int DNS_NAME = 2;
  private static final int URI = 6;

  private static final Map<String, String> KEYWORDS =
      Map.of("1.2.840.113549.1.9.1", "emailAddress");

  private ForwardedCertificate() {}

  /**
   * The value of the header.
   *
   * @param by SPIFFE ID of whoever it was shown to, with its scheme
   * @param leaf what was shown
   */
  public static String value(Optional<String> by, X509Certificate leaf) {
    return value(
        by, hash(leaf), leaf.getSubjectX500Principal(), names(leaf, URI), names(leaf, DNS_NAME));
  }

  static String value(
      Optional<String> by,
      String hash,
      X500Principal subject,
      List<String> uris,
      List<String> dnsNames) {
    StringBuilder text = new StringBuilder(256);
    by.ifPresent(id -> text.append("By=").append(quoted(id)).append(';'));
    text.append("Hash=").append(hash);
    int least = text.length();
    text.append(";Subject=\"").append(text(subject)).append('"');
    if (uris.isEmpty()) {
      text.append(";URI=");
    }
    uris.forEach(uri -> text.append(";URI=").append(quoted(uri)));
    dnsNames.forEach(name -> text.append(";DNS=").append(quoted(name)));
    if (text.length() > MAX_LENGTH) {
      text.setLength(least);
    }
    return text.toString();
  }

  /**
   * The subject as RFC 2253 writes it, where a backslash stands before what means something there;
   * so there is no bare quotation mark in it. What is not printable ASCII is written as its bytes
   * in hexadecimal.
   */
  static String text(X500Principal subject) {
    String name = subject.getName(X500Principal.RFC2253, KEYWORDS);
    StringBuilder text = new StringBuilder(name.length() + 16);
    // Of readers some take a backslash before a quotation mark for an escape and no other one: two
    // backslashes at the end would have no end for them.
    name.replace("\\\\", "\\5C")
        .codePoints()
        .forEach(
            c -> {
              if (c >= ' ' && c < 0x7f) {
                text.append((char) c);
              } else {
                for (byte b : Character.toString(c).getBytes(StandardCharsets.UTF_8)) {
                  text.append('\\').append(HEX.toHexDigits(b));
                }
              }
            });
    return text.toString();
  }

  private static final HexFormat HEX = HexFormat.of().withUpperCase();

  /** Plain if it can be; else within quotation marks, of which there are none within it. */
  private static String quoted(String value) {
    StringBuilder text = new StringBuilder(value.length() + 16);
    boolean plain = true;
    for (byte b : value.getBytes(StandardCharsets.UTF_8)) {
      char c = (char) (b & 0xff);
      if (c <= ' ' || c >= 0x7f || c == '"' || c == '\\') {
        text.append('%').append(HEX.toHexDigits(b));
      } else {
        plain &= c != ',' && c != ';' && c != '=';
        text.append(c);
      }
    }
    return plain ? text.toString() : '"' + text.toString() + '"';
  }

  private static List<String> names(X509Certificate leaf, int kind) {
    try {
      Collection<List<?>> names = leaf.getSubjectAlternativeNames();
      return names == null
          ? List.of()
          : names.stream()
              .filter(name -> name.get(0) instanceof Integer type && type == kind)
              .map(name -> String.valueOf(name.get(1)))
              .toList();
    } catch (CertificateParsingException e) {
      return List.of(); // What cannot be read is nobody's name.
    }
  }

  private static String hash(X509Certificate leaf) {
    try {
      return HexFormat.of()
          .formatHex(MessageDigest.getInstance("SHA-256").digest(leaf.getEncoded()));
    } catch (NoSuchAlgorithmException | CertificateEncodingException e) {
      throw new IllegalStateException("a certificate that was read has a SHA-256", e);
    }
  }
}
