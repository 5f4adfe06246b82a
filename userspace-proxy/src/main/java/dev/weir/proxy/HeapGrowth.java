// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

/**
 * When the heap is to be collected whole. The serial collector lets it grow to its most before it
 * looks for what is garbage in its old part, and gives nothing back before it has: requests that
 * are under way when the young part is full move there, and what a burst of connections has left
 * behind would stay for good. So the heap is collected when it has grown well beyond what the last
 * collection left of it: by a quarter, and by no less than 2 MiB. A heap that is full of what is
 * needed is thus not collected again and again: its size after that collection is what counts from
 * then. That it is given back at once, and not in steps of which each waits for another collection,
 * is an option of the JVM (proxy.options).
 */
final class HeapGrowth {

  /** Bytes; a collection costs 10 to 30 ms, which less is not worth. */
  static final long LEAST = 2 << 20;

  private long small = Long.MAX_VALUE;

  /** Nothing is known yet. */
  HeapGrowth() {}

  /**
   * Looks at it.
   *
   * @param committed bytes that the heap takes of the machine's memory
   */
  boolean isDue(long committed) {
    small = Math.min(small, committed);
    return committed - small >= Math.max(LEAST, small / 4);
  }

  /**
   * It was collected.
   *
   * @param committed bytes that it takes now
   */
  void collected(long committed) {
    small = committed;
  }
}
