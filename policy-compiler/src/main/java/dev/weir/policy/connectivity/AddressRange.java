// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.connectivity;

import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Block;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.TreeSet;

/**
 * Addresses from one to another, of one family.
 *
 * @param first lowest
 * @param last highest, inclusive
 */
record AddressRange(Address first, Address last) {

  private static final Address FIRST4 = Address.ofV4(0);
  private static final Address BEHIND4 = next(Address.ofV4(-1));

  /**
   * Cuts the address space so that each block holds all of a range or nothing of it. IPv6 addresses
   * are only told of when some block is about them: no rule tells them from IPv4 ones then.
   */
  static List<AddressRange> cut(Collection<Block> blocks) {
    TreeSet<Address> starts = new TreeSet<>();
    boolean v6 = false;
    starts.add(FIRST4);
    starts.add(BEHIND4);
    for (Block block : blocks) {
      starts.add(block.address());
      starts.add(next(last(block)));
      v6 |= block.length() < 96 || !block.address().isV4();
    }
    starts.add(new Address(0, 0));
    List<AddressRange> four = new ArrayList<>();
    List<AddressRange> six = new ArrayList<>();
    for (Address start : starts) {
      Address behind = starts.higher(start);
      Address last = behind == null ? new Address(-1, -1) : previous(behind);
      (start.isV4() ? four : six).add(new AddressRange(start, last));
    }
    if (v6) {
      four.addAll(six);
    }
    return four;
  }

  private static Address last(Block block) {
    Address first = block.address();
    int length = block.length();
    return new Address(
        length >= 64 ? first.high() : first.high() | (length == 0 ? -1 : -1L >>> length),
        length <= 64 ? -1 : length == 128 ? first.low() : first.low() | -1L >>> length - 64);
  }

  /** The address behind; behind the last, the first. */
  private static Address next(Address address) {
    return new Address(address.high() + (address.low() == -1 ? 1 : 0), address.low() + 1);
  }

  private static Address previous(Address address) {
    return new Address(address.high() - (address.low() == 0 ? 1 : 0), address.low() - 1);
  }

  /** Whether the other begins where this ends, in the same family. */
  boolean meets(AddressRange other) {
    return first.isV4() == other.first.isV4() && next(last).equals(other.first);
  }

  /** {@code first-last}. */
  @Override
  public String toString() {
    return first + "-" + last;
  }
}
