// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy;

import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.TlsKeyPair;
import dev.weir.policy.source.Diagnostic;
import java.util.List;

/** What became of the input. */
public sealed interface Compilation {

  /** What somebody should look at. */
  List<Diagnostic> warnings();

  /**
   * A plan.
   *
   * @param plan to put in force
   * @param keyPairs that travel beside it
   * @param warnings by place
   */
  record Compiled(Plan plan, List<TlsKeyPair> keyPairs, List<Diagnostic> warnings)
      implements Compilation {
    /** Copies the lists. */
    public Compiled {
      keyPairs = List.copyOf(keyPairs);
      warnings = List.copyOf(warnings);
    }
  }

  /**
   * Nothing: what was in force stays.
   *
   * @param errors by place, at least one
   * @param warnings by place
   */
  record Refused(List<Diagnostic> errors, List<Diagnostic> warnings) implements Compilation {
    /** Copies the lists. */
    public Refused {
      errors = List.copyOf(errors);
      warnings = List.copyOf(warnings);
    }
  }
}
