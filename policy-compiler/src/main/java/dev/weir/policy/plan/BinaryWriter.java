// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.plan;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.zip.CRC32C;

/**
 * Writes the primitives of the plan's binary form: variable-length numbers (7 bits a byte, lowest
 * first), UTF-8 text and lists with a length before them, and at the end the CRC-32C (RFC 3720,
 * appendix B.4) of all of it, highest byte first. It is there for files cut short and bits turned,
 * not for whoever may write the file, who could write any plan; and it is computed at memory speed,
 * which a cryptographic digest is not in code that has just started.
 */
final class BinaryWriter {

  static final int CHECKSUM_BYTES = 4;

  private byte[] bytes = new byte[1 << 12];
  private int size;

  private void reserve(int more) {
    if (bytes.length - size < more) {
      bytes = Arrays.copyOf(bytes, Math.max(bytes.length * 2, Math.addExact(size, more)));
    }
  }

  void u8(int value) {
    reserve(1);
    bytes[size++] = (byte) value;
  }

  void u64(long value) {
    reserve(8);
    for (int shift = 56; shift >= 0; shift -= 8) {
      bytes[size++] = (byte) (value >>> shift);
    }
  }

  void bool(boolean value) {
    u8(value ? 1 : 0);
  }

  /** A number that is not negative. */
  void number(long value) {
    if (value < 0) {
      throw new IllegalArgumentException("number: " + value + " (expected: >= 0)");
    }
    long rest = value;
    while (rest > 0x7f) {
      u8((int) rest & 0x7f | 0x80);
      rest >>>= 7;
    }
    u8((int) rest);
  }

  void raw(byte[] value) {
    reserve(value.length);
    System.arraycopy(value, 0, bytes, size, value.length);
    size += value.length;
  }

  void blob(byte[] value) {
    number(value.length);
    raw(value);
  }

  void text(String value) {
    blob(value.getBytes(StandardCharsets.UTF_8));
  }

  void ordinal(Enum<?> value) {
    u8(value.ordinal());
  }

  void address(Address value) {
    u64(value.high());
    u64(value.low());
  }

  <T> void list(List<T> values, Consumer<T> each) {
    number(values.size());
    values.forEach(each);
  }

  void numbers(List<Integer> values) {
    list(values, v -> number(v));
  }

  <T> void optional(Optional<T> value, Consumer<T> each) {
    bool(value.isPresent());
    value.ifPresent(each);
  }

  /** Everything written, with its checksum behind it. */
  byte[] finish() {
    int checksum = checksum(bytes, size);
    for (int shift = 24; shift >= 0; shift -= 8) {
      u8(checksum >>> shift);
    }
    return Arrays.copyOf(bytes, size);
  }

  /** Of the first {@code size} bytes. */
  static int checksum(byte[] bytes, int size) {
    CRC32C checksum = new CRC32C();
    checksum.update(bytes, 0, size);
    return (int) checksum.getValue();
  }
}
