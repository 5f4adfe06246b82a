// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.agent;

import dev.weir.policy.Compilation;
import dev.weir.policy.IncrementalCompiler;
import dev.weir.policy.PolicyCompiler;
import dev.weir.policy.source.Diagnostic;
import java.io.IOException;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.attribute.BasicFileAttributes;
import java.time.Duration;
import java.time.Instant;

/**
 * Reads a directory of policy files again and again: what has not changed is not read or compiled
 * again.
 */
final class PolicyFiles {

  /** A program that empties a file to write it anew does so within this time. */
  private static final Duration WRITING = Duration.ofSeconds(1);

  private final IncrementalCompiler compiler = new IncrementalCompiler();

  /**
   * Whether a file below a directory has only just become empty. An empty file is good YAML and
   * says nothing, so a policy would be out of force until it is written.
   */
  static boolean beingWritten(Path directory) {
    Instant since = Instant.now().minus(WRITING);
    boolean[] found = {false};
    try {
      Files.walkFileTree(
          directory,
          new SimpleFileVisitor<>() {
            @Override
            public FileVisitResult visitFile(Path file, BasicFileAttributes of) {
              found[0] = isNewAndEmpty(file, of, since);
              return found[0] ? FileVisitResult.TERMINATE : FileVisitResult.CONTINUE;
            }

            @Override
            public FileVisitResult visitFileFailed(Path file, IOException e) {
              return FileVisitResult.CONTINUE; // gone meanwhile
            }
          });
    } catch (IOException e) {
      return false; // what is wrong with the directory, reading it says better
    }
    return found[0];
  }

  private static boolean isNewAndEmpty(Path file, BasicFileAttributes of, Instant since) {
    if (of.isSymbolicLink()) {
      try {
        BasicFileAttributes target = Files.readAttributes(file, BasicFileAttributes.class);
        return isNewAndEmpty(file, target, since);
      } catch (IOException e) {
        return false; // gone meanwhile
      }
    }
    return of.isRegularFile() && of.size() == 0 && of.lastModifiedTime().toInstant().isAfter(since);
  }

  /** What the files below a directory say now. */
  synchronized Policy read(Path directory) {
    return policy(compiler.compileDirectory(directory));
  }

  /** The same for somebody who asks once. */
  static Policy readOnce(Path directory) {
    return policy(PolicyCompiler.compileDirectory(directory));
  }

  private static Policy policy(Compilation compilation) {
    return switch (compilation) {
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
