// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.plan;

import java.util.Optional;

/**
 * A block of addresses.
 *
 * @param address first address, canonical
 * @param length of the prefix in the canonical 128 bits, so an IPv4 /24 is 120
 */
public record Block(Address address, int length) {

  /** CIDR notation; bits behind the prefix are cut off, as the API does. */
  public static Optional<Block> parse(String text) {
    int slash = text.indexOf('/');
    if (slash < 0 || !text.substring(slash + 1).matches("0|[1-9][0-9]{0,2}")) {
      return Optional.empty();
    }
    Optional<Address> address = Address.parse(text.substring(0, slash));
    int length = Integer.parseInt(text.substring(slash + 1));
    if (address.isEmpty()) {
      return Optional.empty();
    }
    boolean v4 = address.get().isV4() && !text.contains(":");
    if (length > (v4 ? 32 : 128)) {
      return Optional.empty();
    }
    int canonical = v4 ? length + 96 : length;
    return Optional.of(new Block(address.get().prefix(canonical), canonical));
  }

  /** Whether an address lies in it. An IPv6 block, however large, holds no IPv4 address. */
  public boolean contains(Address other) {
    return (length >= 96 || !other.isV4()) && other.prefix(length).equals(address);
  }

  /** Whether all of another block lies in it. */
  public boolean contains(Block other) {
    return other.length >= length && contains(other.address);
  }

  /** CIDR notation of the block's family. */
  @Override
  public String toString() {
    return address + "/" + (address.isV4() && length >= 96 ? length - 96 : length);
  }
}
