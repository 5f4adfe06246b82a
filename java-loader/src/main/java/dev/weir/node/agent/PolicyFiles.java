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
import java.util.HashSet;
import java.util.Optional;
import java.util.Set;

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
    Instant begin = Instant.now();
    seen = Optional.empty();
    Optional<SourceListing> listing = SourceListing.of(directory);
    Policy policy = policy(compiler.compileDirectory(directory, listing, begin));
    seen = listing.map(files -> new Seen(directory, files));
    return policy;
  }

  /** The directory that was looked at last, and what was seen. */
  private Optional<Seen> seen = Optional.empty();

  private record Seen(Path directory, SourceListing listing) {}

  /**
   * The same after a change; nothing while one of them has only just become empty. An empty file is
   * good YAML and says nothing, so a policy would be out of force until it is written.
   *
   * @param changed what may have changed since the last time; empty for anything
   */
  synchronized Optional<Policy> readChanged(Path directory, Optional<Set<Path>> changed) {
    Instant begin = Instant.now();
    Optional<SourceListing> some =
        changed.flatMap(
            paths ->
                seen.filter(last -> last.directory().equals(directory))
                    .flatMap(last -> last.listing().after(directory, paths)));
    Optional<SourceListing> listing = some.or(() -> SourceListing.of(directory));
    seen = Optional.empty(); // whatever ends this before it is compiled
    if (listing.filter(files -> beingWritten(files, begin.minus(WRITING))).isPresent()) {
      return Optional.empty();
    }
    Set<String> names = new HashSet<>();
    if (some.isPresent()) {
      changed.orElseThrow().forEach(path -> names.add(path.toString()));
    }
    Policy policy =
        policy(
            compiler.compileDirectory(
                directory, listing, begin, name -> some.isEmpty() || names.contains(name)));
    seen = listing.map(files -> new Seen(directory, files));
    return Optional.of(policy);
  }

  /** Changes were told that nobody has read: the next time everything is looked at. */
  synchronized void miss() {
    seen = Optional.empty();
  }

  /** Whether one file has changed that was there before, and nothing else. */
  synchronized boolean isOne(Path directory, Set<Path> changed) {
    return changed.size() == 1
        && seen.filter(last -> last.directory().equals(directory))
            .filter(
                last ->
                    last.listing().entries().stream()
                        .anyMatch(entry -> changed.contains(entry.path())))
            .isPresent();
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
