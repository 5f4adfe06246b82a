// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.cli;

import dev.weir.node.agent.Frame;
import dev.weir.node.agent.FrameType;
import dev.weir.node.agent.Operations;
import dev.weir.policy.json.JsonObject;
import java.io.IOException;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Parameters;

/** {@code weir canary}. */
@Command(
    name = "canary",
    description =
        "Backends that TrafficPolicies have on trial (canaryRollback). Asks the proxy; needs no"
            + " agent.",
    mixinStandardHelpOptions = true,
    synopsisSubcommandLabel = "COMMAND",
    subcommands = {CanaryCommand.List.class, CanaryCommand.Release.class})
final class CanaryCommand {

  /** {@code weir canary list}. */
  @Command(
      name = "list",
      description = "Print which backends are on trial, and which were rolled back and why.",
      mixinStandardHelpOptions = true)
  static final class List implements Callable<Integer> {

    @Mixin private NodeOptions options = new NodeOptions();

    @Override
    public Integer call() throws IOException {
      JsonObject answer = JsonObject.parse(Operations.canaries(options.places()), "the proxy");
      StringBuilder text = new StringBuilder();
      for (JsonObject canary : answer.objects("canaries")) {
        String rule = canary.text("rule");
        text.append(text.isEmpty() ? "" : "\n")
            .append(canary.text("backend"))
            .append(" of ")
            .append(canary.text("route"))
            .append(rule.isEmpty() ? "" : ", rule " + rule)
            .append(" by TrafficPolicy ")
            .append(canary.text("policy"))
            .append(": ")
            .append(
                canary.optionalText("reason").isPresent()
                    ? "rolled back at " + canary.text("at") + ": " + canary.text("reason")
                    : "on trial");
      }
      options.print(answer.toMap(), text.isEmpty() ? "no backend is on trial" : text.toString());
      return ExitCode.OK;
    }
  }

  /** {@code weir canary release}. */
  @Command(
      name = "release",
      description = "Give a backend that was rolled back its weight again; it is measured anew.",
      mixinStandardHelpOptions = true)
  static final class Release implements Callable<Integer> {

    @Mixin private NodeOptions options = new NodeOptions();

    @Parameters(
        index = "0",
        paramLabel = "ROUTE",
        description = "The HTTPRoute or GRPCRoute: NAMESPACE/NAME.")
    private String route = "";

    @Parameters(
        index = "1",
        arity = "0..1",
        paramLabel = "BACKEND",
        description = "Its Service: NAMESPACE/NAME. All that the route has, when left out.")
    private String backend = "";

    @Override
    public Integer call() throws IOException {
      Frame reply = Operations.release(options.places(), route, backend);
      if (reply.type() == FrameType.ERROR) {
        options.print(Map.of("error", reply.text()), reply.text());
        return ExitCode.REFUSED;
      }
      options.print(Map.of("released", true), "released: " + (backend.isEmpty() ? route : backend));
      return ExitCode.OK;
    }
  }
}
