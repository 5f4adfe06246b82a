// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.cli;

import dev.weir.policy.Compilation;
import dev.weir.policy.json.Json;
import dev.weir.policy.source.Diagnostic;
import java.io.PrintWriter;
import java.nio.file.Path;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;
import picocli.CommandLine.Spec.Target;

/** What every offline command takes: policy files and an output format. */
final class PolicyInput {

  @Spec(Target.MIXEE)
  private CommandSpec spec = CommandSpec.create();

  @Parameters(
      index = "0",
      paramLabel = "DIR",
      description = "Policy files: a directory of YAML and JSON files, or one file.")
  private Path directory = Path.of(".");

  @Option(
      names = {"-o", "--output"},
      paramLabel = "FORMAT",
      description = "How to answer: ${COMPLETION-CANDIDATES}. Default: ${DEFAULT-VALUE}.")
  private OutputFormat format = OutputFormat.text;

  @Option(
      names = {"-h", "--help"},
      usageHelp = true,
      description = "Show this help and exit.")
  private boolean help;

  Path directory() {
    return directory;
  }

  boolean json() {
    return format == OutputFormat.json;
  }

  boolean help() {
    return help;
  }

  PrintWriter out() {
    return spec.commandLine().getOut();
  }

  /** Says why the files were refused. */
  int refuse(Compilation.Refused refused) {
    if (json()) {
      out().print(Json.pretty(Reports.diagnostics(refused.errors(), refused.warnings())));
    } else {
      refused.warnings().forEach(w -> print("warning", w));
      refused.errors().forEach(e -> print("error", e));
      out()
          .println(
              refused.errors().size()
                  + (refused.errors().size() == 1 ? " error" : " errors")
                  + ": the files are refused");
    }
    out().flush();
    return ExitCodes.FINDINGS;
  }

  void print(String severity, Diagnostic diagnostic) {
    String style = severity.equals("error") ? "bold,red" : "bold,yellow";
    // Colour only on a terminal; the diagnostic's own text is never taken for markup.
    String word =
        spec.commandLine().getColorScheme().ansi().string("@|" + style + " " + severity + "|@");
    out().println(word + ": " + diagnostic);
  }
}
