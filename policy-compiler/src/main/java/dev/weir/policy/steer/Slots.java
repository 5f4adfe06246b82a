// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.steer;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;

/**
 * Weights as counts of slots: connect() picks one of them, each as likely as another.
 *
 * <p>A share is exact when some number of slots up to {@value #MAX} holds all shares exactly, and
 * else off by less than one slot in {@value #MAX}. The number is the largest such, so that weights
 * which change keep most slots where they were: who gets a slot is decided by the lowest of fixed
 * random numbers, one for each slot and target, among the targets that have slots left to get
 * (rendezvous hashing with quotas). So the same weights always give the same slots, and other
 * weights move about as many as they must.
 */
final class Slots {

  /** Most slots a service may have: a granularity of 0.1 %. */
  static final int MAX = 1000;

  /** A share that leads nowhere: whoever gets it is refused. */
  static final int NOWHERE = -1;

  private Slots() {}

  /**
   * One part of a split.
   *
   * @param target whom it leads to, or {@link #NOWHERE}
   * @param key what the target is called, the same in every plan
   * @param numerator of its share
   * @param denominator of its share
   */
  record Share(int target, String key, long numerator, long denominator) {}

  /** Targets by slot. */
  static List<Integer> of(List<Share> shares) {
    // A kernel table has room for far fewer backends than the limit.
    List<Share> some =
        shares.stream().filter(s -> s.numerator() > 0).limit(1 << SHARE_BITS).toList();
    if (some.isEmpty()) {
      return List.of();
    }
    int slots = count(some);
    int[] quota = quotas(some, slots);
    return assign(some, quota, slots);
  }

  /**
   * The largest multiple, up to the maximum, of a number of slots that holds all shares exactly.
   */
  private static int count(List<Share> shares) {
    long common = 1;
    for (Share share : shares) {
      long needed = share.denominator() / gcd(share.numerator(), share.denominator());
      if (needed > MAX) {
        return MAX;
      }
      common = common / gcd(common, needed) * needed;
      if (common > MAX) {
        return MAX;
      }
    }
    return (int) (MAX / common * common);
  }

  private static long gcd(long a, long b) {
    return b == 0 ? a : gcd(b, a % b);
  }

  /** Largest remainders; whoever has a share at all has a slot, as far as there are some. */
  private static int[] quotas(List<Share> shares, int slots) {
    int[] quota = new int[shares.size()];
    double[] rest = new double[shares.size()];
    int given = 0;
    for (int i = 0; i < quota.length; i++) {
      Share share = shares.get(i);
      double exact = (double) share.numerator() * slots / share.denominator();
      long whole = Math.multiplyExact(share.numerator(), slots) / share.denominator();
      quota[i] = (int) Math.max(1, whole);
      rest[i] = exact - quota[i];
      given += quota[i];
    }
    Integer[] order = new Integer[quota.length];
    Arrays.setAll(order, i -> i);
    Arrays.sort(
        order,
        Comparator.comparingDouble((Integer i) -> rest[i])
            .reversed()
            .thenComparing(i -> shares.get(i).key()));
    for (int i = 0; given < slots; i = (i + 1) % order.length, given++) {
      quota[order[i]]++;
    }
    // The slots that small shares were rounded up to come from those that can spare them best.
    for (int i = order.length - 1; given > slots; i = i == 0 ? order.length - 1 : i - 1) {
      if (quota[order[i]] > 1 || given > slots && quota.length > slots) {
        int less = Math.min(1, quota[order[i]]);
        quota[order[i]] -= less;
        given -= less;
      }
    }
    return quota;
  }

  /** Bits of a bid that name its slot, and those that name its share; the rest is its height. */
  private static final int SLOT_BITS = 10;

  private static final int SHARE_BITS = 20;

  private static List<Integer> assign(List<Share> shares, int[] quota, int slots) {
    // Whoever has a slot left to get bids for all of them: never more bidders than slots.
    int bidders = (int) Arrays.stream(quota).filter(q -> q > 0).count();
    long[] bids = new long[slots * bidders];
    int at = 0;
    for (int s = 0; s < shares.size(); s++) {
      long seed = quota[s] > 0 ? seed(shares.get(s).key()) : 0;
      for (int slot = 0; slot < slots && quota[s] > 0; slot++) {
        bids[at++] = mix(seed + slot) << SLOT_BITS + SHARE_BITS | (long) slot << SHARE_BITS | s;
      }
    }
    Arrays.sort(bids);
    List<Integer> result = new ArrayList<>(Collections.nCopies(slots, NOWHERE));
    boolean[] taken = new boolean[slots];
    int[] left = quota.clone();
    for (long bid : bids) {
      int slot = (int) (bid >>> SHARE_BITS) & (1 << SLOT_BITS) - 1;
      int share = (int) bid & (1 << SHARE_BITS) - 1;
      if (!taken[slot] && left[share] > 0) {
        taken[slot] = true;
        left[share]--;
        result.set(slot, shares.get(share).target());
      }
    }
    return result;
  }

  private static long seed(String key) {
    long hash = 0xcbf29ce484222325L;
    for (int i = 0; i < key.length(); i++) {
      hash = (hash ^ key.charAt(i)) * 0x100000001b3L;
    }
    return mix(hash);
  }

  /** The finalizer of splitmix64. */
  private static long mix(long x) {
    long z = x + 0x9e3779b97f4a7c15L;
    z = (z ^ z >>> 30) * 0xbf58476d1ce4e5b9L;
    z = (z ^ z >>> 27) * 0x94d049bb133111ebL;
    return z ^ z >>> 31;
  }
}
