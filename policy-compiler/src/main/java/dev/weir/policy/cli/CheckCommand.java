// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.cli;

import dev.weir.policy.Analysis;
import dev.weir.policy.Compilation;
import dev.weir.policy.PolicyCompiler;
import dev.weir.policy.json.Json;
import dev.weir.policy.source.Diagnostic;
import dev.weir.policy.source.Diagnostics;
import dev.weir.policy.source.Purpose;
import dev.weir.policy.source.SourceTree;
import dev.weir.policy.systemd.SocketActivation;
import dev.weir.policy.systemd.SocketUnitFiles;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code weir check DIR}: errors and warnings, with file, line, column and remedy. */
@Command(
    name = "check",
    description = "Reads policy files and says what is wrong with them.",
    exitCodeListHeading = "%nExit codes:%n",
    exitCodeList = {
      "0:no errors",
      "1:errors, or with --strict warnings",
      "2:the command line is wrong"
    })
public final class CheckCommand implements Callable<Integer> {

  @Mixin private final PolicyInput input = new PolicyInput();

  @Option(names = "--strict", description = "Let warnings count as errors.")
  private boolean strict;

  @Option(
      names = "--units",
      paramLabel = "DIR",
      split = ":",
      description =
          "Look for systemd's socket units there instead of where this machine has them: several"
              + " with ':', the first wins.")
  private List<Path> units = SocketUnitFiles.DIRECTORIES;

  /** For picocli. */
  public CheckCommand() {}

  @Override
  public Integer call() {
    Analysis analysis = PolicyCompiler.checkAnalysis(SourceTree.read(input.directory()));
    Compilation compilation = analysis.compilation();
    if (compilation instanceof Compilation.Refused refused) {
      return input.refuse(refused);
    }
    Diagnostics found = new Diagnostics(Purpose.CHECK);
    found.addAll(compilation.warnings());
    SocketActivation.check(analysis.cluster().workloads(), SocketUnitFiles.read(units), found);
    List<Diagnostic> warnings = found.warnings();
    if (input.json()) {
      input.out().print(Json.pretty(Reports.diagnostics(List.of(), warnings)));
    } else {
      warnings.forEach(w -> input.print("warning", w));
      int count = warnings.size();
      input
          .out()
          .println(
              "ok" + (count == 0 ? "" : ", " + count + (count == 1 ? " warning" : " warnings")));
    }
    input.out().flush();
    return strict && !warnings.isEmpty() ? ExitCodes.FINDINGS : ExitCodes.OK;
  }
}
