// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.http;

/**
 * Bytes of bodies that an event loop keeps for something else than passing them on. For the loop's
 * own thread.
 */
public final class BodyAllowance {

  /** Of one body. */
  static final int MAX_OF_ONE = 65_536;

  /** Of all bodies of one event loop. */
  static final int MAX_OF_ALL = 4 << 20;

  private int taken;

  /** All of it is left. */
  public BodyAllowance() {}

  boolean take(int bytes) {
    if (bytes > MAX_OF_ALL - taken) {
      return false;
    }
    taken += bytes;
    return true;
  }

  void give(int bytes) {
    taken -= bytes;
  }
}
