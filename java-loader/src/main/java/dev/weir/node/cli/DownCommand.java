// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.cli;

import dev.weir.node.agent.Operations;
import dev.weir.node.kernel.KernelNode;
import dev.weir.node.kernel.Places;
import java.io.IOException;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;

/** {@code weir down}. */
@Command(
    name = "down",
    description =
        "Remove everything: agent, proxy, programs, maps. Nothing is refused any more. The last"
            + " good generation stays in the state directory.",
    mixinStandardHelpOptions = true)
final class DownCommand implements Callable<Integer> {

  @Mixin private NodeOptions options = new NodeOptions();

  @Override
  public Integer call() throws IOException {
    Places places = options.places();
    if (!Operations.down(places)) {
      try (KernelNode node = options.node()) {
        Operations.downWithoutAgent(node);
      }
    }
    options.print(Map.of("down", true), "down: nothing is in force");
    return ExitCode.OK;
  }
}
