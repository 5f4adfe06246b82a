// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.cli;

import dev.weir.policy.Analysis;
import dev.weir.policy.Compilation;
import dev.weir.policy.PlanBudget;
import dev.weir.policy.PolicyCompiler;
import dev.weir.policy.json.Json;
import dev.weir.policy.model.Budget;
import dev.weir.policy.model.Located;
import dev.weir.policy.model.Mesh;
import dev.weir.policy.plan.Footprint;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.PlanCodec;
import dev.weir.policy.plan.Service;
import dev.weir.policy.source.SourceTree;
import dev.weir.policy.steer.Steering;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code weir compile DIR}: the plan, its size and its tiers. */
@Command(
    name = "compile",
    description = "Compiles policy files and shows the plan: sizes, tiers and why, verdicts.",
    exitCodeListHeading = "%nExit codes:%n",
    exitCodeList = {
      "0:compiled",
      "1:the files are refused, or the plan cannot be written",
      "2:the command line is wrong"
    })
public final class CompileCommand implements Callable<Integer> {

  @Mixin private final PolicyInput input = new PolicyInput();

  @Option(
      names = "--write",
      paramLabel = "FILE",
      description = "Also write the plan to this file, in Weir's own binary form.")
  private Optional<Path> file = Optional.empty();

  /** For picocli. */
  public CompileCommand() {}

  @Override
  public Integer call() {
    Analysis analysis = PolicyCompiler.checkAnalysis(SourceTree.read(input.directory()));
    return switch (analysis.compilation()) {
      case Compilation.Refused refused -> input.refuse(refused);
      case Compilation.Compiled compiled ->
          show(
              compiled,
              analysis.steering(),
              analysis.cluster().mesh().map(Mesh::budget).orElse(Budget.NONE));
    };
  }

  private void show(Footprint footprint, Budget budget) {
    bound("map entries", footprint.entries(), budget.mapEntries());
    bound("map bytes", footprint.bytesOfBothSlots(), budget.mapBytes());
    bound("proxy bytes", footprint.proxyBytes(), budget.proxyBytes());
  }

  private void bound(String name, long taken, Optional<Located<Integer>> bound) {
    input.out().printf("%-14s %d%s%n", name, taken, bound.map(b -> " of " + b.value()).orElse(""));
  }

  private int show(Compilation.Compiled compiled, Steering steering, Budget budget) {
    Plan plan = compiled.plan();
    if (file.isPresent()) {
      try {
        Files.write(file.get(), PlanCodec.encode(plan));
      } catch (IOException e) {
        input.out().println("error: cannot write " + file.get() + ": " + e);
        input.out().flush();
        return ExitCodes.FINDINGS;
      }
    }
    if (input.json()) {
      input.out().print(Json.pretty(Reports.plan(plan, steering, budget)));
    } else {
      compiled.warnings().forEach(w -> input.print("warning", w));
      for (Map.Entry<String, Object> size : Reports.sizes(plan).entrySet()) {
        input.out().printf("%-14s %s%n", size.getKey(), size.getValue());
      }
      show(Footprint.of(plan), budget);
      PlanBudget.largest(plan)
          .forEach(c -> input.out().printf("%-14s %s%n", "largest", c.describe()));
      for (Service service : plan.services()) {
        var workload = plan.workloads().get(service.workload());
        input
            .out()
            .printf(
                "%s/%s %s %s %d: %s (%s)%n",
                workload.namespace(),
                workload.name(),
                service.address(),
                service.protocol(),
                service.port(),
                service.tier().name().toLowerCase(Locale.ROOT),
                Reports.why(plan, steering, service));
      }
    }
    input.out().flush();
    return ExitCodes.OK;
  }
}
