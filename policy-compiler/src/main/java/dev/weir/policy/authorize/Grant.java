// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.authorize;

import dev.weir.policy.model.NetworkPolicy.Port;
import java.util.List;

/**
 * A clause of a NetworkPolicy, its peers resolved.
 *
 * @param all anybody
 * @param peers identities, ascending, when not anybody
 * @param ports any of them; empty means everything
 * @param rule that says so
 */
@SuppressWarnings("ArrayRecordComponent") // never compared
record Grant(boolean all, int[] peers, List<Port> ports, int rule) {

  /** Whether it allows everything to everybody. */
  boolean open() {
    return all && ports.isEmpty();
  }
}
