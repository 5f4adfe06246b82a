// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.plan;

import java.net.InetAddress;
import java.util.Arrays;
import java.util.Optional;
import java.util.regex.Pattern;

/**
 * An IP address in the one canonical form: 16 bytes, IPv4 as {@code ::ffff:a.b.c.d} (RFC 4291
 * 2.5.5.2).
 *
 * @param high first 8 bytes, network order
 * @param low last 8 bytes, network order
 */
public record Address(long high, long low) implements Comparable<Address> {

  private static final long MAPPED = 0xffffL << 32;

  private static final Pattern V4 =
      Pattern.compile("(?:(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)(?:\\.(?!$)|$)){4}");
  private static final Pattern V6 = Pattern.compile("[0-9a-fA-F:.]{2,45}");

  /** IPv4 loopback, 127.0.0.1. */
  public static final Address LOOPBACK4 = ofV4(0x7f000001);

  /** IPv6 loopback, ::1. */
  public static final Address LOOPBACK6 = new Address(0, 1);

  /** The canonical form of an IPv4 address given as a number in network order. */
  public static Address ofV4(int address) {
    return new Address(0, MAPPED | Integer.toUnsignedLong(address));
  }

  /**
   * The canonical form of 4 or 16 bytes.
   *
   * @throws IllegalArgumentException for any other length
   */
  public static Address of(byte[] bytes) {
    return switch (bytes.length) {
      case 4 -> ofV4((int) word(bytes, 0, 4));
      case 16 -> new Address(word(bytes, 0, 8), word(bytes, 8, 8));
      default ->
          throw new IllegalArgumentException(
              "address length: " + bytes.length + " (expected: 4 or 16)");
    };
  }

  private static long word(byte[] bytes, int offset, int length) {
    long word = 0;
    for (byte b : Arrays.copyOfRange(bytes, offset, offset + length)) {
      word = word << 8 | b & 0xff;
    }
    return word;
  }

  /**
   * The address that a text stands for: dotted quad without leading zeros, or RFC 4291 text without
   * a zone. Never asks a name service.
   */
  public static Optional<Address> parse(String text) {
    if (!(V4.matcher(text).matches() || text.contains(":") && V6.matcher(text).matches())) {
      return Optional.empty();
    }
    try {
      return Optional.of(of(InetAddress.ofLiteral(text).getAddress()));
    } catch (IllegalArgumentException e) {
      return Optional.empty();
    }
  }

  /** Whether this is an IPv4 address. */
  public boolean isV4() {
    return high == 0 && low >>> 32 == 0xffff;
  }

  /** Whether this is in 127.0.0.0/8 or is ::1. */
  public boolean isLoopback() {
    return isV4() ? (low >>> 24 & 0xff) == 127 : equals(LOOPBACK6);
  }

  /**
   * The first address of the block of this length that contains this one.
   *
   * @param length 0 to 128, of the canonical form
   */
  public Address prefix(int length) {
    return new Address(
        length >= 64 ? high : length == 0 ? 0 : high & -1L << 64 - length,
        length == 128 ? low : length <= 64 ? 0 : low & -1L << 128 - length);
  }

  /** The 16 canonical bytes. */
  public byte[] bytes() {
    byte[] bytes = new byte[16];
    for (int i = 0; i < 8; i++) {
      bytes[i] = (byte) (high >>> 56 - 8 * i);
      bytes[8 + i] = (byte) (low >>> 56 - 8 * i);
    }
    return bytes;
  }

  @Override
  public int compareTo(Address other) {
    int byHigh = Long.compareUnsigned(high, other.high);
    return byHigh != 0 ? byHigh : Long.compareUnsigned(low, other.low);
  }

  /** Dotted quad for IPv4, RFC 5952 text for IPv6. */
  @Override
  public String toString() {
    if (isV4()) {
      return (low >>> 24 & 0xff)
          + "."
          + (low >>> 16 & 0xff)
          + "."
          + (low >>> 8 & 0xff)
          + "."
          + (low & 0xff);
    }
    return v6Text();
  }

  private String v6Text() {
    int[] groups = new int[8];
    for (int i = 0; i < 4; i++) {
      groups[i] = (int) (high >>> 48 - 16 * i) & 0xffff;
      groups[4 + i] = (int) (low >>> 48 - 16 * i) & 0xffff;
    }
    int zerosAt = -1;
    int zeros = 1;
    for (int i = 0; i < 8; i++) {
      int run = 0;
      while (i + run < 8 && groups[i + run] == 0) {
        run++;
      }
      if (run > zeros) {
        zerosAt = i;
        zeros = run;
      }
    }
    StringBuilder text = new StringBuilder();
    for (int i = 0; i < 8; i++) {
      if (i == zerosAt) {
        text.append("::");
        i += zeros - 1;
      } else {
        if (!text.isEmpty() && text.charAt(text.length() - 1) != ':') {
          text.append(':');
        }
        text.append(Integer.toHexString(groups[i]));
      }
    }
    return text.toString();
  }
}
