// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.route;

import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;

/**
 * Which backend each request of a rule gets, exact by construction.
 *
 * <p>Two backends: turn {@code k} goes to the smaller share {@code p} where {@code floor(k·p)}
 * steps, so over any run of consecutive turns it is off by less than one request. More backends:
 * one period is laid out beforehand so that after every turn each backend is less than one request
 * from its share (Tijdeman, The chairman assignment problem, 1980; found by earliest deadline), so
 * any run is off by less than two, and by at most one where the share is a whole number. Only when
 * more than two weights, divided by what they have in common, add up to over 65,536 is no period
 * laid out: the smaller shares are split off one after the other, and with n backends a run is off
 * by less than n.
 *
 * <p>Choosing is a pure function of the turn; turns are handed out by one atomic increment, shared
 * by all threads.
 */
public final class Schedule {

  private static final int MAX_PERIOD = 1 << 16;

  private final AtomicLong turns;
  private final int[] order;
  private final long[] weights;
  private final long[] totals;
  private final char[] period;

  private Schedule(AtomicLong turns, int[] order, long[] weights, long[] totals) {
    this.turns = turns;
    this.order = order;
    this.weights = weights;
    this.totals = totals;
    this.period =
        order.length > 2 && totals[0] <= MAX_PERIOD
            ? period(order, weights, (int) totals[0])
            : new char[0];
  }

  private static char[] period(int[] order, long[] weights, int total) {
    char[] period = new char[total];
    long[] given = new long[order.length];
    for (int turn = 1; turn <= total; turn++) {
      int next = -1;
      long nextDeadline = Long.MAX_VALUE;
      for (int i = 0; i < order.length; i++) {
        // Its next request may not come before its share asks for a part of it, and must have come
        // before its share is a whole one ahead.
        boolean due = weights[i] * turn > given[i] * total;
        long deadline = Math.ceilDiv((given[i] + 1) * total, weights[i]);
        if (due && deadline < nextDeadline) {
          next = i;
          nextDeadline = deadline;
        }
      }
      given[next]++;
      period[turn - 1] = (char) order[next];
    }
    return period;
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

  /** Other weights that take the same turns. */
  public Schedule with(List<Integer> weights) {
    return of(weights, turns);
  }

  private static long gcd(long a, long b) {
    return b == 0 ? a : gcd(b, a % b);
  }

  /** Index of the backend whose turn it is; -1 when no backend has a weight. */
  public int next() {
    return switch (order.length) {
      case 0 -> -1;
      case 1 -> order[0];
      default -> at(take());
    };
  }

  /** The next turn; each is given out once, whoever asks. */
  long take() {
    return turns.getAndIncrement();
  }

  /** Index of the backend of a turn; -1 when no backend has a weight. */
  public int at(long turn) {
    if (order.length == 0) {
      return -1;
    }
    long k = Math.floorMod(turn, totals[0]);
    if (period.length > 0) {
      return period[(int) k];
    }
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
