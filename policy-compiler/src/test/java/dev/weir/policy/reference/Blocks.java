// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.reference;

import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Block;
import java.math.BigInteger;
import java.net.InetAddress;

/** Whether addresses lie in blocks, by their numbers. An IPv6 block holds no IPv4 address. */
final class Blocks {

  private Blocks() {}

  static boolean holds(Block block, Address address) {
    boolean four = block.length() >= 96 && block.address().isV4();
    return four == address.isV4()
        && prefix(block.address().bytes(), 128 - block.length())
            .equals(prefix(address.bytes(), 128 - block.length()));
  }

  /** {@code cidr}, or a single address. */
  static boolean holds(String cidr, Address address) {
    int slash = cidr.indexOf('/');
    byte[] block = InetAddress.ofLiteral(slash < 0 ? cidr : cidr.substring(0, slash)).getAddress();
    if ((block.length == 4) != address.isV4()) {
      return false;
    }
    int bits = block.length * 8;
    int rest = slash < 0 ? 0 : bits - Integer.parseInt(cidr.substring(slash + 1));
    BigInteger low = BigInteger.ONE.shiftLeft(bits).subtract(BigInteger.ONE);
    BigInteger other = new BigInteger(1, address.bytes()).and(low);
    return prefix(block, rest).equals(other.shiftRight(rest));
  }

  private static BigInteger prefix(byte[] bytes, int rest) {
    return new BigInteger(1, bytes).shiftRight(rest);
  }
}
