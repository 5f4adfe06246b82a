// SPDX-License-Identifier: Apache-2.0
package dev.weir.perf.connect;

import dev.weir.node.kernel.Applied;
import dev.weir.node.kernel.KernelNode;
import dev.weir.node.kernel.Places;
import dev.weir.policy.plan.Plan;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Optional;

/**
 * What {@code weir apply} and {@code weir down} do, for {@link SyntheticPlan}, in a process of its
 * own: when it has ended, whatever still costs something is the kernel's part alone.
 */
public final class MeshCommand {

  private MeshCommand() {}

  /**
   * {@code apply ROOT PINS FILES WEB CART PROXY PORT}, or {@code down ROOT PINS FILES}. Prints how
   * many milliseconds the plan took from call to force.
   */
  public static void main(String[] args) {
    Places places =
        new Places(
            Path.of(args[2]),
            Path.of(args[3], "run"),
            Path.of(args[3], "state"),
            Path.of(args[1]),
            Optional.empty());
    try (KernelNode node = KernelNode.open(places)) {
      if (args[0].equals("down")) {
        node.down();
      } else {
        Plan plan = SyntheticPlan.of(args[4], args[5], args[6], Integer.parseInt(args[7]));
        Applied applied = node.apply(plan, List.of(), Duration.ZERO);
        System.out.println(applied.took().toMillis());
      }
    }
  }
}
