// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.authorize;

import java.util.Arrays;

/** Numbers in a growing array: lists of millions of them are built here, too many for boxes. */
final class IntList {

  private int[] values = {};
  private int size;

  void add(int value) {
    if (size == values.length) {
      values = Arrays.copyOf(values, Math.max(4, size * 2));
    }
    values[size++] = value;
  }

  void clear() {
    size = 0;
  }

  int size() {
    return size;
  }

  int get(int index) {
    return values[index];
  }

  void set(int index, int value) {
    values[index] = value;
  }

  int[] toArray() {
    return Arrays.copyOf(values, size);
  }

  /** Ascending, each once. */
  int[] toSet() {
    int[] sorted = toArray();
    Arrays.sort(sorted);
    int kept = 0;
    for (int i = 0; i < sorted.length; i++) {
      if (i == 0 || sorted[i] != sorted[i - 1]) {
        sorted[kept++] = sorted[i];
      }
    }
    return Arrays.copyOf(sorted, kept);
  }
}
