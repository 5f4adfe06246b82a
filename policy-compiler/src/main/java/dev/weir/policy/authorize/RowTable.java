// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.authorize;

import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.Reserved;
import dev.weir.policy.plan.Verdict;
import dev.weir.policy.plan.Verdict.Decision;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** Verdict rows as they are collected: one word each, in one open-addressed array. */
final class RowTable {

  private static final int KEY_BITS = 46;
  private static final long KEY = (1L << KEY_BITS) - 1;

  private long[] rows = new long[1 << 10];
  private int size;

  private static int hash(long key) {
    return (int) (key * 0x9e3779b97f4a7c15L >>> 32);
  }

  private static int slot(long[] rows, long key) {
    int at = hash(key) & rows.length - 1;
    while (rows[at] != 0 && (rows[at] & KEY) != key) {
      at = at + 1 & rows.length - 1;
    }
    return at;
  }

  int size() {
    return size;
  }

  /** Of two rows with one key the one with the lower rule stays. */
  void put(int source, int destination, int code, Decision decision, int rule) {
    Verdict verdict =
        new Verdict(
            source, destination, PortCodes.protocol(code), PortCodes.port(code), decision, rule);
    int at = slot(rows, verdict.key());
    if (rows[at] == 0) {
      rows[at] = verdict.row();
      size++;
      if (size * 3 > rows.length * 2) {
        grow();
      }
    } else if (Verdict.ofRow(rows[at]).rule() > rule) {
      rows[at] = verdict.row();
    }
  }

  private void grow() {
    long[] larger = new long[rows.length * 2];
    for (long row : rows) {
      if (row != 0) {
        larger[slot(larger, row & KEY)] = row;
      }
    }
    rows = larger;
  }

  private boolean has(int source, int destination, Protocol protocol, int port) {
    return rows[slot(rows, Verdict.key(source, destination, protocol, port))] != 0;
  }

  /**
   * The row for these two that the kernel would find, from the narrow one to the wide one, or 0.
   */
  long find(int source, int destination, Protocol protocol, int port) {
    long row = rows[slot(rows, Verdict.key(source, destination, protocol, port))];
    if (row == 0) {
      row = rows[slot(rows, Verdict.key(source, destination, protocol, 0))];
    }
    return row == 0 ? rows[slot(rows, Verdict.key(source, destination, Protocol.ANY, 0))] : row;
  }

  /**
   * The rows, sorted, without those that change nothing because a wider one stands behind them.
   *
   * @param sides of the identities
   */
  List<Verdict> verdicts(Sides sides) {
    // Sorted by key as numbers are: the key on top of the value.
    long[] kept = new long[size];
    int count = 0;
    for (long row : rows) {
      if (row != 0 && !redundant(row, sides)) {
        kept[count++] = Long.rotateLeft(row, Long.SIZE - KEY_BITS) ^ Long.MIN_VALUE;
      }
    }
    Arrays.sort(kept, 0, count);
    List<Verdict> result = new ArrayList<>(count);
    for (int i = 0; i < count; i++) {
      result.add(Verdict.ofRow(Long.rotateRight(kept[i] ^ Long.MIN_VALUE, Long.SIZE - KEY_BITS)));
    }
    return result;
  }

  /** How many rows each rule has. */
  int[] byRule(int rules) {
    int[] counts = new int[rules];
    for (long row : rows) {
      if (row != 0) {
        counts[Verdict.ofRow(row).rule()]++;
      }
    }
    return counts;
  }

  /** Only rows of what a source may reach are more than needed, and they all allow. */
  private boolean redundant(long row, Sides sides) {
    Verdict verdict = Verdict.ofRow(row);
    int source = verdict.source();
    int destination = verdict.destination();
    Protocol protocol = verdict.protocol();
    int any = Reserved.ANY.index();
    if (destination != any && sides.ingressIsolated(destination)) {
      return false;
    }
    if (protocol != Protocol.ANY
        && (has(source, destination, Protocol.ANY, 0)
            || verdict.port() != 0 && has(source, destination, protocol, 0))) {
      return true;
    }
    return destination != any && find(source, any, protocol, verdict.port()) != 0;
  }
}
