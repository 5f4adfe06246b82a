// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.route;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.util.Arrays;
import java.util.Base64;
import java.util.Optional;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/**
 * Makes and reads the tokens that name a session's backend. A token says which backend only to who
 * has the key: what stands for the backend is a keyed hash of its address, so that no address can
 * be read or guessed from it; and when the session began and was last used, which nobody can
 * change, since all of it is under a message authentication code (HMAC-SHA-256, 96 bits of it, for
 * both). Where a session belongs is hashed in: a token of one rule is none of another.
 */
public final class SessionKey {

  /** Bytes of a secret. */
  public static final int SECRET_BYTES = 32;

  private static final String ALGORITHM = "HmacSHA256";
  private static final int HASH_BYTES = 12;
  private static final int TIMES_BYTES = 12;
  private static final int TAG_CHARS = HASH_BYTES * 4 / 3;
  private static final int TOKEN_CHARS = (HASH_BYTES + TIMES_BYTES + HASH_BYTES) * 4 / 3;

  private final SecretKeySpec key;

  /**
   * Of a secret.
   *
   * @param secret {@value #SECRET_BYTES} random bytes; copied
   */
  public SessionKey(byte[] secret) {
    if (secret.length != SECRET_BYTES) {
      throw new IllegalArgumentException(
          "secret: " + secret.length + " bytes (expected: " + SECRET_BYTES + ")");
    }
    this.key = new SecretKeySpec(secret, ALGORITHM);
  }

  /**
   * A session as a token tells it.
   *
   * @param tag stands for the backend
   * @param begunMillis since 1970
   * @param usedMillis since 1970, when the token was made
   */
  public record Session(String tag, long begunMillis, long usedMillis) {}

  /**
   * What stands for a backend in tokens.
   *
   * @param scope where the session belongs
   * @param backend address and port
   */
  public String tag(String scope, String backend) {
    return encode(hash("backend\0" + scope + "\0" + backend));
  }

  /** Of a session. */
  public String token(String scope, Session session) {
    byte[] times =
        ByteBuffer.allocate(TIMES_BYTES)
            .putShort((short) (session.begunMillis >>> 32))
            .putInt((int) session.begunMillis)
            .putShort((short) (session.usedMillis >>> 32))
            .putInt((int) session.usedMillis)
            .array();
    String said = session.tag + encode(times);
    return said + encode(hash("token\0" + scope + "\0" + said));
  }

  /** What a token tells; empty when this key did not make it for this scope. */
  public Optional<Session> open(String scope, String token) {
    if (token.length() != TOKEN_CHARS) {
      return Optional.empty();
    }
    String said = token.substring(0, TOKEN_CHARS - TAG_CHARS);
    byte[] expected =
        encode(hash("token\0" + scope + "\0" + said)).getBytes(StandardCharsets.ISO_8859_1);
    byte[] found = token.substring(TOKEN_CHARS - TAG_CHARS).getBytes(StandardCharsets.ISO_8859_1);
    if (!MessageDigest.isEqual(expected, found)) {
      return Optional.empty();
    }
    ByteBuffer times = ByteBuffer.wrap(Base64.getUrlDecoder().decode(said.substring(TAG_CHARS)));
    return Optional.of(new Session(said.substring(0, TAG_CHARS), millis(times), millis(times)));
  }

  private static long millis(ByteBuffer times) {
    return (times.getShort() & 0xffffL) << 32 | times.getInt() & 0xffffffffL;
  }

  private static String encode(byte[] bytes) {
    return Base64.getUrlEncoder().withoutPadding().encodeToString(bytes);
  }

  private byte[] hash(String text) {
    try {
      Mac mac = Mac.getInstance(ALGORITHM);
      mac.init(key);
      return Arrays.copyOf(mac.doFinal(text.getBytes(StandardCharsets.UTF_8)), HASH_BYTES);
    } catch (GeneralSecurityException e) {
      // Every Java runtime has it (java.security.Provider, standard names).
      throw new IllegalStateException(e);
    }
  }
}
