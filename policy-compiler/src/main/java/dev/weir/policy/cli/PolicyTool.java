// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.cli;

import java.util.List;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** The offline commands by themselves, for machines that only look at policy. */
@Command(
    name = "weir-policy",
    description = "Reads Weir policy files and answers questions about them.",
    subcommands = {
      CheckCommand.class,
      ExplainCommand.class,
      AllowedCommand.class,
      RouteCommand.class,
      DiffCommand.class,
      TestCommand.class,
      ReplayCommand.class,
      CompileCommand.class,
      SchemaCommand.class
    })
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
    return List.of(PolicyTool.class.getAnnotation(Command.class).subcommands());
  }

  /** The command line, ready to execute. */
  public static CommandLine commandLine() {
    return new CommandLine(new PolicyTool());
  }

  boolean help() {
    return help;
  }

  /** Runs one command. */
  public static void main(String[] arguments) {
    System.exit(commandLine().execute(arguments));
  }
}
