// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.cli;

import dev.weir.policy.schema.Schemas;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code weir schema KIND}: the JSON Schema of one of our kinds, for editors. */
@Command(
    name = "schema",
    description = "Prints the JSON Schema of a kind of weir.dev/v1alpha1, for editors.",
    exitCodeListHeading = "%nExit codes:%n",
    exitCodeList = {"0:printed", "2:the command line is wrong"})
public final class SchemaCommand implements Callable<Integer> {

  @Spec private CommandSpec spec = CommandSpec.create();

  @Parameters(
      index = "0",
      paramLabel = "KIND",
      description = "Workload, Mesh, TrafficPolicy or PolicyTest.")
  private String kind = "";

  @Option(
      names = {"-h", "--help"},
      usageHelp = true,
      description = "Show this help and exit.")
  private boolean help;

  /** For picocli. */
  public SchemaCommand() {}

  boolean help() {
    return help;
  }

  @Override
  public Integer call() {
    Optional<String> text = Schemas.text(kind);
    if (text.isEmpty()) {
      throw new ParameterException(
          spec.commandLine(),
          "there is no schema of \"" + kind + "\": " + String.join(", ", Schemas.KINDS));
    }
    spec.commandLine().getOut().print(text.get());
    spec.commandLine().getOut().flush();
    return ExitCodes.OK;
  }
}
