// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.cli;

import dev.weir.node.agent.NodeHealth;
import dev.weir.node.kernel.KernelNode;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;

/** {@code weir status}. */
@Command(
    name = "status",
    description =
        "What is in force, and whether everything that should be there is; exit status 1 when not.",
    mixinStandardHelpOptions = true)
final class StatusCommand implements Callable<Integer> {

  @Mixin private NodeOptions options = new NodeOptions();

  @Override
  public Integer call() {
    try (KernelNode node = options.node()) {
      NodeHealth health = NodeHealth.of(node);
      options.print(health.json(), health.text());
      return health.problems().isEmpty() ? ExitCode.OK : ExitCode.REFUSED;
    }
  }
}
