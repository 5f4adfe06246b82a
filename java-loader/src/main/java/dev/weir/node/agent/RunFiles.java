// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.agent;

import dev.weir.node.identity.IdentityDirectory;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.DirectoryNotEmptyException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Stream;

/** The agent's and the proxy's files in the run directory; the kernel's are the kernel room's. */
final class RunFiles {

  private RunFiles() {}

  /** Removes them, and the directory if nothing else is in it. */
  static void remove(Path runDir) throws IOException {
    if (!Files.isDirectory(runDir)) {
      return;
    }
    removeTree(ProxySupervisor.directory(runDir));
    removeTree(runDir.resolve(ProxyCommand.HOME_COPY));
    removeTree(runDir.resolve(ProxyCommand.VIEW));
    // Keys: nobody is there any more who would need them, and the next `weir ca issue` makes
    // others.
    removeTree(IdentityDirectory.of(runDir));
    for (Path file :
        List.of(
            Agent.socket(runDir),
            ProxySupervisor.pidFile(runDir),
            AgentLock.pidFile(runDir),
            AgentLock.file(runDir))) {
      Files.deleteIfExists(file);
    }
    try {
      Files.delete(runDir);
    } catch (DirectoryNotEmptyException e) {
      // Somebody else's file, or the kernel room's lock: not ours to judge.
    }
  }

  private static void removeTree(Path directory) throws IOException {
    if (!Files.isDirectory(directory)) {
      return;
    }
    List<Path> deepestFirst;
    try (Stream<Path> all = Files.walk(directory)) {
      deepestFirst = all.sorted(Comparator.reverseOrder()).toList();
    } catch (UncheckedIOException e) {
      throw e.getCause();
    }
    for (Path each : deepestFirst) {
      Files.deleteIfExists(each);
    }
  }
}
