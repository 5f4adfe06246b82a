// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.route;

import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;

/**
 * Which backend each request of a rule gets, exact by construction.
 *
 * <p>Turn {@code k} is split like a line drawn on a grid: a backend with share {@code p} of what
 * remains is picked where {@code floor(k·p)} steps. Backends are split off one after the other, the
 * smallest share first, so over any run of consecutive turns the smallest share is off by less than
 * one request, and every other one by less than two. Choosing is a pure function of the turn; turns
 * are handed out by one atomic increment, shared by all threads.
 */
public final class Schedule {

  private final AtomicLong turns;
  private final int[] order;
  private final long[] weights;
  private final long[] totals;

  private Schedule(AtomicLong turns, int[] order, long[] weights, long[] totals) {
    this.turns = turns;
    this.order = order;
    this.weights = weights;
    this.totals = totals;
  }

  /** A schedule of these weights, from turn 0. */
  public static Schedule of(List<Integer> weights) {
    return of(weights, new AtomicLong());
  }

  /**
   * A schedule that goes on where another left off, so that a small share is not starved when plans
   * change often.
   *
   * @param weights from 0 up; 0 is never picked
   * @param turns the next turn, shared with whoever else uses it
   */
  static Schedule of(List<Integer> weights, AtomicLong turns) {
    Integer[] used = new Integer[weights.size()];
    for (int i = 0; i < used.length; i++) {
      if (weights.get(i) < 0) {
        throw new IllegalArgumentException("weight: " + weights.get(i) + " (expected: >= 0)");
      }
      used[i] = i;
    }
    int[] order =
        Arrays.stream(used)
            .filter(i -> weights.get(i) > 0)
            .sorted(Comparator.comparing((Integer i) -> weights.get(i)))
            .mapToInt(Integer::intValue)
            .toArray();
    long divisor = 0;
    for (int i : order) {
      divisor = gcd(weights.get(i), divisor);
    }
    long[] sorted = new long[order.length];
    long[] totals = new long[order.length];
    long total = 0;
    for (int i = order.length - 1; i >= 0; i--) {
      sorted[i] = weights.get(order[i]) / divisor;
      total += sorted[i];
      totals[i] = total;
    }
    return new Schedule(turns, order, sorted, totals);
  }

  private static long gcd(long a, long b) {
    return b == 0 ? a : gcd(b, a % b);
  }

  /** Index of the backend whose turn it is; -1 when no backend has a weight. */
  public int next() {
    return switch (order.length) {
      case 0 -> -1;
      case 1 -> order[0];
      default -> at(turns.getAndIncrement());
    };
  }

  /** Index of the backend of a turn; -1 when no backend has a weight. */
  public int at(long turn) {
    if (order.length == 0) {
      return -1;
    }
    long k = Math.floorMod(turn, totals[0]);
    for (int i = 0; i < order.length - 1; i++) {
      // How many of the first k turns went on to the backends after this one.
      long rest = totals[i] - weights[i];
      long before = k * rest / totals[i];
      long after = (k + 1) * rest / totals[i];
      if (before == after) {
        return order[i];
      }
      k = before;
    }
    return order[order.length - 1];
  }

  AtomicLong turns() {
    return turns;
  }
}
