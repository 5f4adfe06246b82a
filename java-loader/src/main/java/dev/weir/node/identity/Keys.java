// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.identity;

import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.security.PrivateKey;
import java.security.PublicKey;
import java.security.SecureRandom;
import java.security.Signature;
import java.security.interfaces.ECKey;
import java.security.interfaces.RSAKey;
import java.security.spec.ECGenParameterSpec;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.HexFormat;

/** Keys and signatures, by the JDK's own providers. */
final class Keys {

  /** NIST SP 800-57: below it, an RSA key is no protection any more. */
  private static final int SHORTEST_RSA = 2048;

  private static final int PROBE = 32;
  private static final int ID_LENGTH = 16;

  private Keys() {}

  /** A new key on P-256. */
  static KeyPair generate(SecureRandom random) {
    try {
      KeyPairGenerator generator = KeyPairGenerator.getInstance("EC");
      generator.initialize(new ECGenParameterSpec("secp256r1"), random);
      return generator.generateKeyPair();
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException("every JDK has P-256", e);
    }
  }

  /**
   * Reads a key.
   *
   * @param pkcs8 its bytes
   * @param of the public key that it should belong to
   * @throws GeneralSecurityException when it is of another kind, or does not belong to it
   */
  static PrivateKey read(byte[] pkcs8, PublicKey of, SecureRandom random)
      throws GeneralSecurityException {
    PrivateKey key =
        KeyFactory.getInstance(of.getAlgorithm()).generatePrivate(new PKCS8EncodedKeySpec(pkcs8));
    byte[] probe = new byte[PROBE];
    random.nextBytes(probe);
    Signature signature = Signature.getInstance(algorithm(of));
    signature.initSign(key);
    signature.update(probe);
    byte[] signed = signature.sign();
    signature.initVerify(of);
    signature.update(probe);
    if (!signature.verify(signed)) {
      throw new GeneralSecurityException("it is the key of another certificate");
    }
    return key;
  }

  /**
   * How to sign with a key of this kind.
   *
   * @throws GeneralSecurityException when peers could not verify it, or should not believe it
   */
  static String algorithm(PublicKey key) throws GeneralSecurityException {
    return switch (key) {
      case ECKey curve -> {
        int bits = curve.getParams().getCurve().getField().getFieldSize();
        yield bits <= 256 ? "SHA256withECDSA" : bits <= 384 ? "SHA384withECDSA" : "SHA512withECDSA";
      }
      case RSAKey rsa when rsa.getModulus().bitLength() < SHORTEST_RSA ->
          throw new GeneralSecurityException(
              "an RSA key of " + rsa.getModulus().bitLength() + " bits is too short (2048)");
      case RSAKey _ -> "SHA256withRSA";
      default ->
          throw new GeneralSecurityException(
              "a key of kind " + key.getAlgorithm() + " is not served (P-256, P-384, RSA)");
    };
  }

  /** What a key is called: the first 64 bits of the SHA-256 of its SubjectPublicKeyInfo, hex. */
  static String id(PublicKey key) {
    try {
      byte[] digest = MessageDigest.getInstance("SHA-256").digest(key.getEncoded());
      return HexFormat.of().formatHex(digest).substring(0, ID_LENGTH);
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("every JDK has SHA-256", e);
    }
  }
}
