// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.agent;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/**
 * A process that cannot be mistaken for a later one with the same number.
 *
 * @param pid number
 * @param started clock ticks since boot (field 22 of proc_pid_stat(5)); unlike a wall-clock time
 *     this does not move when the clock is set
 */
public record ProcessId(long pid, long started) {

  /** The process that has a number now; empty when there is none, or it has ended already. */
  public static Optional<ProcessId> of(long pid) {
    String stat;
    try {
      stat = Files.readString(Path.of("/proc", Long.toString(pid), "stat"), StandardCharsets.UTF_8);
    } catch (IOException e) {
      return Optional.empty();
    }
    // The command, field 2, stands in parentheses and may hold anything, parentheses too.
    List<String> fields = List.of(stat.substring(stat.lastIndexOf(')') + 2).strip().split(" ", -1));
    String state = fields.get(0);
    if (state.equals("Z") || state.equals("X")) {
      return Optional.empty();
    }
    return Optional.of(new ProcessId(pid, Long.parseLong(fields.get(19))));
  }

  /** What {@link #write} wrote; empty when there is no such file or it says something else. */
  public static Optional<ProcessId> read(Path file) {
    try {
      List<String> fields = List.of(Files.readString(file).strip().split(" ", -1));
      if (fields.size() != 2) {
        return Optional.empty();
      }
      return Optional.of(
          new ProcessId(Long.parseLong(fields.get(0)), Long.parseLong(fields.get(1))));
    } catch (IOException | NumberFormatException e) {
      return Optional.empty();
    }
  }

  /** Writes {@code PID STARTED}. */
  public void write(Path file) throws IOException {
    Files.writeString(file, pid + " " + started + "\n");
  }

  /** Whether it still runs. */
  public boolean alive() {
    return of(pid).filter(this::equals).isPresent();
  }

  /** Ends it at once (SIGKILL), if it still runs. */
  void kill() {
    if (alive()) {
      ProcessHandle.of(pid).ifPresent(ProcessHandle::destroyForcibly);
    }
  }
}
