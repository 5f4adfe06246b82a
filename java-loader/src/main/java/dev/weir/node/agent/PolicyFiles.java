// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.agent;

import dev.weir.policy.Compilation;
import dev.weir.policy.IncrementalCompiler;
import dev.weir.policy.PolicyCompiler;
import dev.weir.policy.source.Diagnostic;
import dev.weir.policy.source.SourceListing;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.Optional;

/**
 * Reads a directory of policy files again and again: what has not changed is not read or compiled
 * again.
 */
final class PolicyFiles {

  /** A program that empties a file to write it anew does so within this time. */
  static final Duration WRITING = Duration.ofSeconds(1);

  private final IncrementalCompiler compiler = new IncrementalCompiler();

  /** What the files below a directory say now. */
  synchronized Policy read(Path directory) {
    return policy(compiler.compileDirectory(directory));
  }

  /**
   * The same after a change; nothing while one of them has only just become empty. An empty file is
   * good YAML and says nothing, so a policy would be out of force until it is written.
   */
  synchronized Optional<Policy> readChanged(Path directory) {
    Instant begin = Instant.now();
    Optional<SourceListing> listing = SourceListing.of(directory);
    if (listing.filter(files -> beingWritten(files, begin.minus(WRITING))).isPresent()) {
      return Optional.empty();
    }
    return Optional.of(policy(compiler.compileDirectory(directory, listing, begin)));
  }

  private static boolean beingWritten(SourceListing listing, Instant since) {
    return listing.entries().stream()
        .map(SourceListing.Entry::stamp)
        .anyMatch(stamp -> stamp.size() == 0 && stamp.modified().toInstant().isAfter(since));
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
