// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.authorize;

import dev.weir.policy.plan.PortClass;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;

/**
 * Cuts the ports that ranges name into classes that no rule tells apart. A port outside every range
 * stands for itself.
 */
final class PortPartition {

  private static final int PORTS = 1 << 16;

  private final BitSet starts = new BitSet(PORTS + 1);
  private final BitSet covered = new BitSet(PORTS + 1);

  /** A rule names this port. */
  void single(int port) {
    starts.set(port);
    starts.set(port + 1);
  }

  /** A rule names these ports. */
  void range(int first, int last) {
    starts.set(first);
    starts.set(last + 1);
    if (first < last) {
      covered.set(first, last + 1);
    }
  }

  /** The number under which rows know a port. */
  int classOf(int port) {
    return covered.get(port) ? starts.previousSetBit(port) : port;
  }

  /** The numbers under which rows know a range that was named before. */
  List<Integer> classesOf(int first, int last) {
    List<Integer> classes = new ArrayList<>();
    int port = first;
    while (port <= last) {
      classes.add(port);
      port = starts.nextSetBit(port + 1);
    }
    return classes;
  }

  /**
   * Whether ranges are cut as in another one: then every range that both were told of has the same
   * numbers in both.
   */
  boolean cutsAs(PortPartition other) {
    if (!covered.equals(other.covered)) {
      return false;
    }
    BitSet within = (BitSet) starts.clone();
    within.xor(other.starts);
    return !within.intersects(covered);
  }

  /** Classes of more than one port, ascending. */
  List<PortClass> classes() {
    List<PortClass> classes = new ArrayList<>();
    int port = covered.nextSetBit(0);
    while (port >= 0) {
      int next = starts.nextSetBit(port + 1);
      if (next - port > 1) {
        classes.add(new PortClass(port, next - 1));
      }
      port = covered.nextSetBit(next);
    }
    return classes;
  }
}
