// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.cli;

import dev.weir.node.agent.Agent;
import dev.weir.node.agent.AgentSettings;
import dev.weir.node.agent.Log;
import dev.weir.node.agent.ProxyCommand;
import dev.weir.node.kernel.Places;
import dev.weir.node.telemetry.KernelMetrics;
import java.io.IOException;
import java.net.InetAddress;
import java.nio.file.Path;
import java.time.Clock;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.ParentCommand;
import picocli.CommandLine.Spec;

/** {@code weir up DIR}. */
@Command(
    name = "up",
    description =
        "Put a directory in force and stay: follow the files, mind the proxy, serve metrics. With"
            + " -o json the log is JSON lines.",
    footer =
        "%nWhen it is told to end (SIGTERM, Ctrl-C) or is killed, everything stays in force and the"
            + " proxy goes on; the next `weir up` takes over. `weir down` removes everything.",
    mixinStandardHelpOptions = true)
final class UpCommand implements Callable<Integer> {

  private static final Duration START_LIMIT = Duration.ofSeconds(20);

  @Mixin private NodeOptions options = new NodeOptions();

  @ParentCommand
  @SuppressWarnings("NullAway.Init") // picocli sets it before anything is called
  private Weir weir;

  @Spec
  @SuppressWarnings("NullAway.Init") // picocli sets it before anything is called
  private CommandSpec command;

  @Parameters(paramLabel = "DIR", description = "With the policy files.")
  @SuppressWarnings("NullAway.Init")
  private Path directory;

  @Option(
      names = "--proxy-user",
      paramLabel = "UID",
      description = "Number of the user the proxy runs as (WEIR_PROXY_USER; ${DEFAULT-VALUE}).",
      defaultValue = "${env:WEIR_PROXY_USER:-" + ProxyCommand.DEFAULT_USER + "}")
  private int proxyUser;

  @Option(
      names = "--scrape-address",
      paramLabel = "ADDRESS",
      description = "Where metrics and health are served (WEIR_SCRAPE_ADDRESS; ${DEFAULT-VALUE}).",
      defaultValue = "${env:WEIR_SCRAPE_ADDRESS:-127.0.0.1}")
  @SuppressWarnings("NullAway.Init")
  private String scrapeAddress;

  @Option(
      names = "--home",
      paramLabel = "DIR",
      description = "What `make build` lays out, with the proxy (WEIR_HOME).",
      defaultValue = "${env:WEIR_HOME}")
  private Optional<Path> home = Optional.empty();

  @Option(
      names = "--max-series",
      paramLabel = "N",
      description =
          "Pairs, and kinds of refusals, with metric series of their own (WEIR_MAX_SERIES;"
              + " ${DEFAULT-VALUE}). The rest is added up in a series called overflow.",
      defaultValue = "${env:WEIR_MAX_SERIES:-" + KernelMetrics.DEFAULT_SERIES + "}")
  private int maxSeries;

  @Option(
      names = "--flow-log-size",
      paramLabel = "MIB",
      description =
          "What the flow log may take in the state directory, in MiB (WEIR_FLOW_LOG_SIZE;"
              + " ${DEFAULT-VALUE}); 0 for none.",
      defaultValue = "${env:WEIR_FLOW_LOG_SIZE:-16}")
  private int flowLogSize;

  @Option(
      names = "--down-on-exit",
      description = "Remove everything when told to end, instead of leaving it in force.")
  private boolean downOnExit;

  @Override
  public Integer call() throws IOException, InterruptedException {
    if (maxSeries < 0 || flowLogSize < 0) {
      throw new CommandLine.ParameterException(
          command.commandLine(), "--max-series and --flow-log-size: expected 0 or more");
    }
    Places places = options.places();
    options.requirePrivileges(places);
    Log log = new Log(System.err, options.json(), weir.verbose(), Clock.systemUTC());
    AgentSettings settings =
        new AgentSettings(
            places,
            directory.toAbsolutePath().normalize(),
            new ProxyCommand(
                java(), home.orElse(Path.of("target/dist")).toAbsolutePath(), proxyUser),
            InetAddress.getByName(scrapeAddress),
            downOnExit,
            AgentSettings.DEFAULT_QUIET,
            new AgentSettings.Telemetry(
                maxSeries,
                (long) flowLogSize << 20,
                AgentSettings.Telemetry.DEFAULT.flowInterval()),
            AgentSettings.DEFAULT_AUDIT_INTERVAL);
    CompletableFuture<Agent> started = new CompletableFuture<>();
    Runtime.getRuntime().addShutdownHook(new Thread(() -> end(started)));
    try {
      started.complete(Agent.start(settings, log));
    } catch (IOException | RuntimeException e) {
      started.completeExceptionally(e);
      throw e;
    }
    started.join().await();
    return ExitCode.OK;
  }

  /** Told to end while it starts, it first comes to a state that can be left. */
  private static void end(CompletableFuture<Agent> started) {
    try {
      started.get(START_LIMIT.toSeconds(), TimeUnit.SECONDS).close();
    } catch (ExecutionException e) {
      return; // it never started, and has its own exit status
    } catch (TimeoutException | InterruptedException e) {
      return; // what is in force can be left as it is
    }
    // Told to end, and ended as told: not the 143 of a process that a signal killed.
    Runtime.getRuntime().halt(ExitCode.OK);
  }

  private static Path java() {
    return Path.of(System.getProperty("java.home"), "bin", "java");
  }
}
