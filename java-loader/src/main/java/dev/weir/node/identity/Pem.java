// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.identity;

import dev.weir.node.kernel.NodeException;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.security.cert.CertificateEncodingException;
import java.security.cert.CertificateException;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import java.util.Optional;

/**
 * Certificates and an unencrypted PKCS#8 key as RFC 7468 writes them. Keys pass through arrays that
 * are emptied afterwards, and through no String.
 */
final class Pem {

  private static final String CERTIFICATE = "CERTIFICATE";
  private static final String KEY = "PRIVATE KEY";
  private static final byte[] BEGIN = ascii("-----BEGIN ");
  private static final byte[] DASHES = ascii("-----");
  private static final int LONGEST_LABEL = 64;
  private static final Base64.Encoder LINES = Base64.getMimeEncoder(64, new byte[] {'\n'});

  private final List<X509Certificate> certificates = new ArrayList<>();
  private byte[] key = new byte[0];

  private Pem() {}

  /**
   * Reads a file's bytes, which are emptied.
   *
   * @param file named in errors
   * @throws NodeException when they are not certificates and at most one PKCS#8 key
   */
  static Pem parse(Path file, byte[] bytes) {
    Pem pem = new Pem();
    try {
      pem.read(file, bytes);
      return pem;
    } catch (NodeException e) {
      pem.forgetKey();
      throw e;
    } finally {
      Arrays.fill(bytes, (byte) 0);
    }
  }

  private void read(Path file, byte[] bytes) {
    for (int at = indexOf(bytes, BEGIN, 0); at >= 0; at = indexOf(bytes, BEGIN, at + 1)) {
      int label = at + BEGIN.length;
      int dashes = indexOf(bytes, DASHES, label);
      if (dashes < 0 || dashes - label > LONGEST_LABEL) {
        throw new NodeException(file + ": not PEM: a -----BEGIN line does not end");
      }
      String name = new String(bytes, label, dashes - label, StandardCharsets.US_ASCII);
      int body = dashes + DASHES.length;
      int end = indexOf(bytes, ascii("-----END " + name + "-----"), body);
      if (end < 0) {
        throw new NodeException(file + ": cut short: -----END " + name + "----- is missing");
      }
      switch (name) {
        case CERTIFICATE -> certificates.add(certificate(file, decode(file, bytes, body, end)));
        case KEY -> {
          if (key.length > 0) {
            throw new NodeException(file + ": more than one private key; leave the one that signs");
          }
          key = decode(file, bytes, body, end);
        }
        case "EC PARAMETERS" -> {} // openssl ecparam writes them before the key, which has its own
        default ->
            throw new NodeException(
                file
                    + ": has a \""
                    + name
                    + "\"; expected are certificates and an unencrypted PKCS#8 key (convert it:"
                    + " openssl pkcs8 -topk8 -nocrypt -in OLD -out NEW)");
      }
    }
  }

  private static byte[] decode(Path file, byte[] bytes, int from, int to) {
    byte[] base64 = Arrays.copyOfRange(bytes, from, to);
    try {
      return Base64.getMimeDecoder().decode(base64);
    } catch (IllegalArgumentException e) {
      throw new NodeException(file + ": not PEM: what is between the dashes is not base64");
    } finally {
      Arrays.fill(base64, (byte) 0);
    }
  }

  private static X509Certificate certificate(Path file, byte[] der) {
    try {
      return (X509Certificate)
          CertificateFactory.getInstance("X.509")
              .generateCertificate(new ByteArrayInputStream(der));
    } catch (CertificateException e) {
      throw new NodeException(file + ": holds a certificate that cannot be read: " + e, e);
    }
  }

  /** The certificates, in the order of the file. */
  List<X509Certificate> certificates() {
    return List.copyOf(certificates);
  }

  /** The key's PKCS#8 bytes themselves, for {@link #forgetKey} to empty; empty when none. */
  Optional<byte[]> key() {
    return key.length == 0 ? Optional.empty() : Optional.of(key);
  }

  /** Empties the key. */
  void forgetKey() {
    Arrays.fill(key, (byte) 0);
    key = new byte[0];
  }

  /** Certificates as a file's bytes. */
  static byte[] encode(List<X509Certificate> certificates) {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    for (X509Certificate certificate : certificates) {
      try {
        out.writeBytes(block(CERTIFICATE, certificate.getEncoded()));
      } catch (CertificateEncodingException e) {
        throw new IllegalStateException("a certificate that was read has no encoding", e);
      }
    }
    return out.toByteArray();
  }

  /**
   * Certificates and a key behind them as a file's bytes, which the caller empties.
   *
   * @param key PKCS#8, emptied
   */
  static byte[] encode(List<X509Certificate> certificates, byte[] key) {
    byte[] first = encode(certificates);
    byte[] block = block(KEY, key);
    byte[] all = Arrays.copyOf(first, first.length + block.length);
    System.arraycopy(block, 0, all, first.length, block.length);
    Arrays.fill(block, (byte) 0);
    Arrays.fill(key, (byte) 0);
    return all;
  }

  private static byte[] block(String label, byte[] der) {
    byte[] base64 = LINES.encode(der);
    byte[] begin = ascii("-----BEGIN " + label + "-----\n");
    byte[] end = ascii("\n-----END " + label + "-----\n");
    byte[] block = Arrays.copyOf(begin, begin.length + base64.length + end.length);
    System.arraycopy(base64, 0, block, begin.length, base64.length);
    System.arraycopy(end, 0, block, begin.length + base64.length, end.length);
    Arrays.fill(base64, (byte) 0);
    return block;
  }

  private static int indexOf(byte[] bytes, byte[] wanted, int from) {
    for (int i = from; i <= bytes.length - wanted.length; i++) {
      if (Arrays.equals(bytes, i, i + wanted.length, wanted, 0, wanted.length)) {
        return i;
      }
    }
    return -1;
  }

  private static byte[] ascii(String text) {
    return text.getBytes(StandardCharsets.US_ASCII);
  }
}
