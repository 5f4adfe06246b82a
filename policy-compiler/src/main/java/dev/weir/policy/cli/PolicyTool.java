// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.cli;

import java.util.List;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** The offline commands by themselves, for machines that only look at policy. */
@Command(
    name = "weir-policy",
    description = "Reads Weir policy files and answers questions about them.")
public final class PolicyTool {

  @Option(
      names = {"-h", "--help"},
      usageHelp = true,
      description = "Show this help and exit.")
  private boolean help;

  /** For picocli. */
  public PolicyTool() {}

  /** The commands, to be added to a larger one. */
  public static List<Class<?>> commands() {
    return List.of(
        CheckCommand.class,
        ExplainCommand.class,
        AllowedCommand.class,
        DiffCommand.class,
        TestCommand.class,
        CompileCommand.class);
  }

  /** The command line, ready to execute. */
  public static CommandLine commandLine() {
    CommandLine line = new CommandLine(new PolicyTool());
    commands().forEach(line::addSubcommand);
    return line;
  }

  boolean help() {
    return help;
  }

  /** Runs one command. */
  public static void main(String[] arguments) {
    System.exit(commandLine().execute(arguments));
  }
}
