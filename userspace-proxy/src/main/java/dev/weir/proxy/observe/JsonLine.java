// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.observe;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/**
 * One JSON object on one line (RFC 8259), written field by field into bytes that are used again.
 * Texts are escaped as far as JSON demands it; what is beyond ASCII is UTF-8.
 */
final class JsonLine {

  /** Characters of one text; what is longer is cut, and says so by its end. */
  static final int MOST_CHARACTERS = 2048;

  private static final byte[] HEX = "0123456789abcdef".getBytes(StandardCharsets.US_ASCII);

  private byte[] bytes = new byte[1024];
  private int length;
  private boolean first;

  /** Begins another object. */
  JsonLine begin() {
    length = 0;
    first = true;
    add('{');
    return this;
  }

  /** Ends it, with its line. */
  void end() {
    add('}');
    add('\n');
  }

  byte[] bytes() {
    return bytes;
  }

  int length() {
    return length;
  }

  /** A text; {@code null} where it is empty. */
  JsonLine text(String name, CharSequence value) {
    name(name);
    if (value.length() == 0) {
      ascii("null");
      return this;
    }
    add('"');
    int end = Math.min(value.length(), MOST_CHARACTERS);
    for (int i = 0; i < end; i++) {
      i += character(value, i, end);
    }
    if (end < value.length()) {
      ascii("...");
    }
    add('"');
    return this;
  }

  /** A number. */
  JsonLine number(String name, long value) {
    name(name);
    ascii(Long.toString(value));
    return this;
  }

  private void name(String name) {
    if (!first) {
      add(',');
    }
    first = false;
    add('"');
    ascii(name);
    add('"');
    add(':');
  }

  /** Writes the character at a place, and says how many more it has taken. */
  private int character(CharSequence text, int at, int end) {
    char c = text.charAt(at);
    switch (c) {
      case '"' -> ascii("\\\"");
      case '\\' -> ascii("\\\\");
      case '\n' -> ascii("\\n");
      case '\r' -> ascii("\\r");
      case '\t' -> ascii("\\t");
      default -> {
        if (c >= ' ' && c < 0x7f) {
          add(c);
        } else if (c < ' ' || c == 0x7f) {
          escape(c);
        } else if (c < 0x800) {
          add(0xc0 | c >> 6);
          add(0x80 | c & 0x3f);
        } else if (!Character.isSurrogate(c)) {
          add(0xe0 | c >> 12);
          add(0x80 | c >> 6 & 0x3f);
          add(0x80 | c & 0x3f);
        } else if (Character.isHighSurrogate(c)
            && at + 1 < end
            && Character.isLowSurrogate(text.charAt(at + 1))) {
          int point = Character.toCodePoint(c, text.charAt(at + 1));
          add(0xf0 | point >> 18);
          add(0x80 | point >> 12 & 0x3f);
          add(0x80 | point >> 6 & 0x3f);
          add(0x80 | point & 0x3f);
          return 1;
        } else {
          // Half a pair is no character, and has no form in UTF-8.
          escape(c);
        }
      }
    }
    return 0;
  }

  private void escape(char c) {
    ascii("\\u");
    for (int shift = 12; shift >= 0; shift -= 4) {
      add(HEX[c >> shift & 15]);
    }
  }

  private void ascii(String text) {
    for (int i = 0; i < text.length(); i++) {
      add(text.charAt(i));
    }
  }

  private void add(int b) {
    if (length == bytes.length) {
      bytes = Arrays.copyOf(bytes, length * 2);
    }
    bytes[length++] = (byte) b;
  }
}
