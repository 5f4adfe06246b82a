// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.agent;

import dev.weir.node.kernel.NodeException;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Optional;

/**
 * Says that an agent runs: a file lock that goes with the process, however it ends, and beside it
 * which process holds it.
 */
final class AgentLock implements AutoCloseable {

  private final FileChannel channel;
  private final Path pidFile;

  private AgentLock(FileChannel channel, Path pidFile) {
    this.channel = channel;
    this.pidFile = pidFile;
  }

  /**
   * Takes the lock.
   *
   * @throws NodeException when another agent holds it
   */
  static AgentLock take(Path runDir) throws IOException {
    if (!Files.isDirectory(runDir)) {
      Files.createDirectories(runDir);
      // The proxy passes through to its own directory; nobody else has anything to see here.
      Files.setPosixFilePermissions(runDir, PosixFilePermissions.fromString("rwx--x--x"));
    }
    Path pidFile = pidFile(runDir);
    FileChannel channel =
        FileChannel.open(file(runDir), StandardOpenOption.CREATE, StandardOpenOption.WRITE);
    if (!locked(channel)) {
      channel.close();
      String who = ProcessId.read(pidFile).map(id -> ", process " + id.pid() + ",").orElse("");
      throw new NodeException(
          "an agent"
              + who
              + " runs already in "
              + runDir
              + ": change its files, hand it a directory with 'weir apply', or end it first;"
              + " another mesh needs places of its own (--run-dir, --pin-dir)");
    }
    ProcessId self =
        ProcessId.of(ProcessHandle.current().pid())
            .orElseThrow(() -> new IOException("cannot read /proc/self/stat"));
    self.write(pidFile);
    return new AgentLock(channel, pidFile);
  }

  private static boolean locked(FileChannel channel) throws IOException {
    try {
      return channel.tryLock() != null;
    } catch (OverlappingFileLockException e) {
      return false; // this very process
    }
  }

  static Path file(Path runDir) {
    return runDir.resolve("agent.lock");
  }

  static Path pidFile(Path runDir) {
    return runDir.resolve("agent.pid");
  }

  /** The agent that holds the lock, or has died without taking leave. */
  static Optional<ProcessId> holder(Path runDir) {
    return ProcessId.read(pidFile(runDir));
  }

  /** Takes leave: nobody expects an agent any more. */
  @Override
  public void close() throws IOException {
    Files.deleteIfExists(pidFile);
    channel.close();
  }
}
