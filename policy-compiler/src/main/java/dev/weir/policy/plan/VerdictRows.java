// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.plan;

import java.util.AbstractList;
import java.util.Arrays;
import java.util.List;
import java.util.RandomAccess;

/**
 * Verdicts as the words that the kernel's table has: a hundred thousand of them are one array of
 * 800 kB and no objects. A {@link Verdict} is made when one is asked for. Not to be changed.
 */
public final class VerdictRows extends AbstractList<Verdict> implements RandomAccess {

  private final long[] rows;

  private VerdictRows(long[] rows) {
    this.rows = rows;
  }

  /** Verdicts of these rows ({@link Verdict#row}), which whoever calls gives away. */
  public static VerdictRows of(long[] rows) {
    return new VerdictRows(rows);
  }

  /** The same verdicts. */
  public static VerdictRows copyOf(List<Verdict> verdicts) {
    return verdicts instanceof VerdictRows same
        ? same
        : new VerdictRows(verdicts.stream().mapToLong(Verdict::row).toArray());
  }

  /** One of the rows. */
  public long row(int index) {
    return rows[index];
  }

  /** All rows, in their order. */
  public long[] toRows() {
    return rows.clone();
  }

  @Override
  public Verdict get(int index) {
    return Verdict.ofRow(rows[index]);
  }

  @Override
  public int size() {
    return rows.length;
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof VerdictRows others
        ? Arrays.equals(rows, others.rows)
        : super.equals(other);
  }

  @Override
  public int hashCode() {
    return super.hashCode();
  }
}
