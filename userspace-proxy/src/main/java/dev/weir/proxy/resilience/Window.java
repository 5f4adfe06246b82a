// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.resilience;

import java.util.concurrent.atomic.AtomicIntegerArray;

/**
 * Answers over a sliding time: how many, how many failed, and how long they took. The time is ten
 * slices, the last of which is not over. Any number of threads add; nobody waits but when a slice
 * begins.
 *
 * <p>Durations are counted in buckets that are at most a 32nd of their value wide.
 */
final class Window {

  private static final int SLICES = 10;

  /** Buckets of one power of two. */
  private static final int PARTS = 32;

  private static final int PART_BITS = 5;

  /** Up to 2^31 microseconds, 35 minutes; what takes longer is counted there. */
  private static final int BUCKETS = PARTS * (31 - PART_BITS + 1);

  private final long origin;
  private final long sliceNanos;
  private final Slice[] slices = new Slice[SLICES];

  private static final class Slice {
    private volatile long number = -1;
    private final AtomicIntegerArray buckets = new AtomicIntegerArray(BUCKETS);
    private final AtomicIntegerArray counts = new AtomicIntegerArray(2);
  }

  /**
   * What was counted.
   *
   * @param requests answers
   * @param errors of them
   * @param p99Low microseconds, at most the 99th percentile
   * @param p99High at least that, exclusive
   */
  record Sums(long requests, long errors, long p99Low, long p99High) {
    double errorPercent() {
      return requests == 0 ? 0 : 100.0 * errors / requests;
    }
  }

  /**
   * An empty one.
   *
   * @param now monotonic nanoseconds
   */
  Window(long nanos, long now) {
    this.origin = now;
    this.sliceNanos = Math.max(1, nanos / SLICES);
    for (int i = 0; i < SLICES; i++) {
      slices[i] = new Slice();
    }
  }

  void add(boolean error, long nanos, long now) {
    Slice slice = slice(Math.max(0, now - origin) / sliceNanos);
    slice.buckets.incrementAndGet(bucket(nanos / 1000));
    slice.counts.incrementAndGet(0);
    if (error) {
      slice.counts.incrementAndGet(1);
    }
  }

  private Slice slice(long number) {
    Slice slice = slices[(int) (number % SLICES)];
    if (slice.number < number) {
      synchronized (slice) {
        if (slice.number < number) {
          for (int i = 0; i < BUCKETS; i++) {
            slice.buckets.set(i, 0);
          }
          slice.counts.set(0, 0);
          slice.counts.set(1, 0);
          slice.number = number;
        }
      }
    }
    return slice;
  }

  static int bucket(long micros) {
    long value = Math.clamp(micros, 0, Integer.MAX_VALUE);
    if (value < PARTS) {
      return (int) value;
    }
    int shift = 63 - Long.numberOfLeadingZeros(value) - PART_BITS;
    return PARTS * (shift + 1) + (int) (value >>> shift) - PARTS;
  }

  /** The least value of a bucket; of the one after the last, what ends it. */
  static long least(int bucket) {
    if (bucket < PARTS) {
      return bucket;
    }
    int shift = bucket / PARTS - 1;
    return (long) (PARTS + bucket % PARTS) << shift;
  }

  /** Answers within the time. */
  long requests(long now) {
    long last = Math.max(0, now - origin) / sliceNanos;
    long requests = 0;
    for (Slice slice : slices) {
      if (slice.number > last - SLICES) {
        requests += slice.counts.get(0);
      }
    }
    return requests;
  }

  Sums sums(long now) {
    long last = Math.max(0, now - origin) / sliceNanos;
    long requests = 0;
    long errors = 0;
    long total = 0;
    long[] sums = new long[BUCKETS];
    for (Slice slice : slices) {
      if (slice.number > last - SLICES) {
        requests += slice.counts.get(0);
        errors += slice.counts.get(1);
        for (int i = 0; i < BUCKETS; i++) {
          sums[i] += slice.buckets.get(i);
        }
      }
    }
    for (long sum : sums) {
      total += sum;
    }
    long rank = Math.ceilDiv(total * 99, 100);
    long below = 0;
    int bucket = 0;
    while (bucket < BUCKETS - 1 && below + sums[bucket] < rank) {
      below += sums[bucket++];
    }
    return new Sums(requests, errors, least(bucket), least(bucket + 1));
  }
}
