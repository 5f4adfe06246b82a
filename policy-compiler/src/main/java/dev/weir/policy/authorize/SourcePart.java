// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.authorize;

import java.util.Arrays;
import java.util.BitSet;
import java.util.List;

/**
 * Who may match a rule: one of the clauses must hold, and all of the conditions. What identities
 * answer is kept from {@link #resolve} on.
 */
final class SourcePart {

  /**
   * Lists of patterns (numbers of {@link SourceSets}, -1 for none): one of {@code values} and none
   * of {@code notValues} must match.
   */
  record Field(int values, int notValues) {}

  /** All of the fields must hold, and what only a request tells if it {@code depends}. */
  record Clause(List<Field> fields, boolean depends) {}

  /** What makes it, by which equal ones are found. */
  record Key(List<Clause> clauses, List<Field> conditions) {}

  private final Key key;
  private int[] members = {};

  SourcePart(Key key) {
    this.key = key;
  }

  /** Whether everybody matches, known without looking. */
  boolean everybody() {
    return key.conditions().isEmpty() && everyClause();
  }

  private boolean everyClause() {
    return key.clauses().isEmpty()
        || key.clauses().stream().anyMatch(c -> c.fields().isEmpty() && !c.depends());
  }

  /** Whether somebody's answer may depend on a request. */
  boolean mayDepend() {
    return !everyClause() && key.clauses().stream().anyMatch(Clause::depends);
  }

  /** Finds what identities answer. */
  void resolve(SourceSets sets, int count) {
    if (everybody()) {
      return;
    }
    BitSet yes = new BitSet(count);
    BitSet depends = new BitSet(count);
    if (key.clauses().isEmpty()) {
      yes.set(0, count);
    }
    for (Clause clause : key.clauses()) {
      BitSet holds = new BitSet(count);
      holds.set(0, count);
      clause.fields().forEach(f -> narrow(holds, f, sets));
      (clause.depends() ? depends : yes).or(holds);
    }
    for (Field condition : key.conditions()) {
      narrow(yes, condition, sets);
      narrow(depends, condition, sets);
    }
    IntList found = new IntList();
    for (int i = 0; i < count; i++) {
      if (yes.get(i)) {
        found.add(i << 1 | 1);
      } else if (depends.get(i)) {
        found.add(i << 1);
      }
    }
    members = found.toArray();
  }

  private static void narrow(BitSet holds, Field field, SourceSets sets) {
    if (field.values() >= 0) {
      holds.and(sets.identities(field.values()));
    }
    if (field.notValues() >= 0) {
      holds.andNot(sets.identities(field.notValues()));
    }
  }

  /** Who matches at all, ascending: identity in the upper bits, 1 in the lowest for a sure yes. */
  int[] members() {
    return members;
  }

  /** What an identity answers. */
  int answer(int identity) {
    if (everybody()) {
      return AccessRule.YES;
    }
    return Arrays.binarySearch(members, identity << 1 | 1) >= 0
        ? AccessRule.YES
        : Arrays.binarySearch(members, identity << 1) >= 0 ? AccessRule.DEPENDS : AccessRule.NO;
  }
}
