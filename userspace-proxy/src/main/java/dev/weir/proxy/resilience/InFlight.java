// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.resilience;

import dev.weir.proxy.loop.Loop;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicIntegerArray;

/**
 * What is under way towards one cluster. Shared by all event loops and by the generations that name
 * the cluster.
 */
final class InFlight {

  /** Counters of different loops lie in different cache lines. */
  private static final int STRIDE = 16;

  private final int loops;
  private final AtomicIntegerArray active;

  /** Requests that wait for a connection. */
  final AtomicInteger waiting = new AtomicInteger();

  /** Requests in a repeated try. */
  final AtomicInteger retrying = new AtomicInteger();

  InFlight(int loops) {
    this.loops = loops;
    this.active = new AtomicIntegerArray(loops * STRIDE);
  }

  /** A request begins or ends, for that loop's thread. */
  void add(Loop loop, int change) {
    int slot = loop.index() * STRIDE;
    active.setRelease(slot, active.getPlain(slot) + change);
  }

  /** Requests. */
  int requests() {
    int sum = 0;
    for (int i = 0; i < loops; i++) {
      sum += active.getAcquire(i * STRIDE);
    }
    return sum;
  }
}
