// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.listen;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/**
 * The memory that the kernel lets this process have, where its cgroup says so ({@code memory.max}
 * of version 2, {@code memory.limit_in_bytes} of version 1), and what is taken of it. Beyond it the
 * kernel would end the process, and everybody's connections with it.
 */
public final class MemoryLimit {

  /** Version 1 says this, rounded to pages, where there is none. */
  private static final long NO_LIMIT = 1L << 62;

  private final Path usage;
  private final Path statistics;
  private final List<String> reclaimable;
  private final long limit;

  private MemoryLimit(Path usage, Path statistics, List<String> reclaimable, long limit) {
    this.usage = usage;
    this.statistics = statistics;
    this.reclaimable = reclaimable;
    this.limit = limit;
  }

  /** This process's; empty where there is none, or none that can be read. */
  public static Optional<MemoryLimit> own() {
    try {
      return find(
          Files.readAllLines(Path.of("/proc/self/mountinfo")),
          Files.readAllLines(Path.of("/proc/self/cgroup")));
    } catch (IOException | NumberFormatException e) {
      return Optional.empty();
    }
  }

  /**
   * The narrowest of a cgroup and those above it.
   *
   * @param mounts lines of proc_pid_mountinfo(5)
   * @param cgroups lines of proc_pid_cgroup(5)
   */
  static Optional<MemoryLimit> find(List<String> mounts, List<String> cgroups) throws IOException {
    for (String line : mounts) {
      int dash = line.indexOf(" - ");
      String[] fields = line.substring(0, Math.max(0, dash)).split(" ", -1);
      if (dash < 0 || fields.length < 5) {
        continue;
      }
      String type = line.substring(dash + 3);
      boolean first = type.startsWith("cgroup ") && type.matches(".*[ ,]memory(,.*)?");
      boolean second = type.startsWith("cgroup2 ");
      if (!first && !second) {
        continue;
      }
      for (String group : cgroups) {
        String[] parts = group.split(":", 3);
        boolean ours =
            second
                ? parts[0].equals("0") && parts[1].isEmpty()
                : List.of(parts[1].split(",", -1)).contains("memory");
        if (ours) {
          Path mount = Path.of(fields[4]);
          Path inside = Path.of(fields[3]).relativize(Path.of(parts[2])).normalize();
          Optional<MemoryLimit> found =
              inside.startsWith("..") ? Optional.empty() : narrowest(mount, inside, second);
          if (found.isPresent()) {
            return found;
          }
        }
      }
    }
    return Optional.empty();
  }

  private static Optional<MemoryLimit> narrowest(Path mount, Path inside, boolean second)
      throws IOException {
    Optional<MemoryLimit> narrowest = Optional.empty();
    for (Path at = mount.resolve(inside); at != null && at.startsWith(mount); at = at.getParent()) {
      Path file = at.resolve(second ? "memory.max" : "memory.limit_in_bytes");
      String text = Files.exists(file) ? Files.readString(file).strip() : "max";
      long limit = text.equals("max") ? Long.MAX_VALUE : Long.parseLong(text);
      if (limit < narrowest.map(found -> found.limit).orElse(NO_LIMIT)) {
        narrowest =
            Optional.of(
                new MemoryLimit(
                    at.resolve(second ? "memory.current" : "memory.usage_in_bytes"),
                    at.resolve("memory.stat"),
                    second
                        ? List.of("active_file ", "inactive_file ")
                        : List.of("total_active_file ", "total_inactive_file "),
                    limit));
      }
    }
    return narrowest;
  }

  /** Bytes. */
  public long bytes() {
    return limit;
  }

  /** Bytes that are taken and cannot be taken back, as pages of files can. */
  public long taken() throws IOException {
    long taken = Long.parseLong(Files.readString(usage).strip());
    for (String line : Files.readAllLines(statistics)) {
      for (String name : reclaimable) {
        if (line.startsWith(name)) {
          taken -= Long.parseLong(line.substring(name.length()).strip());
        }
      }
    }
    return taken;
  }
}
