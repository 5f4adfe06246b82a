// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.http;

import io.netty.handler.codec.http.HttpHeaders;
import io.netty.util.AsciiString;
import java.nio.charset.StandardCharsets;
import java.util.Iterator;
import java.util.SplittableRandom;

/** Values of {@code x-request-id}: kept when well-formed, else a new UUID (RFC 9562 5.4). */
final class RequestIds {

  private static final byte[] HEX = "0123456789abcdef".getBytes(StandardCharsets.US_ASCII);

  static final AsciiString X_REQUEST_ID = AsciiString.cached("x-request-id");

  private RequestIds() {}

  /** Sees to it that a request has one, and only one. */
  static void pass(HttpHeaders headers, SplittableRandom random) {
    Iterator<? extends CharSequence> sent = headers.valueCharSequenceIterator(X_REQUEST_ID);
    if (!sent.hasNext() || !wellFormed(sent.next()) || sent.hasNext()) {
      headers.set(X_REQUEST_ID, next(random));
    }
  }

  /** 1 to 128 letters, digits, {@code - _ . : = + /}. */
  static boolean wellFormed(CharSequence id) {
    if (id.length() == 0 || id.length() > 128) {
      return false;
    }
    for (int i = 0; i < id.length(); i++) {
      char c = id.charAt(i);
      if (!(c >= 'a' && c <= 'z'
          || c >= 'A' && c <= 'Z'
          || c >= '0' && c <= '9'
          || "-_.:=+/".indexOf(c) >= 0)) {
        return false;
      }
    }
    return true;
  }

  /** A new one. It identifies, it does not protect: no secure random numbers are spent on it. */
  static AsciiString next(SplittableRandom random) {
    long high = random.nextLong() & ~0xf000L | 0x4000L;
    long low = random.nextLong() & ~(3L << 62) | 2L << 62;
    byte[] text = new byte[36];
    int at = 0;
    for (int nibble = 0; nibble < 32; nibble++) {
      if (nibble == 8 || nibble == 12 || nibble == 16 || nibble == 20) {
        text[at++] = '-';
      }
      long half = nibble < 16 ? high : low;
      text[at++] = HEX[(int) (half >>> 60 - 4 * (nibble & 15)) & 15];
    }
    return new AsciiString(text, false);
  }
}
