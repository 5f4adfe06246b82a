// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.listen;

import java.util.concurrent.atomic.AtomicInteger;

/**
 * How many client connections there may be, of all event loops together, so that what they take
 * fits the memory that the process is given (96 MiB): 10,000 in plain text. TLS takes as much as
 * five of those. Beyond it new ones are refused; no old one is broken for a new one.
 */
public final class Capacity {

  /** In plain text, without any TLS. */
  static final int PLAIN = 10_000;

  /** What one with TLS counts for. */
  static final int TLS = 5;

  private final AtomicInteger taken = new AtomicInteger();
  private volatile boolean scarce;

  /** All of it is left. */
  public Capacity() {}

  /** Takes a connection's place, if there is one. */
  boolean take(boolean tls) {
    int cost = cost(tls);
    if (taken.addAndGet(cost) <= PLAIN) {
      return true;
    }
    taken.addAndGet(-cost);
    return false;
  }

  /** Says whether so little memory is left that only those who are there may be served. */
  public void shortOfMemory(boolean now) {
    scarce = now;
  }

  boolean shortOfMemory() {
    return scarce;
  }

  /** Gives it back. */
  void give(boolean tls) {
    taken.addAndGet(-cost(tls));
  }

  private static int cost(boolean tls) {
    return tls ? TLS : 1;
  }
}
