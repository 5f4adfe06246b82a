// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.wire;

import java.util.concurrent.TimeUnit;

/**
 * How many frames of HTTP/2 that carry nothing a peer may send. Each costs us work and often an
 * answer; each request and each frame of content earns some more, since PING, WINDOW_UPDATE and the
 * like go with those. What floods have in common (CVE-2019-9511 to 9518, CVE-2023-44487) is that
 * they do not. For one event loop.
 */
public final class FrameBudget {

  private final int most;
  private final int perSecond;
  private int left;
  private long since;

  /**
   * A full one.
   *
   * @param most that may be saved
   * @param perSecond earned by waiting
   * @param nowNanos monotonic
   */
  public FrameBudget(int most, int perSecond, long nowNanos) {
    this.most = most;
    this.perSecond = perSecond;
    this.left = most;
    this.since = nowNanos;
  }

  /** Takes one; false when there is none. */
  public boolean take(long nowNanos) {
    if (left == 0) {
      long earned = (nowNanos - since) * perSecond / TimeUnit.SECONDS.toNanos(1);
      if (earned == 0) {
        return false;
      }
      since = nowNanos;
      left = (int) Math.min(most, earned);
    }
    left--;
    return true;
  }

  /** Something came or went that is no flood. */
  public void earn(int frames) {
    left = Math.min(most, left + frames);
  }
}
