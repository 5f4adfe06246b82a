// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.authorize;

import java.util.Arrays;

/** Numbers as a key: equal when they are the same in the same order. */
final class Members {

  private final int[] values;
  private final int hash;

  Members(int[] values) {
    this.values = values;
    this.hash = Arrays.hashCode(values);
  }

  /** Not to be changed. */
  int[] values() {
    return values;
  }

  @Override
  public int hashCode() {
    return hash;
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof Members members
        && hash == members.hash
        && Arrays.equals(values, members.values);
  }
}
