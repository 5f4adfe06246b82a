// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.agent;

import dev.weir.policy.Compilation;
import dev.weir.policy.PolicyCompiler;
import dev.weir.policy.source.Diagnostic;
import java.nio.file.Path;

/** Reads a directory of policy files. */
final class PolicyFiles {

  private PolicyFiles() {}

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
