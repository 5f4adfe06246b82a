// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.bpf;

import java.nio.ByteBuffer;
import java.util.Map;
import java.util.Optional;

/**
 * A structure as the C compiler laid it out.
 *
 * @param name of the structure
 * @param size bytes
 * @param fields by name
 */
public record StructLayout(String name, int size, Map<String, Field> fields) {

  /** Copies the map. */
  public StructLayout {
    fields = Map.copyOf(fields);
  }

  /**
   * A field that must be there and have this width.
   *
   * @param field its name
   * @param width bytes
   * @throws BpfException when it is missing or has another width
   */
  public Field field(String field, int width) {
    Field found =
        Optional.ofNullable(fields.get(field)).orElseThrow(() -> mismatch("has no field " + field));
    if (found.width() != width) {
      throw mismatch(
          "has a field " + field + " of " + found.width() + " bytes (expected: " + width + ")");
    }
    return found;
  }

  private BpfException mismatch(String what) {
    return new BpfException(
        "struct "
            + name
            + " "
            + what
            + ": the compiled programs and this loader are of different versions; build or install"
            + " both from one source");
  }

  /** Zeroed memory for some of these. */
  public ByteBuffer allocate(int count) {
    return BpfMap.newBuffer(Math.multiplyExact(size, count));
  }

  /**
   * One field.
   *
   * @param name {@code structure.field}, for messages
   * @param offset bytes from the structure's start
   * @param width bytes
   */
  public record Field(String name, int offset, int width) {

    /** Writes an unsigned number of this field's width, in the buffer's byte order. */
    public void put(ByteBuffer buffer, int base, long value) {
      if (width < Long.BYTES && value >>> 8 * width != 0) {
        throw new IllegalArgumentException(
            name + ": " + value + " (expected: 0.." + ((1L << 8 * width) - 1) + ")");
      }
      switch (width) {
        case 1 -> buffer.put(base + offset, (byte) value);
        case 2 -> buffer.putShort(base + offset, (short) value);
        case 4 -> buffer.putInt(base + offset, (int) value);
        case 8 -> buffer.putLong(base + offset, value);
        default -> throw new IllegalArgumentException(name + " is no number");
      }
    }

    /** Reads an unsigned number of this field's width, in the buffer's byte order. */
    public long get(ByteBuffer buffer, int base) {
      return switch (width) {
        case 1 -> Byte.toUnsignedLong(buffer.get(base + offset));
        case 2 -> Short.toUnsignedLong(buffer.getShort(base + offset));
        case 4 -> Integer.toUnsignedLong(buffer.getInt(base + offset));
        case 8 -> buffer.getLong(base + offset);
        default -> throw new IllegalArgumentException(name + " is no number");
      };
    }

    /** As {@link #get}, for fields that fit. */
    public int getInt(ByteBuffer buffer, int base) {
      return (int) get(buffer, base);
    }

    /** Writes bytes from the field's start; the rest of it is left as it is. */
    public void put(ByteBuffer buffer, int base, byte[] bytes) {
      if (bytes.length > width) {
        throw new IllegalArgumentException(
            name + ": " + bytes.length + " bytes (expected: at most " + width + ")");
      }
      buffer.put(base + offset, bytes);
    }

    /** Reads all bytes of the field. */
    public byte[] bytes(ByteBuffer buffer, int base) {
      byte[] bytes = new byte[width];
      buffer.get(base + offset, bytes);
      return bytes;
    }
  }
}
