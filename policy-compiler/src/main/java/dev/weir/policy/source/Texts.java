// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.source;

import java.nio.charset.StandardCharsets;

/**
 * Strings that were met before: in manifests the same words come again and again. Keeps at most
 * {@value #SIZE}; a newer word takes the place of an older one. Not for several threads.
 */
public final class Texts {

  private static final int SIZE = 1 << 12;
  private static final int LONGEST = 64;

  private final String[] known = new String[SIZE];

  /** An empty one. */
  public Texts() {
    java.util.Arrays.fill(known, "");
  }

  /** The string of these bytes, which are ASCII. */
  String of(byte[] bytes, int from, int to) {
    int length = to - from;
    if (length > LONGEST) {
      return new String(bytes, from, length, StandardCharsets.ISO_8859_1);
    }
    int hash = length;
    for (int i = from; i < to; i++) {
      hash = hash * 31 + bytes[i];
    }
    int at = (hash ^ hash >>> 12 ^ hash >>> 24) & SIZE - 1;
    String found = known[at];
    if (found.length() == length && same(found, bytes, from)) {
      return found;
    }
    String text = new String(bytes, from, length, StandardCharsets.ISO_8859_1);
    known[at] = text;
    return text;
  }

  private static boolean same(String text, byte[] bytes, int from) {
    for (int i = 0; i < text.length(); i++) {
      if (text.charAt(i) != bytes[from + i]) {
        return false;
      }
    }
    return true;
  }
}
