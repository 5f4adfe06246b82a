// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.rbac;

import dev.weir.policy.plan.Address;

/**
 * Addresses with a common prefix.
 *
 * @param address canonical, bits behind the prefix cut off
 * @param length of the prefix in the canonical 128 bits
 */
record IpRange(Address address, int length) {

  /**
   * Reads an address or CIDR notation.
   *
   * @throws IllegalArgumentException when it is neither
   */
  static IpRange of(String text) {
    int slash = text.indexOf('/');
    String host = slash < 0 ? text : text.substring(0, slash);
    Address address =
        Address.parse(host)
            .orElseThrow(() -> new IllegalArgumentException("address block: " + text));
    boolean v4 = !host.contains(":");
    int length = slash < 0 ? 128 : Integer.parseInt(text.substring(slash + 1)) + (v4 ? 96 : 0);
    if (length < 0 || length > 128) {
      throw new IllegalArgumentException("address block: " + text);
    }
    return new IpRange(address.prefix(length), length);
  }

  /** Whether it holds the address. An IPv6 range, however large, holds no IPv4 address. */
  boolean contains(Address other) {
    return (length >= 96 || !other.isV4())
        && !other.equals(Attributes.NOWHERE)
        && other.prefix(length).equals(address);
  }
}
