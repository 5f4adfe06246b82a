// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import java.time.Duration;
import java.util.List;

/**
 * What a comparison of the kernel with the plan has found.
 *
 * @param generation that was compared; 0 when it could not be told which is in force
 * @param drifts what differed, repaired or not
 * @param took how long
 */
public record Audit(long generation, List<Drift> drifts, Duration took) {
  /** Copies the list. */
  public Audit {
    drifts = List.copyOf(drifts);
  }

  /** What is still not as it should be. */
  public List<Drift> unrepaired() {
    return drifts.stream().filter(drift -> !drift.repaired()).toList();
  }
}
