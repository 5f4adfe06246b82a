// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.plan;

/**
 * A block of outside addresses that some rule tells apart; the longest prefix decides.
 *
 * @param address first address
 * @param prefixLength of the 128-bit canonical form, so an IPv4 /24 is 120
 * @param identity index
 */
public record Cidr(Address address, int prefixLength, int identity) {}
