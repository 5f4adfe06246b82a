// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.http;

import java.util.concurrent.TimeUnit;

/**
 * How fast a request's body comes. One that is let come, and hardly does, holds a place for
 * nothing. Once there is a response the two may be a conversation, and take their time.
 */
final class BodyPace {

  /** What a request's body must bring in each of these, until the response begins. */
  static final long BODY_NANOS = TimeUnit.SECONDS.toNanos(20);

  /** Apache's mod_reqtimeout demands the same 500 bytes a second. */
  static final long BODY_BYTES = 10_000;

  private long since;
  private long bytes;
  private boolean begun;

  /** Another request. */
  void restart() {
    since = 0;
    bytes = 0;
    begun = false;
  }

  /** Some of it came. */
  void came(int some) {
    bytes += some;
    begun |= some > 0;
  }

  /** Whether any of it came. */
  boolean begun() {
    return begun;
  }

  /**
   * Whether it is too slow; asked again and again.
   *
   * @param awaited whether it is the client that is waited for
   */
  boolean tooSlow(boolean awaited, long now) {
    if (!awaited) {
      since = 0;
      return false;
    }
    boolean slow = since != 0 && now - since >= BODY_NANOS && bytes < BODY_BYTES;
    if (since == 0 || now - since >= BODY_NANOS) {
      since = now;
      bytes = 0;
    }
    return slow;
  }
}
