// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.plan;

import java.util.List;

/**
 * What the agent tells the proxy: one generation, cut to what the proxy needs.
 *
 * @param generation its number
 * @param plan with the verdicts that name a proxy service or a backend of one, and without what
 *     only the kernel needs ({@link PlanCodec#forProxy})
 * @param workloadNumbers stable number of each workload of the plan, by index: what the kernel
 *     names as the source of a connection
 * @param keyPairs key pairs that listeners name
 */
public record ProxyUpdate(
    long generation, Plan plan, List<Integer> workloadNumbers, List<TlsKeyPair> keyPairs) {
  /** Copies the lists. */
  public ProxyUpdate {
    workloadNumbers = List.copyOf(workloadNumbers);
    keyPairs = List.copyOf(keyPairs);
  }
}
