// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * Where a mesh lives on its node. Two meshes with different places never meet, as long as their
 * cgroup roots do not contain each other.
 *
 * @param pinDir below a bpf file system; programs, maps and links are pinned here
 * @param runDir what goes with the pins
 * @param stateDir what outlives the boot
 * @param cgroupRoot cgroup at which the programs are attached: the cgroup2 mount, or one below it
 * @param netns network namespace whose ports are owned; empty for the caller's own
 */
public record Places(
    Path pinDir, Path runDir, Path stateDir, Path cgroupRoot, Optional<Path> netns) {

  private static final Path MOUNTINFO = Path.of("/proc/self/mountinfo");

  /**
   * The places a process's environment names ({@code WEIR_PIN_DIR}, {@code WEIR_RUN_DIR}, {@code
   * WEIR_STATE_DIR}, {@code WEIR_CGROUP_ROOT}, {@code WEIR_NETNS}), and the defaults of {@code
   * docs/protocols.md} for the others.
   *
   * @throws NodeException when no cgroup2 is mounted and none is named
   */
  public static Places of(Map<String, String> environment) {
    return new Places(
        path(environment, "WEIR_PIN_DIR", "/sys/fs/bpf/weir"),
        path(environment, "WEIR_RUN_DIR", "/run/weir"),
        path(environment, "WEIR_STATE_DIR", "/var/lib/weir"),
        Optional.ofNullable(environment.get("WEIR_CGROUP_ROOT"))
            .map(Path::of)
            .orElseGet(Places::cgroup2Mount),
        Optional.ofNullable(environment.get("WEIR_NETNS")).map(Path::of));
  }

  private static Path path(Map<String, String> environment, String name, String otherwise) {
    return Path.of(environment.getOrDefault(name, otherwise));
  }

  /**
   * Where cgroup2 is mounted.
   *
   * @throws NodeException when it is not
   */
  public static Path cgroup2Mount() {
    return cgroup2Mounts().stream()
        .filter(mount -> mount.root().equals("/"))
        .findFirst()
        .or(() -> cgroup2Mounts().stream().findFirst())
        .map(Mount::point)
        .orElseThrow(
            () ->
                new NodeException(
                    "no cgroup2 file system is mounted (looked in /proc/self/mountinfo);"
                        + " mount one: mount -t cgroup2 none /sys/fs/cgroup/unified"));
  }

  /** The cgroup2 mount that contains a path, with its root within the hierarchy. */
  record Mount(Path point, String root) {}

  static List<Mount> cgroup2Mounts() {
    List<String> lines;
    try {
      lines = Files.readAllLines(MOUNTINFO);
    } catch (IOException e) {
      throw new NodeException("cannot read " + MOUNTINFO + ": " + e.getMessage(), e);
    }
    return lines.stream().flatMap(line -> parse(line).stream()).toList();
  }

  /** proc_pid_mountinfo(5): optional fields end with a lone hyphen; spaces are written \040. */
  private static Optional<Mount> parse(String line) {
    int separator = line.indexOf(" - ");
    if (separator < 0 || !line.startsWith("cgroup2 ", separator + 3)) {
      return Optional.empty();
    }
    List<String> fields = List.of(line.substring(0, separator).split(" ", -1));
    if (fields.size() < 5) {
      return Optional.empty();
    }
    return Optional.of(new Mount(Path.of(unescape(fields.get(4))), unescape(fields.get(3))));
  }

  private static String unescape(String field) {
    return field
        .replace("\\040", " ")
        .replace("\\011", "\t")
        .replace("\\012", "\n")
        .replace("\\134", "\\");
  }
}
