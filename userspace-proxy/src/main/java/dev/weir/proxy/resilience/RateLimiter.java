// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.resilience;

import dev.weir.policy.plan.TrafficPolicy.RequestKey;
import dev.weir.policy.plan.TrafficPolicy.RequestRate;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;

/**
 * One rate of requests: in whatever time t at most {@code burst + rate · t} of one key get through,
 * and as many do if they come (generic cell rate algorithm). Shared by all event loops; a request
 * costs one compare-and-set of the key's word.
 *
 * <p>The word is the theoretical arrival time: when the key has its whole burst again. Time is
 * counted in parts of the time that one request takes, a power of two of them, so that a request is
 * a whole number of ticks whatever the rate; that of the clock is cut down to a tick, and since it
 * is cut from the time since the beginning, nothing adds up.
 *
 * <p>Keys are bounded. When there is no room, those are forgotten that have their whole burst
 * again: a new entry would be like them. When none is, further keys share one count. So whoever
 * sends many keys gets no more of any of them, and of all that are too many together as much as
 * one.
 */
public final class RateLimiter {

  /** Different keys that are counted at a time. */
  static final int MAX_KEYS = 4096;

  /** Longer values are told apart by their beginning, their length and a hash of the rest. */
  private static final int MAX_KEY_LENGTH = 128;

  /** Time between two searches for keys to forget. */
  private static final long SWEEP_NANOS = 100_000_000;

  /** An entry that nobody may count with any more: it is out of the table. */
  private static final long FORGOTTEN = Long.MIN_VALUE;

  private final RequestRate rate;
  private final String name;
  private final String description;
  private final Journal journal;
  private final long origin;
  private final long unit;
  private final long tick;
  private final long perUnit;
  private final int shift;
  private final ConcurrentHashMap<String, AtomicLong> cells = new ConcurrentHashMap<>();
  private final AtomicLong total = new AtomicLong();
  private final AtomicLong lastSweep;

  /**
   * A rate of which nothing is used up.
   *
   * @param name for clients
   * @param description for people: who says it, with file and line
   * @param now monotonic nanoseconds
   */
  public RateLimiter(RequestRate rate, String name, String description, Journal journal, long now) {
    this.rate = rate;
    this.name = name;
    this.description = description;
    this.journal = journal;
    this.origin = now;
    this.lastSweep = new AtomicLong(now - SWEEP_NANOS);
    // Longer units are counted in microseconds, so that products fit a word.
    this.tick = rate.unitSeconds() == 1 ? 1 : 1000;
    this.unit = rate.unitSeconds() * 1_000_000_000L / tick;
    int bits = 0;
    while ((long) rate.requests() << bits + 1 < 1L << 31) {
      bits++;
    }
    this.shift = bits;
    this.perUnit = (long) rate.requests() << bits;
  }

  RequestRate rate() {
    return rate;
  }

  String name() {
    return name;
  }

  String description() {
    return description;
  }

  /** In what time the whole burst comes back, in seconds, rounded up. */
  long windowSeconds() {
    return Math.ceilDiv((long) rate.burst() * rate.unitSeconds(), rate.requests());
  }

  /** Parts of the time of one request since the beginning. */
  private long time(long now) {
    long ticks = Math.max(0, now - origin) / tick;
    return ticks / unit * perUnit + ticks % unit * perUnit / unit;
  }

  private long seconds(long parts) {
    return (long) Math.ceil((double) parts * rate.unitSeconds() / perUnit);
  }

  /** What became of one request. */
  static final class Taken {
    private final RateLimiter of;
    private final AtomicLong cell;
    private final boolean granted;
    private final long remaining;
    private final long seconds;

    private Taken(RateLimiter of, AtomicLong cell, boolean granted, long remaining, long seconds) {
      this.of = of;
      this.cell = cell;
      this.granted = granted;
      this.remaining = remaining;
      this.seconds = seconds;
    }

    RateLimiter of() {
      return of;
    }

    boolean granted() {
      return granted;
    }

    /** How many more would get through now. */
    long remaining() {
      return remaining;
    }

    /** Until one more gets through than now, rounded up. */
    long seconds() {
      return seconds;
    }

    /** It was not sent after all: it counts for nothing. */
    void giveBack() {
      if (granted) {
        long one = 1L << of.shift;
        long was = cell.get();
        while (was != FORGOTTEN && !cell.compareAndSet(was, was - one)) {
          was = cell.get();
        }
      }
    }
  }

  /**
   * Counts a request, if it gets through.
   *
   * @param key value of the rate's header, or who asks; of no meaning for a total
   * @param now monotonic nanoseconds
   */
  Taken take(String key, long now) {
    long time = time(now);
    long one = 1L << shift;
    long most = (long) rate.burst() << shift;
    while (true) {
      AtomicLong cell = rate.key() == RequestKey.TOTAL ? total : cell(key, time, now);
      long was = cell.get();
      while (was != FORGOTTEN) {
        long next = Math.max(was, time) + one;
        if (next - time > most) {
          return new Taken(this, cell, false, 0, Math.max(1, seconds(next - time - most)));
        }
        if (cell.compareAndSet(was, next)) {
          long used = next - time;
          long free = most - used;
          // The next request comes back when what is used is a whole number of them.
          long part = used & one - 1;
          return new Taken(this, cell, true, free >> shift, seconds(part == 0 ? one : part));
        }
        was = cell.get();
      }
    }
  }

  private AtomicLong cell(String key, long time, long now) {
    String bounded = bounded(key);
    AtomicLong known = cells.get(bounded);
    if (known != null) {
      return known;
    }
    if (cells.size() >= MAX_KEYS) {
      sweep(time, now);
      if (cells.size() >= MAX_KEYS) {
        journal.count(Journal.Event.RATE_KEYS_FULL);
        return total;
      }
    }
    return cells.computeIfAbsent(bounded, k -> new AtomicLong());
  }

  private static String bounded(String key) {
    return key.length() <= MAX_KEY_LENGTH
        ? key
        : key.substring(0, MAX_KEY_LENGTH) + key.length() + "#" + key.hashCode();
  }

  /** Forgets keys that have their whole burst again. */
  private void sweep(long time, long now) {
    long last = lastSweep.get();
    if (now - last < SWEEP_NANOS || !lastSweep.compareAndSet(last, now)) {
      return;
    }
    cells.forEach(
        (key, cell) -> {
          long was = cell.get();
          // Who has this entry in hand looks for another one then.
          if (was <= time && was != FORGOTTEN && cell.compareAndSet(was, FORGOTTEN)) {
            cells.remove(key, cell);
          }
        });
  }

  /** Keys that are counted. */
  int keys() {
    return cells.size();
  }
}
