// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.lint;

import dev.weir.policy.model.Resource;
import dev.weir.policy.source.Diagnostics;
import dev.weir.policy.source.Lint;
import dev.weir.policy.source.Position;

/** What the lints find, as warnings that the author of an object can silence. */
final class Findings {

  private final Diagnostics diagnostics;

  Findings(Diagnostics diagnostics) {
    this.diagnostics = diagnostics;
  }

  void add(Lint lint, Resource about, Position at, String field, String message, String remedy) {
    diagnostics.lint(lint, about.meta().annotations(), at, field, message, remedy);
  }
}
