// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.identity;

import java.io.ByteArrayInputStream;
import java.nio.charset.StandardCharsets;
import java.security.InvalidKeyException;
import java.security.KeyFactory;
import java.security.NoSuchAlgorithmException;
import java.security.PrivateKey;
import java.security.cert.CertificateException;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.spec.InvalidKeySpecException;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;

/**
 * Certificates and a key in one file (RFC 7468). Whatever is wrong with it, no message quotes it:
 * it may hold a key.
 */
final class Pem {

  private static final byte[] BEGIN = ascii("-----BEGIN ");
  private static final byte[] END = ascii("-----END ");
  private static final String CERTIFICATE = "CERTIFICATE";
  private static final String KEY = "PRIVATE KEY";

  private Pem() {}

  /** All certificates, in order. */
  static List<X509Certificate> certificates(byte[] file) throws CertificateException {
    List<X509Certificate> certificates = new ArrayList<>();
    CertificateFactory factory = CertificateFactory.getInstance("X.509");
    for (int at = block(file, CERTIFICATE, 0); at >= 0; at = block(file, CERTIFICATE, at)) {
      byte[] der = content(file, at);
      try {
        certificates.add(
            (X509Certificate) factory.generateCertificate(new ByteArrayInputStream(der)));
      } catch (CertificateException e) {
        throw new CertificateException("a certificate in it cannot be read");
      }
    }
    return certificates;
  }

  /**
   * The one key.
   *
   * @throws InvalidKeyException when there is none, or none that can be read
   */
  static PrivateKey key(byte[] file) throws InvalidKeyException {
    int at = block(file, KEY, 0);
    if (at < 0) {
      throw new InvalidKeyException("there is no PRIVATE KEY (PKCS#8, not encrypted) in it");
    }
    byte[] der = content(file, at);
    try {
      for (String algorithm : List.of("EC", "RSA", "Ed25519")) {
        try {
          return KeyFactory.getInstance(algorithm).generatePrivate(new PKCS8EncodedKeySpec(der));
        } catch (InvalidKeySpecException e) {
          // It is of another algorithm, or of none: see below.
        }
      }
    } catch (NoSuchAlgorithmException e) {
      throw new InvalidKeyException("this JDK lacks an algorithm");
    } finally {
      Arrays.fill(der, (byte) 0);
    }
    throw new InvalidKeyException("the key in it is no EC, RSA or Ed25519 key in PKCS#8");
  }

  /** Behind the first line of the next block of a type; -1 when there is none. */
  private static int block(byte[] file, String type, int from) {
    byte[] label = ascii(type + "-----");
    for (int i = from; i + BEGIN.length + label.length <= file.length; i++) {
      if (is(file, i, BEGIN) && is(file, i + BEGIN.length, label)) {
        return i + BEGIN.length + label.length;
      }
    }
    return -1;
  }

  /** The bytes between here and the end of the block. */
  private static byte[] content(byte[] file, int from) {
    int to = from;
    while (to < file.length && !is(file, to, END)) {
      to++;
    }
    byte[] text = Arrays.copyOfRange(file, from, to);
    try {
      return Base64.getMimeDecoder().decode(text);
    } catch (IllegalArgumentException e) {
      return new byte[0]; // Which is no certificate and no key.
    } finally {
      Arrays.fill(text, (byte) 0);
    }
  }

  private static boolean is(byte[] file, int at, byte[] what) {
    return at + what.length <= file.length
        && Arrays.equals(file, at, at + what.length, what, 0, what.length);
  }

  private static byte[] ascii(String text) {
    return text.getBytes(StandardCharsets.US_ASCII);
  }
}
