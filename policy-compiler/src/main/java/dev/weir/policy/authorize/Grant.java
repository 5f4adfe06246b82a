// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.authorize;

import dev.weir.policy.model.NetworkPolicy.Port;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** A clause of a NetworkPolicy, its peers resolved. */
final class Grant {

  private final boolean all;
  private final int[] peers;
  private final List<Port> ports;
  private final PolicySide side;
  private final int index;

  /** Its ports as codes, once somebody has asked, when they are the same towards everybody. */
  private int @Nullable [] codes;

  /**
   * A clause.
   *
   * @param all anybody
   * @param peers identities, ascending, when not anybody
   * @param ports any of them; empty means everything
   * @param side that it is of
   * @param index its place in that
   */
  Grant(boolean all, int[] peers, List<Port> ports, PolicySide side, int index) {
    this.all = all;
    this.peers = peers;
    this.ports = ports;
    this.side = side;
    this.index = index;
  }

  boolean all() {
    return all;
  }

  int[] peers() {
    return peers;
  }

  List<Port> ports() {
    return ports;
  }

  /** The rule that says so. */
  int rule() {
    return side.rule(index);
  }

  /** Its ports towards a destination, as codes, ascending. */
  int[] codes(PortSpace space, int destination) {
    int[] known = codes;
    if (known == null) {
      known = space.codes(ports, destination);
      if (!PortSpace.named(ports)) {
        codes = known;
      }
    }
    return known;
  }
}
