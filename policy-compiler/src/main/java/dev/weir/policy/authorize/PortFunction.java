// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.authorize;

import dev.weir.policy.plan.Verdict.Decision;
import java.util.Arrays;
import java.util.function.IntUnaryOperator;

/**
 * What happens on each port: outcomes by code. A port that is not listed fares as the rest of its
 * protocol, which always is.
 */
final class PortFunction {

  /** The rest of each protocol, ascending: where no port is named. */
  static final int[] WIDE = {
    PortCodes.EVERYTHING, 1 << 16, 2 << 16, 3 << 16,
  };

  private static final Decision[] DECISIONS = Decision.values();

  private final int[] codes;
  private final int[] outcomes;

  private PortFunction(int[] codes, int[] outcomes) {
    this.codes = codes;
    this.outcomes = outcomes;
  }

  /** The same on every port. */
  static PortFunction constant(int outcome) {
    int[] outcomes = new int[WIDE.length];
    Arrays.fill(outcomes, outcome);
    return new PortFunction(WIDE, outcomes);
  }

  /** What {@code outcome} says of these codes, ascending, among them all of {@link #WIDE}. */
  static PortFunction of(int[] codes, IntUnaryOperator outcome) {
    int[] outcomes = new int[codes.length];
    for (int i = 0; i < codes.length; i++) {
      outcomes[i] = outcome.applyAsInt(codes[i]);
    }
    return new PortFunction(codes, outcomes);
  }

  /** Decision and rule in one number. */
  static int outcome(Decision decision, int rule) {
    return decision.ordinal() << 16 | rule;
  }

  static Decision decision(int outcome) {
    return DECISIONS[outcome >>> 16];
  }

  static int rule(int outcome) {
    return outcome & 0xffff;
  }

  static boolean alike(int a, int b) {
    return a >>> 16 == b >>> 16;
  }

  int[] codes() {
    return codes;
  }

  int at(int code) {
    int place = Arrays.binarySearch(codes, code);
    if (place < 0) {
      place = Arrays.binarySearch(codes, code & ~0xffff);
    }
    return outcomes[place];
  }

  /** Whether it decides so on some port. */
  boolean has(Decision decision) {
    for (int outcome : outcomes) {
      if (decision(outcome) == decision) {
        return true;
      }
    }
    return false;
  }

  /** Whether it decides nothing but that. */
  boolean only(Decision decision) {
    for (int outcome : outcomes) {
      if (decision(outcome) != decision) {
        return false;
      }
    }
    return true;
  }

  /** What decides alike on every port has the same key, whatever its rules. */
  Members key() {
    IntList key = new IntList();
    for (int i = 0; i < codes.length; i++) {
      int code = codes[i];
      if (PortCodes.port(code) == 0 || !alike(outcomes[i], at(code & ~0xffff))) {
        key.add(code);
        key.add(outcomes[i] >>> 16);
      }
    }
    return new Members(key.toArray());
  }
}
