// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.plan;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/**
 * What a rule takes of the kernel's table of verdicts.
 *
 * @param rule index
 * @param rows in the table
 */
public record RuleUse(int rule, int rows) {

  /** Bytes of one row, of which three quarters of a bucket are filled at most. */
  private static final int ROW_BYTES = Long.BYTES;

  /** Bytes of the table that these rows take, without the room that has to stay free. */
  public long bytes() {
    return (long) rows * ROW_BYTES;
  }

  /** The rules of a plan that have rows, those with most first, equal ones in the plan's order. */
  public static List<RuleUse> of(Plan plan) {
    int[] rows = new int[plan.rules().size()];
    for (Verdict verdict : plan.verdicts()) {
      rows[verdict.rule()]++;
    }
    List<RuleUse> result = new ArrayList<>();
    for (int rule = 0; rule < rows.length; rule++) {
      if (rows[rule] > 0) {
        result.add(new RuleUse(rule, rows[rule]));
      }
    }
    result.sort(Comparator.comparingInt(RuleUse::rows).reversed());
    return List.copyOf(result);
  }
}
