// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.cli;

import dev.weir.node.agent.PolicyRefusedException;
import dev.weir.node.bpf.BpfException;
import dev.weir.node.kernel.NodeException;
import dev.weir.policy.cli.PolicyTool;
import dev.weir.policy.json.Json;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileSystemException;
import java.nio.file.NoSuchFileException;
import java.util.List;
import java.util.Map;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.IVersionProvider;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParseResult;
import picocli.CommandLine.ScopeType;
import picocli.CommandLine.Spec;

/** The command {@code weir}. */
@Command(
    name = "weir",
    description = "A transparent service mesh for edge nodes.",
    mixinStandardHelpOptions = true,
    versionProvider = Weir.Version.class,
    synopsisSubcommandLabel = "COMMAND",
    exitCodeListHeading = "%nExit status:%n",
    exitCodeList = {
      "0:done; all is well",
      "1:refused; something is not as it should be",
      "2:the command line is wrong",
      "3:this user or kernel lacks something; one line says what"
    },
    subcommands = {
      UpCommand.class,
      ApplyCommand.class,
      ConfirmCommand.class,
      DownCommand.class,
      StatusCommand.class,
      MetricsCommand.class,
      FlowsCommand.class,
      TopCommand.class,
      CanaryCommand.class,
      CaCommand.class
    })
public final class Weir implements Runnable {

  @Option(
      names = "--verbose",
      scope = ScopeType.INHERIT,
      description = "Show what only helps to find mistakes in Weir itself.")
  private boolean verbose;

  @Spec
  @SuppressWarnings("NullAway.Init") // picocli sets it before anything is called
  private CommandSpec spec;

  /** The version is the build's. */
  static final class Version implements IVersionProvider {
    @Override
    public String[] getVersion() {
      String version = Weir.class.getPackage().getImplementationVersion();
      return new String[] {"weir " + (version == null ? "(unpackaged)" : version)};
    }
  }

  /** Whether to show more. */
  boolean verbose() {
    return verbose;
  }

  /** Called without a command. */
  @Override
  public void run() {
    throw new CommandLine.ParameterException(spec.commandLine(), "which command?");
  }

  /** The command line, ready to execute. */
  static CommandLine commandLine() {
    Weir weir = new Weir();
    CommandLine line = new CommandLine(weir);
    PolicyTool.commands().forEach(line::addSubcommand);
    line.setCaseInsensitiveEnumValuesAllowed(true);
    line.setExecutionExceptionHandler(weir::failed);
    return line;
  }

  private int failed(Exception e, CommandLine line, ParseResult result) {
    if (verbose) {
      e.printStackTrace(line.getErr());
    }
    List<String> missing = missing(e, line);
    String message =
        missing.isEmpty() ? message(e) : String.valueOf(new MissingException(missing).getMessage());
    if (wantsJson(result)) {
      line.getOut().println(Json.line(Map.of("error", message)));
      line.getOut().flush();
    }
    line.getErr().println("weir: " + message.strip());
    line.getErr().flush();
    return e instanceof MissingException || !missing.isEmpty()
        ? ExitCode.MISSING
        : ExitCode.REFUSED;
  }

  /** Whether what failed could not have succeeded here, whatever it was asked to do. */
  private static List<String> missing(Exception e, CommandLine line) {
    boolean suspicious =
        e instanceof BpfException
            || e instanceof NodeException
            || e instanceof AccessDeniedException;
    CommandSpec mixin = line.getCommandSpec().mixins().get("options");
    if (mixin != null
        && mixin.userObject() instanceof CaOptions
        && e.getCause() instanceof AccessDeniedException) {
      return List.of(message(e));
    }
    return suspicious && mixin != null && mixin.userObject() instanceof NodeOptions options
        ? options.missing()
        : List.of();
  }

  private static boolean wantsJson(ParseResult result) {
    ParseResult last = result;
    while (last.hasSubcommand()) {
      last = last.subcommand();
    }
    return last.hasMatchedOption("-o")
        && String.valueOf(last.<Object>matchedOptionValue("-o", "")).equals("json");
  }

  /** What a user can do something with; the type of an exception only where it says more. */
  private static String message(Exception e) {
    return switch (e) {
      case MissingException missing -> String.valueOf(missing.getMessage());
      case PolicyRefusedException refused -> String.valueOf(refused.getMessage());
      case NodeException node -> String.valueOf(node.getMessage());
      case BpfException bpf -> String.valueOf(bpf.getMessage());
      case UncheckedIOException io when io.getCause() != null -> message(io.getCause());
      case AccessDeniedException denied ->
          denied.getFile()
              + ": permission denied; run as root, or name places of your own (--run-dir)";
      case NoSuchFileException none -> none.getFile() + ": no such file or directory";
      case FileSystemException file ->
          file.getFile() + ": " + (file.getReason() == null ? file.getClass() : file.getReason());
      case IOException io -> String.valueOf(io.getMessage());
      default -> "a mistake of ours: " + e + " (--verbose shows where; please report it)";
    };
  }

  /** Runs a command and ends the process with its exit status. */
  public static void main(String[] arguments) {
    System.exit(commandLine().execute(arguments));
  }
}
