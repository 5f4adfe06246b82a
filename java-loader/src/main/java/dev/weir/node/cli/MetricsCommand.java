// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.cli;

import dev.weir.node.agent.NodeHealth;
import dev.weir.node.kernel.KernelNode;
import dev.weir.node.telemetry.KernelMetrics;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code weir metrics}. */
@Command(
    name = "metrics",
    description =
        "Print the kernel's counters, and the proxy's if one runs, as Prometheus reads them. Needs"
            + " no agent.",
    mixinStandardHelpOptions = true)
final class MetricsCommand implements Callable<Integer> {

  @Mixin private NodeOptions options = new NodeOptions();

  @Option(
      names = "--max-series",
      paramLabel = "N",
      description =
          "Pairs, and kinds of refusals, with series of their own (WEIR_MAX_SERIES;"
              + " ${DEFAULT-VALUE}).",
      defaultValue = "${env:WEIR_MAX_SERIES:-" + KernelMetrics.DEFAULT_SERIES + "}")
  private int maxSeries;

  @Override
  public Integer call() {
    try (KernelNode node = options.node()) {
      String text = NodeHealth.metrics(node, maxSeries);
      options.print(Map.of("metrics", text), text.stripTrailing());
    }
    return ExitCode.OK;
  }
}
