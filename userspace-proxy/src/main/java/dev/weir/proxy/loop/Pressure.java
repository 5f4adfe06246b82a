// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.loop;

import java.util.function.LongSupplier;

/**
 * Whether the memory for what is on its way is nearly used up: then new requests and connections
 * are turned away, so that those that are there can be finished. For any thread.
 */
public final class Pressure {

  private final LongSupplier used;
  private final long limit;

  /**
   * A look at memory.
   *
   * @param used bytes taken now; asked for each request, so cheap
   * @param most bytes there are
   */
  public Pressure(LongSupplier used, long most) {
    this.used = used;
    this.limit = most - most / 8;
  }

  /** More than seven eighths are taken. */
  public boolean high() {
    return used.getAsLong() > limit;
  }
}
