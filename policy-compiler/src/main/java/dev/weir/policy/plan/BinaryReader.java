// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.plan;

import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CharsetDecoder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * Reads what {@link BinaryWriter} wrote, and trusts none of it: a length never exceeds what is left
 * to read, so that no input makes it reserve more memory than a small multiple of its own size.
 */
final class BinaryReader {

  /** Reads one element. */
  @FunctionalInterface
  interface Element<T> {
    T read() throws PlanFormatException;
  }

  private final byte[] bytes;
  private final int end;
  // Reports what is not UTF-8, as it is by default.
  private final CharsetDecoder utf8 = StandardCharsets.UTF_8.newDecoder();
  private final @Nullable String[] recent = new String[4096];
  private int at;

  private BinaryReader(byte[] bytes, int end) {
    this.bytes = bytes;
    this.end = end;
  }

  /**
   * Begins behind the magic word and the version.
   *
   * @throws PlanFormatException when magic word, version or checksum is not as expected
   */
  static BinaryReader open(byte[] bytes, byte[] magic, int version, String what)
      throws PlanFormatException {
    int header = magic.length + 2;
    if (bytes.length < header + BinaryWriter.CHECKSUM_BYTES
        || !Arrays.equals(bytes, 0, magic.length, magic, 0, magic.length)) {
      throw new PlanFormatException("not a " + what + " (" + bytes.length + " bytes)");
    }
    int found = (bytes[magic.length] & 0xff) << 8 | bytes[magic.length + 1] & 0xff;
    if (found != version) {
      throw new PlanFormatException(
          "a " + what + " of format " + found + "; this version reads format " + version);
    }
    int end = bytes.length - BinaryWriter.CHECKSUM_BYTES;
    int checksum = 0;
    for (int i = end; i < bytes.length; i++) {
      checksum = checksum << 8 | bytes[i] & 0xff;
    }
    if (checksum != BinaryWriter.checksum(bytes, end)) {
      throw new PlanFormatException(
          "the " + what + " is damaged or cut short: its checksum does not match its content");
    }
    BinaryReader reader = new BinaryReader(bytes, end);
    reader.at = header;
    return reader;
  }

  PlanFormatException bad(String what) {
    return new PlanFormatException(what + " at byte " + at);
  }

  private int claim(int count) throws PlanFormatException {
    if (count < 0 || count > end - at) {
      throw bad("cut short: " + count + " bytes wanted, " + (end - at) + " left,");
    }
    int from = at;
    at += count;
    return from;
  }

  int u8() throws PlanFormatException {
    return bytes[claim(1)] & 0xff;
  }

  long u64() throws PlanFormatException {
    int from = claim(8);
    long value = 0;
    for (int i = 0; i < 8; i++) {
      value = value << 8 | bytes[from + i] & 0xff;
    }
    return value;
  }

  boolean bool() throws PlanFormatException {
    int value = u8();
    if (value > 1) {
      throw bad("flag " + value);
    }
    return value == 1;
  }

  long number(long max) throws PlanFormatException {
    long value = 0;
    for (int shift = 0; shift < 63; shift += 7) {
      int b = u8();
      value |= (long) (b & 0x7f) << shift;
      if (b < 0x80) {
        if (b == 0 && shift > 0) {
          throw bad("a number longer than it need be");
        }
        if (value > max) {
          throw bad("number " + value + " (at most " + max + ")");
        }
        return value;
      }
    }
    throw bad("a number of more than 63 bits");
  }

  int integer(int max) throws PlanFormatException {
    return (int) number(max);
  }

  /** An index into a list of {@code size} elements. */
  int index(int size) throws PlanFormatException {
    return integer(size - 1);
  }

  byte[] blob() throws PlanFormatException {
    int length = integer(end - at);
    int from = claim(length);
    return Arrays.copyOfRange(bytes, from, from + length);
  }

  String text() throws PlanFormatException {
    int length = integer(end - at);
    int from = claim(length);
    try {
      return shared(utf8.decode(ByteBuffer.wrap(bytes, from, length)).toString());
    } catch (CharacterCodingException e) {
      throw bad("text that is not UTF-8");
    }
  }

  /**
   * Plans say the same names over and over: what was read lately is given again, not kept twice.
   */
  private String shared(String text) {
    int slot = text.hashCode() & recent.length - 1;
    String known = recent[slot];
    if (known != null && known.equals(text)) {
      return known;
    }
    recent[slot] = text;
    return text;
  }

  <E extends Enum<E>> E ordinal(E[] values) throws PlanFormatException {
    int ordinal = u8();
    if (ordinal >= values.length) {
      throw bad("choice " + ordinal + " of " + values.length);
    }
    return values[ordinal];
  }

  Address address() throws PlanFormatException {
    return new Address(u64(), u64());
  }

  <T> List<T> list(Element<T> element) throws PlanFormatException {
    // Every element takes at least one byte.
    int size = integer(end - at);
    List<T> values = new ArrayList<>(Math.min(size, 1 << 16));
    for (int i = 0; i < size; i++) {
      values.add(element.read());
    }
    return values;
  }

  <T> Optional<T> optional(Element<T> element) throws PlanFormatException {
    return bool() ? Optional.of(element.read()) : Optional.empty();
  }

  /** Nothing may be left over. */
  void finish() throws PlanFormatException {
    if (at != end) {
      throw bad((end - at) + " bytes too many");
    }
  }
}
