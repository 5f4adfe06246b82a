// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.authorize;

import dev.weir.policy.cluster.Cluster;
import dev.weir.policy.model.NetworkPolicy;
import dev.weir.policy.steer.Steering;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Who may reach whom, and what of the way there the next authorization can take over when only some
 * policies have changed: how workloads, ports and blocks were cut, what each policy grants, and the
 * rows, which are valid wherever the same policies say the same.
 */
public final class Authorized {

  private final Past past;

  /**
   * How it came to be.
   *
   * @param about destinations with AuthorizationPolicies
   * @param policies what each policy was found to be about
   * @param partition of workloads
   * @param ports of rows
   * @param ingress rows towards isolated destinations
   * @param egress rows towards open ones
   * @param egressSize how many these were with those that change nothing
   * @param services rows about the proxy
   */
  @SuppressWarnings("ArrayRecordComponent") // never compared
  record Past(
      Authorization authorization,
      Cluster cluster,
      AccessPolicies access,
      Set<Integer> about,
      Steering steering,
      RuleTable rules,
      Mentions mentions,
      IdentityHashMap<NetworkPolicy, PolicyParts> policies,
      Fixed fixed,
      IdentityPartition partition,
      PortSpace ports,
      OutsideBlocks blocks,
      Map<Integer, Integer> byAddress,
      Sides sides,
      long[] ingress,
      long[] egress,
      int egressSize,
      long[] services) {}

  /** What no policy says: what the governed host may always do, and what Gateways listen on. */
  record Fixed(PolicySide hostIngress, PolicySide hostEgress, List<PolicySide> gateways) {}

  /** A policy's targets as identities, and what it grants. */
  @SuppressWarnings("ArrayRecordComponent") // never compared
  record PolicyParts(int[] targets, PolicySide ingress, PolicySide egress) {}

  Authorized(Past past) {
    this.past = past;
  }

  /** Who may reach whom. */
  public Authorization authorization() {
    return past.authorization();
  }

  Past past() {
    return past;
  }
}
