// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.agent;

import dev.weir.node.kernel.KernelTest;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** Processes of ours in the network namespace of a test's mesh, as on a machine of its own. */
final class NodeProcesses {

  private NodeProcesses() {}

  /** Runs a main class of the tests' class path. */
  static ProcessBuilder java(KernelTest node, String main, String... arguments) {
    List<String> command =
        new ArrayList<>(
            List.of(
                "nsenter",
                "--net=/run/netns/" + node.netns(),
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "--enable-native-access=ALL-UNNAMED",
                "--sun-misc-unsafe-memory-access=allow",
                "-XX:TieredStopAtLevel=1",
                "-XX:+UseSerialGC",
                "-cp",
                System.getProperty("java.class.path"),
                main));
    command.addAll(Arrays.asList(arguments));
    return new ProcessBuilder(command).redirectErrorStream(true);
  }

  /** The same in a cgroup below the mesh's, from its first instruction on. */
  static ProcessBuilder workload(KernelTest node, String cgroup, String main, String... arguments) {
    ProcessBuilder builder = java(node, main, arguments);
    List<String> command =
        new ArrayList<>(List.of("/bin/sh", "-c", "echo 0 >\"$0\" && exec \"$@\""));
    command.add(node.cgroup(cgroup).resolve("cgroup.procs").toString());
    command.addAll(builder.command());
    return builder.command(command);
  }

  /** {@code weir up} on a directory. */
  static ProcessBuilder up(KernelTest node, Path home, Path policies) {
    return java(
        node,
        "dev.weir.node.cli.Weir",
        "up",
        "--home=" + home,
        policies.toString(),
        "--pin-dir=" + node.places().pinDir(),
        "--run-dir=" + node.places().runDir(),
        "--state-dir=" + node.places().stateDir(),
        "--cgroup-root=" + node.places().cgroupRoot());
  }
}
