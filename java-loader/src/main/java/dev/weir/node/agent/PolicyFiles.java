// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.agent;

import dev.weir.policy.Compilation;
import dev.weir.policy.PolicyCompiler;
import dev.weir.policy.source.Diagnostic;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.stream.Stream;

/** Reads a directory of policy files. */
final class PolicyFiles {

  /** A program that empties a file to write it anew does so within this time. */
  private static final Duration WRITING = Duration.ofSeconds(1);

  private PolicyFiles() {}

  /**
   * Whether a file below a directory has only just become empty. An empty file is good YAML and
   * says nothing, so a policy would be out of force until it is written.
   */
  static boolean beingWritten(Path directory) {
    Instant since = Instant.now().minus(WRITING);
    try (Stream<Path> files = Files.walk(directory)) {
      return files.anyMatch(
          file -> {
            try {
              return Files.isRegularFile(file)
                  && Files.size(file) == 0
                  && Files.getLastModifiedTime(file).toInstant().isAfter(since);
            } catch (IOException e) {
              return false; // gone meanwhile
            }
          });
    } catch (IOException | UncheckedIOException e) {
      return false; // what is wrong with the directory, reading it says better
    }
  }

  /** What the files below a directory say now. */
  static Policy read(Path directory) {
    return switch (PolicyCompiler.compileDirectory(directory)) {
      case Compilation.Compiled compiled ->
          new Policy.Good(
              compiled.plan(),
              compiled.keyPairs(),
              compiled.warnings().stream().map(Diagnostic::toString).toList());
      case Compilation.Refused refused ->
          new Policy.Bad(refused.errors().stream().map(Diagnostic::toString).toList());
    };
  }
}
