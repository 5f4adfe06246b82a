// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.authorize;

import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.Reserved;
import dev.weir.policy.plan.Verdict;
import dev.weir.policy.plan.Verdict.Decision;
import java.util.Arrays;
import java.util.function.LongPredicate;

/** Verdict rows as they are collected: one word each, in one open-addressed array. */
final class RowTable {

  private static final int KEY_BITS = 46;
  private static final long KEY = (1L << KEY_BITS) - 1;
  private static final int RULE_SHIFT = 48;

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
    put(
        Verdict.key(source, destination, PortCodes.protocol(code), PortCodes.port(code))
            | (long) decision.ordinal() << KEY_BITS
            | (long) rule << RULE_SHIFT);
  }

  private void put(long row) {
    int at = slot(rows, row & KEY);
    if (rows[at] == 0) {
      rows[at] = row;
      size++;
      if (size * 3 > rows.length * 2) {
        grow();
      }
    } else if (rule(rows[at]) > rule(row)) {
      rows[at] = row;
    }
  }

  /** Adds rows of other tables. */
  void putAll(long[] others) {
    for (long row : others) {
      put(row);
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

  /** The rows, sorted by their keys. */
  long[] sorted() {
    return sorted(row -> true);
  }

  /**
   * The rows, sorted, without those that change nothing because a wider one stands behind them.
   *
   * @param sides of the identities
   */
  long[] needed(Sides sides) {
    return sorted(row -> !redundant(row, sides));
  }

  private long[] sorted(LongPredicate wanted) {
    // Sorted by key as numbers are: the key on top of the value.
    long[] kept = new long[size];
    int count = 0;
    for (long row : rows) {
      if (row != 0 && wanted.test(row)) {
        kept[count++] = Long.rotateLeft(row, Long.SIZE - KEY_BITS) ^ Long.MIN_VALUE;
      }
    }
    kept = count == size ? kept : Arrays.copyOf(kept, count);
    Arrays.sort(kept);
    for (int i = 0; i < count; i++) {
      kept[i] = Long.rotateRight(kept[i] ^ Long.MIN_VALUE, Long.SIZE - KEY_BITS);
    }
    return kept;
  }

  /** Two sorted lists of rows, without a key in common, as one. */
  static long[] merge(long[] some, long[] others) {
    if (some.length == 0 || others.length == 0) {
      return some.length == 0 ? others : some;
    }
    long[] all = new long[some.length + others.length];
    int i = 0;
    int j = 0;
    for (int k = 0; k < all.length; k++) {
      boolean first = j == others.length || i < some.length && (some[i] & KEY) < (others[j] & KEY);
      all[k] = first ? some[i++] : others[j++];
    }
    return all;
  }

  /** The rule of a row. */
  static int rule(long row) {
    return (int) (row >>> RULE_SHIFT);
  }

  /** The same row in the name of another rule. */
  static long withRule(long row, int rule) {
    return row & (1L << RULE_SHIFT) - 1 | (long) rule << RULE_SHIFT;
  }

  /** The destination of a row. */
  static int destination(long row) {
    return (int) (row >>> 14) & 0x3fff;
  }

  /** How many rows each rule has. */
  int[] byRule(int rules) {
    int[] counts = new int[rules];
    for (long row : rows) {
      if (row != 0) {
        counts[rule(row)]++;
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
