// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.cli;

import dev.weir.node.agent.ProxyCommand;
import dev.weir.node.identity.CertificateAuthority;
import dev.weir.node.identity.IdentityDirectory;
import dev.weir.node.kernel.Places;
import dev.weir.policy.json.Json;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.time.InstantSource;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** What every command of the authority takes. It touches no kernel, so it asks for none. */
final class CaOptions {

  @Option(
      names = "--state-dir",
      paramLabel = "DIR",
      description = "The authority is in ca/ below it (WEIR_STATE_DIR; /var/lib/weir).")
  private Optional<Path> stateDir = Optional.empty();

  @Option(
      names = "--run-dir",
      paramLabel = "DIR",
      description = "Leaves go to identities/ below it (WEIR_RUN_DIR; /run/weir).")
  private Optional<Path> runDir = Optional.empty();

  @Option(
      names = "--proxy-user",
      paramLabel = "UID",
      description = "Number of the group that may read them (WEIR_PROXY_USER; ${DEFAULT-VALUE}).",
      defaultValue = "${env:WEIR_PROXY_USER:-" + ProxyCommand.DEFAULT_USER + "}")
  private int proxyUser;

  @Option(
      names = {"-o", "--output"},
      paramLabel = "FORMAT",
      description = "How to answer: ${COMPLETION-CANDIDATES} (text).")
  private NodeOptions.Output output = NodeOptions.Output.text;

  @Spec(Spec.Target.MIXEE)
  @SuppressWarnings("NullAway.Init") // picocli sets it before anything is called
  private CommandSpec command;

  /** The authority of these places. */
  CertificateAuthority authority() {
    Map<String, String> environment = new HashMap<>(System.getenv());
    put(environment, "WEIR_STATE_DIR", stateDir);
    put(environment, "WEIR_RUN_DIR", runDir);
    environment.put("WEIR_CGROUP_ROOT", "/"); // not used; what is not named would be looked for
    Places places = Places.of(environment);
    return new CertificateAuthority(
        places.stateDir(),
        new IdentityDirectory(places.runDir(), proxyUser),
        InstantSource.system());
  }

  private static void put(Map<String, String> environment, String name, Optional<Path> path) {
    path.ifPresent(value -> environment.put(name, value.toAbsolutePath().normalize().toString()));
  }

  /** Answers: one line of JSON, or text. */
  void print(Map<String, ?> json, String text) {
    PrintWriter out = command.commandLine().getOut();
    out.println(output == NodeOptions.Output.json ? Json.line(json) : text);
    out.flush();
  }

  CommandSpec command() {
    return command;
  }
}
