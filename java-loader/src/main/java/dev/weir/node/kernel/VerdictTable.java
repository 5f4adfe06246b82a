// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import java.util.Arrays;

/**
 * The flat table of verdict rows: buckets of eight, two choices of bucket for each row, as {@code
 * weir/verdict.h} reads it. The same rows give the same table.
 */
final class VerdictTable {

  /** {@code WEIR_BUCKET_ROWS}. */
  static final int BUCKET_ROWS = 8;

  /** Rows per hundred places above which the table doubles: beyond it rows often do not place. */
  private static final int MAX_LOAD_PERCENT = 80;

  /** Largest number of buckets: 2^20 are 64 MiB, eight million rows. */
  private static final int MAX_BUCKETS = 1 << 20;

  private static final int SEEDS_PER_SIZE = 16;
  private static final long KEY = (1L << 46) - 1;

  private final long[] rows;
  private final long seed;

  private VerdictTable(long[] rows, long seed) {
    this.rows = rows;
    this.seed = seed;
  }

  /**
   * Builds the table.
   *
   * @param rows {@code Verdict.row()}, no two of one key
   * @throws NodeException when there are too many
   */
  static VerdictTable of(long[] rows) {
    int buckets = 1;
    while ((long) buckets * BUCKET_ROWS * MAX_LOAD_PERCENT < rows.length * 100L) {
      buckets *= 2;
    }
    long seed = 0;
    for (; buckets <= MAX_BUCKETS; buckets *= 2) {
      for (int attempt = 0; attempt < SEEDS_PER_SIZE; attempt++) {
        seed += 0x9e3779b97f4a7c15L;
        long[] placed = place(rows, buckets, seed);
        if (placed.length != 0) {
          return new VerdictTable(placed, seed);
        }
      }
    }
    throw new NodeException(
        rows.length
            + " verdicts do not fit the kernel's table; join workloads that no policy needs to tell"
            + " apart");
  }

  /** The buckets one after another; empty when a row found both of its buckets full. */
  private static long[] place(long[] rows, int buckets, long seed) {
    long[] table = new long[buckets * BUCKET_ROWS];
    byte[] fill = new byte[buckets];
    int mask = buckets - 1;
    for (long row : rows) {
      long hash = hash(row & KEY, seed);
      int first = (int) hash & mask;
      int second = (int) (hash >>> 32) & mask;
      int bucket = fill[second] < fill[first] ? second : first;
      if (fill[bucket] == BUCKET_ROWS
          && !makeRoom(table, fill, first, seed)
          && !makeRoom(table, fill, second, seed)) {
        return new long[0];
      }
      bucket = fill[second] < fill[first] ? second : first;
      table[bucket * BUCKET_ROWS + fill[bucket]] = row;
      fill[bucket]++;
    }
    return table;
  }

  /** Moves a row of a full bucket to its other one, if any has room there. */
  private static boolean makeRoom(long[] table, byte[] fill, int bucket, long seed) {
    for (int i = bucket * BUCKET_ROWS; i < (bucket + 1) * BUCKET_ROWS; i++) {
      long hash = hash(table[i] & KEY, seed);
      int first = (int) hash & fill.length - 1;
      int other = first == bucket ? (int) (hash >>> 32) & fill.length - 1 : first;
      if (fill[other] < BUCKET_ROWS) {
        table[other * BUCKET_ROWS + fill[other]++] = table[i];
        fill[bucket]--;
        table[i] = table[bucket * BUCKET_ROWS + fill[bucket]];
        table[bucket * BUCKET_ROWS + fill[bucket]] = 0;
        return true;
      }
    }
    return false;
  }

  /** {@code weir_hash}. */
  static long hash(long key, long seed) {
    long h = (key ^ seed) * 0x9E3779B97F4A7C15L;
    h ^= h >>> 32;
    h *= 0xD6E8FEB86659FD93L;
    return h ^ h >>> 32;
  }

  /** {@code weir_find_row}: the row with this key, or 0. */
  long find(long key) {
    long hash = hash(key, seed);
    long row = find((int) hash & mask(), key);
    return row != 0 ? row : find((int) (hash >>> 32) & mask(), key);
  }

  private long find(int bucket, long key) {
    for (int i = bucket * BUCKET_ROWS; i < (bucket + 1) * BUCKET_ROWS; i++) {
      if (((rows[i] ^ key) & KEY) == 0) {
        return rows[i];
      }
    }
    return 0;
  }

  /** Number of buckets, a power of two. */
  int buckets() {
    return rows.length / BUCKET_ROWS;
  }

  /** {@code verdict_mask}. */
  int mask() {
    return buckets() - 1;
  }

  /** {@code verdict_seed}. */
  long seed() {
    return seed;
  }

  /** Bucket after bucket. */
  long[] rows() {
    return Arrays.copyOf(rows, rows.length);
  }
}
