// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.cli;

import dev.weir.policy.Compilation;
import dev.weir.policy.PolicyCompiler;
import dev.weir.policy.json.Json;
import dev.weir.policy.source.SourceTree;
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

  /** For picocli. */
  public CheckCommand() {}

  @Override
  public Integer call() {
    Compilation compilation = PolicyCompiler.check(SourceTree.read(input.directory()));
    if (compilation instanceof Compilation.Refused refused) {
      return input.refuse(refused);
    }
    if (input.json()) {
      input.out().print(Json.pretty(Reports.diagnostics(List.of(), compilation.warnings())));
    } else {
      compilation.warnings().forEach(w -> input.print("warning", w));
      int warnings = compilation.warnings().size();
      input
          .out()
          .println(
              "ok"
                  + (warnings == 0
                      ? ""
                      : ", " + warnings + (warnings == 1 ? " warning" : " warnings")));
    }
    input.out().flush();
    return strict && !compilation.warnings().isEmpty() ? ExitCodes.FINDINGS : ExitCodes.OK;
  }
}
