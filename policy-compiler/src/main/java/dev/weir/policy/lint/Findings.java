// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.lint;

import dev.weir.policy.model.Resource;
import dev.weir.policy.source.Diagnostics;
import dev.weir.policy.source.Position;
import java.util.List;

/**
 * What the lints find, as warnings. An object's author can say that something is meant: the
 * annotation {@value #IGNORE} names lints, separated by commas, that are silent about it.
 */
final class Findings {

  /** Annotation that silences lints. */
  static final String IGNORE = "weir.dev/lint-ignore";

  private final Diagnostics diagnostics;

  Findings(Diagnostics diagnostics) {
    this.diagnostics = diagnostics;
  }

  void add(Lint lint, Resource about, Position at, String field, String message, String remedy) {
    String ignored = about.meta().annotations().getOrDefault(IGNORE, "");
    if (!List.of(ignored.trim().split("\\s*,\\s*", -1)).contains(lint.label())) {
      diagnostics.warning(at, field, message, remedy);
    }
  }
}
