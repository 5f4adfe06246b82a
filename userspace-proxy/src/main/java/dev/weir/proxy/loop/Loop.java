// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.loop;

import io.netty.channel.EventLoop;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SplittableRandom;
import java.util.concurrent.TimeUnit;
import java.util.function.LongSupplier;

/**
 * One event loop and what its connections share. Everything but {@link #executor} and {@link
 * #index} is for the loop's own thread.
 *
 * <p>Deadlines of connections are looked at on every tick, not scheduled one by one: a request then
 * costs no timer, at the price of a deadline being late by up to one tick.
 */
public final class Loop {

  /** Time between two looks at the deadlines. */
  public static final long TICK_MILLIS = 250;

  private final EventLoop executor;
  private final int index;
  private final LongSupplier clock;
  private final List<Watched> watched = new ArrayList<>();
  private final SplittableRandom random = new SplittableRandom();
  private long coarseNanos;

  /** Something with deadlines. */
  public abstract static class Watched {
    private int slot = -1;

    /** Made by subclasses. */
    protected Watched() {}

    /**
     * Called once per tick on the loop's thread.
     *
     * @param nowNanos of the loop's clock
     */
    protected abstract void check(long nowNanos);

    /** What the status tells of it; empty when it is no connection of a client or a tunnel. */
    protected Optional<Open> open() {
      return Optional.empty();
    }
  }

  /**
   * A loop whose tick is running.
   *
   * @param executor Netty's loop
   * @param index from 0
   * @param clock monotonic nanoseconds
   */
  public Loop(EventLoop executor, int index, LongSupplier clock) {
    this.executor = executor;
    this.index = index;
    this.clock = clock;
    this.coarseNanos = clock.getAsLong();
    var _ =
        executor.scheduleAtFixedRate(this::tick, TICK_MILLIS, TICK_MILLIS, TimeUnit.MILLISECONDS);
  }

  /** Netty's loop. */
  public EventLoop executor() {
    return executor;
  }

  /** From 0. */
  public int index() {
    return index;
  }

  /** Monotonic nanoseconds, now. */
  public long nanos() {
    return clock.getAsLong();
  }

  /** Monotonic nanoseconds at the last tick. */
  public long coarseNanos() {
    return coarseNanos;
  }

  /** For identifiers; not for secrets. */
  public SplittableRandom random() {
    return random;
  }

  /** Begins to look at deadlines. */
  public void watch(Watched watch) {
    if (watch.slot < 0) {
      watch.slot = watched.size();
      watched.add(watch);
    }
  }

  /** Stops looking. */
  public void unwatch(Watched watch) {
    int slot = watch.slot;
    if (slot >= 0) {
      watch.slot = -1;
      Watched last = watched.removeLast();
      if (slot < watched.size()) {
        watched.set(slot, last);
        last.slot = slot;
      }
    }
  }

  /** How many are watched: the live connections of this loop, both sides. */
  public int watchedCount() {
    return watched.size();
  }

  /** How many connections of each kind are open now. */
  public Map<Open, Integer> open() {
    Map<Open, Integer> counts = new HashMap<>();
    for (Watched each : watched) {
      each.open().ifPresent(open -> counts.merge(open, 1, Integer::sum));
    }
    return counts;
  }

  /** Looks at everything now, not only at the next tick. */
  public void look() {
    tick();
  }

  private void tick() {
    coarseNanos = clock.getAsLong();
    // Backwards, because a check may unwatch itself; whoever it moves is looked at next time.
    for (int i = watched.size() - 1; i >= 0; i--) {
      if (i < watched.size()) {
        watched.get(i).check(coarseNanos);
      }
    }
  }
}
