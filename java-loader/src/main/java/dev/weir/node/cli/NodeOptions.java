// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.cli;

import dev.weir.node.bpf.BpfException;
import dev.weir.node.kernel.KernelNode;
import dev.weir.node.kernel.NodeException;
import dev.weir.node.kernel.Places;
import dev.weir.policy.json.Json;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** What every command of the node takes: where the mesh lives, and how to answer. */
final class NodeOptions {

  /** How to answer. */
  enum Output {
    text,
    json
  }

  @Option(
      names = "--pin-dir",
      paramLabel = "DIR",
      description = "Where programs and maps are pinned (WEIR_PIN_DIR; /sys/fs/bpf/weir).")
  private Optional<Path> pinDir = Optional.empty();

  @Option(
      names = "--run-dir",
      paramLabel = "DIR",
      description = "What goes with the pins: sockets, generations (WEIR_RUN_DIR; /run/weir).")
  private Optional<Path> runDir = Optional.empty();

  @Option(
      names = "--state-dir",
      paramLabel = "DIR",
      description =
          "What outlives a boot: the last good generation (WEIR_STATE_DIR; /var/lib/weir).")
  private Optional<Path> stateDir = Optional.empty();

  @Option(
      names = "--cgroup-root",
      paramLabel = "DIR",
      description = "Cgroup to govern (WEIR_CGROUP_ROOT; where cgroup2 is mounted).")
  private Optional<Path> cgroupRoot = Optional.empty();

  @Option(
      names = "--netns",
      paramLabel = "FILE",
      description = "Network namespace whose ports are owned (WEIR_NETNS; the caller's).")
  private Optional<Path> netns = Optional.empty();

  @Option(
      names = {"-o", "--output"},
      paramLabel = "FORMAT",
      description = "How to answer: ${COMPLETION-CANDIDATES} (text).")
  private Output output = Output.text;

  @Spec(Spec.Target.MIXEE)
  @SuppressWarnings("NullAway.Init") // picocli sets it before anything is called
  private CommandSpec command;

  /** Where the mesh lives: options first, then the environment, then the defaults. */
  Places places() {
    Map<String, String> environment = new HashMap<>(System.getenv());
    put(environment, "WEIR_PIN_DIR", pinDir);
    put(environment, "WEIR_RUN_DIR", runDir);
    put(environment, "WEIR_STATE_DIR", stateDir);
    put(environment, "WEIR_CGROUP_ROOT", cgroupRoot);
    put(environment, "WEIR_NETNS", netns);
    return Places.of(environment);
  }

  private static void put(Map<String, String> environment, String name, Optional<Path> path) {
    path.ifPresent(value -> environment.put(name, value.toAbsolutePath().normalize().toString()));
  }

  /**
   * The mesh at these places.
   *
   * @throws MissingException when this user cannot have one
   */
  KernelNode node() {
    Places places = places();
    requirePrivileges(places);
    return KernelNode.open(places);
  }

  /**
   * What is missing is asked first of a user who is not root, for whom it costs nothing. For root
   * it means loading all programs once more, so it is asked when something has failed ({@link
   * #missing}).
   *
   * @throws MissingException when this user cannot have a mesh
   */
  void requirePrivileges(Places places) {
    try {
      if (Files.getAttribute(Path.of("/proc/self"), "unix:uid").equals(0)) {
        return;
      }
    } catch (IOException e) {
      return; // whatever it is, the kernel will say it better
    }
    List<String> missing = KernelNode.missing(places);
    if (!missing.isEmpty()) {
      throw new MissingException(missing);
    }
  }

  /** What this kernel or user lacks; nothing when that cannot be said. */
  List<String> missing() {
    try {
      return KernelNode.missing(places());
    } catch (NodeException | BpfException e) {
      return List.of();
    }
  }

  boolean json() {
    return output == Output.json;
  }

  /** Answers: one line of JSON, or text. */
  void print(Map<String, ?> json, String text) {
    out().println(json() ? Json.line(json) : text);
    out().flush();
  }

  PrintWriter out() {
    return command.commandLine().getOut();
  }
}
