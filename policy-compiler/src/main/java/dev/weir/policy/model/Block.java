// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import dev.weir.policy.plan.Address;

/**
 * A block of addresses.
 *
 * @param address first address, canonical
 * @param length of the prefix in the canonical 128 bits, so an IPv4 /24 is 120
 */
public record Block(Address address, int length) {

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
