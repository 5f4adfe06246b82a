// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.control;

import dev.weir.policy.plan.ProxyUpdate;
import dev.weir.proxy.outbound.UpdateRefusedException;

/** What may be asked of the proxy. Called on the control thread, one at a time. */
public interface Commands {

  /**
   * Puts an update in force, all of it or nothing.
   *
   * @throws UpdateRefusedException when it cannot be; the previous one is still in force
   */
  void update(ProxyUpdate update) throws UpdateRefusedException;

  /** How things are, as JSON. */
  String status();

  /** Counts, as Prometheus text. */
  String metrics();

  /**
   * Begins to end: nothing new is accepted, what is in flight gets this long.
   *
   * @param millis at least 0
   */
  void drain(long millis);
}
