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

/** {@code weir confirm}. */
@Command(
    name = "confirm",
    description = "Keep what `weir apply --confirm-within` has put in force.",
    mixinStandardHelpOptions = true)
final class ConfirmCommand implements Callable<Integer> {

  @Mixin private NodeOptions options = new NodeOptions();

  @Override
  public Integer call() throws IOException {
    Places places = options.places();
    if (!Operations.confirm(places)) {
      try (KernelNode node = options.node()) {
        node.confirm();
      }
    }
    options.print(Map.of("confirmed", true), "confirmed: it stays in force");
    return ExitCode.OK;
  }
}
