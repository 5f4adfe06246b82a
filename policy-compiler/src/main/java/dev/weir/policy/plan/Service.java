// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.plan;

import java.util.List;

/**
 * One port of a virtual address. A service with several addresses or ports is several of these.
 *
 * @param workload index of the {@code Service} workload under which it is counted
 * @param address virtual address
 * @param port virtual port
 * @param protocol transport
 * @param tier where its backend is chosen
 * @param identity with {@link Tier#PROXY}: destination identity of its verdicts; else 0
 * @param affinitySeconds for so long after it came last a client keeps to its backend ({@code
 *     sessionAffinity: ClientIP}); 0: it keeps to none
 * @param slots backends by slot: weights are exact counts of slots; empty when there is no backend
 *     or the proxy chooses. With {@link Tier#PROXY}: where connections are led while there is no
 *     proxy
 */
public record Service(
    int workload,
    Address address,
    int port,
    Protocol protocol,
    Tier tier,
    int identity,
    int affinitySeconds,
    List<Integer> slots) {

  /** Copies the list. */
  public Service {
    slots = List.copyOf(slots);
  }

  /** The cheapest place that honours the service exactly. */
  public enum Tier {
    /** connect() picks a slot. */
    KERNEL,
    /** connect() leads to the proxy. */
    PROXY
  }
}
