// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.agent;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import java.util.UUID;

/** A memory cgroup of its own, of version 1 or 2, whichever this machine has. */
final class MemoryCgroup implements AutoCloseable {

  private final Path path;
  private final boolean first;

  private MemoryCgroup(Path path, boolean first) {
    this.path = path;
    this.first = first;
  }

  /** One with a limit; empty where none can be made. */
  static Optional<MemoryCgroup> make(long limit) throws IOException {
    for (String line : Files.readAllLines(Path.of("/proc/self/mountinfo"))) {
      String[] fields = line.split(" - ", 2);
      Path mount = Path.of(fields[0].split(" ", -1)[4]);
      boolean first = fields[1].startsWith("cgroup ") && fields[1].matches(".*[ ,]memory(,.*)?");
      boolean second =
          fields[1].startsWith("cgroup2 ")
              && Files.readString(mount.resolve("cgroup.subtree_control")).contains("memory");
      if ((first || second) && Files.isWritable(mount)) {
        Path path = Files.createDirectory(mount.resolve("weir-test-" + UUID.randomUUID()));
        MemoryCgroup made = new MemoryCgroup(path, first);
        try {
          Files.writeString(
              path.resolve(first ? "memory.limit_in_bytes" : "memory.max"), Long.toString(limit));
          return Optional.of(made);
        } catch (IOException e) {
          made.close();
          throw e;
        }
      }
    }
    return Optional.empty();
  }

  Path path() {
    return path;
  }

  /** What is charged to it: of processes, of files that they have read, of sockets. */
  long taken() throws IOException {
    return read(first ? "memory.usage_in_bytes" : "memory.current");
  }

  /** The most that ever was. */
  long most() throws IOException {
    return read(first ? "memory.max_usage_in_bytes" : "memory.peak");
  }

  private long read(String file) throws IOException {
    return Long.parseLong(Files.readString(path.resolve(file)).strip());
  }

  /** Ends what lives in it, and removes it; also when the thread is interrupted meanwhile. */
  @Override
  public void close() throws IOException {
    boolean interrupted = false;
    try {
      for (int tries = 0; ; tries++) {
        for (String process : Files.readAllLines(path.resolve("cgroup.procs"))) {
          ProcessHandle.of(Long.parseLong(process)).ifPresent(ProcessHandle::destroyForcibly);
        }
        try {
          Files.delete(path);
          return;
        } catch (IOException busy) {
          // The kernel lets go of a process some time after it has ended.
          if (tries == 100) {
            throw busy;
          }
        }
        try {
          Thread.sleep(50);
        } catch (InterruptedException e) {
          interrupted = true;
        }
      }
    } finally {
      if (interrupted) {
        Thread.currentThread().interrupt();
      }
    }
  }
}
