// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.cli;

import dev.weir.node.agent.Operations;
import dev.weir.node.kernel.KernelNode;
import dev.weir.node.kernel.Places;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code weir apply DIR}. */
@Command(
    name = "apply",
    description =
        "Put a directory in force and exit; it stays in force with nothing of ours running. When an"
            + " agent runs, it does it, and follows that directory from then on.",
    mixinStandardHelpOptions = true)
final class ApplyCommand implements Callable<Integer> {

  @Mixin private NodeOptions options = new NodeOptions();

  @Parameters(paramLabel = "DIR", description = "With the policy files.")
  @SuppressWarnings("NullAway.Init") // picocli sets it before anything is called
  private Path directory;

  @Option(
      names = "--confirm-within",
      paramLabel = "TIME",
      converter = DurationConverter.class,
      description =
          "Go back to what was in force before unless `weir confirm` comes within this time (30s,"
              + " 5m, 1h; at most 24h). The kernel does it by itself.")
  private Duration confirmWithin = Duration.ZERO;

  @Override
  public Integer call() throws IOException {
    Path where = directory.toAbsolutePath().normalize();
    Places places = options.places();
    Optional<Map<String, Object>> byAgent = Operations.apply(places, where, confirmWithin);
    Map<String, Object> result;
    int status = ExitCode.OK;
    if (byAgent.isPresent()) {
      result = byAgent.get();
    } else {
      try (KernelNode node = options.node()) {
        result = Operations.applyWithoutAgent(node, where, confirmWithin);
        status = node.agentRequired() ? ExitCode.AGENT_REQUIRED : ExitCode.OK;
      }
    }
    options.print(result, Operations.describe(result));
    return status;
  }
}
