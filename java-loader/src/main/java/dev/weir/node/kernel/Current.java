// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.TlsKeyPair;
import java.time.Duration;
import java.util.List;
import java.util.Optional;

/**
 * The generation in force.
 *
 * @param generation its number
 * @param slot 0 or 1
 * @param unconfirmed time left in which it must be confirmed; empty when it stays
 * @param plan as applied
 * @param keyPairs as applied
 * @param workloadNumbers stable number of each workload of the plan, by index
 * @param ruleNumbers stable number of each rule of the plan, by index
 */
public record Current(
    long generation,
    int slot,
    Optional<Duration> unconfirmed,
    Plan plan,
    List<TlsKeyPair> keyPairs,
    List<Integer> workloadNumbers,
    List<Integer> ruleNumbers) {
  /** Copies the lists. */
  public Current {
    keyPairs = List.copyOf(keyPairs);
    workloadNumbers = List.copyOf(workloadNumbers);
    ruleNumbers = List.copyOf(ruleNumbers);
  }

  /**
   * Whether this is the generation that stands for nothing being in force: before the first one is
   * pinned, after a first one that was not confirmed, and while {@code down} takes the programs
   * away.
   */
  public boolean governsNobody() {
    return plan.settings().mesh().equals(Generation.NOBODY);
  }
}
