// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.outbound;

import dev.weir.proxy.loop.Loop;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicIntegerArray;

/**
 * How many requests to one cluster may be in a repeated try at a time: a fifth of those in flight,
 * so that a cluster that fails under load does not get more of it. Shared by all event loops and by
 * the generations that name the cluster.
 */
public final class RetryBudget {

  /** Of the requests in flight; Envoy's retry budget has the same default. */
  static final int PERCENT = 20;

  /** As many are always allowed. */
  static final int MIN_CONCURRENT = 3;

  /** Counters of different loops lie in different cache lines. */
  private static final int STRIDE = 16;

  private final int loops;
  private final AtomicIntegerArray active;
  private final AtomicInteger retrying = new AtomicInteger();

  RetryBudget(int loops) {
    this.loops = loops;
    this.active = new AtomicIntegerArray(loops * STRIDE);
  }

  /** A request to the cluster begins. */
  public void began(Loop loop) {
    int slot = loop.index() * STRIDE;
    active.setRelease(slot, active.getPlain(slot) + 1);
  }

  /** One that {@link #began} ends. */
  public void ended(Loop loop) {
    int slot = loop.index() * STRIDE;
    active.setRelease(slot, active.getPlain(slot) - 1);
  }

  /** Takes a place for one of those in flight to be tried again, if there is one. */
  public boolean take() {
    int inFlight = 0;
    for (int i = 0; i < loops; i++) {
      inFlight += active.getAcquire(i * STRIDE);
    }
    int most = Math.max(MIN_CONCURRENT, inFlight * PERCENT / 100);
    if (retrying.incrementAndGet() > most) {
      retrying.decrementAndGet();
      return false;
    }
    return true;
  }

  /** Gives the place back. */
  public void give() {
    retrying.decrementAndGet();
  }
}
