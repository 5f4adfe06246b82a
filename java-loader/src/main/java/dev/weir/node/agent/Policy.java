// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.agent;

import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.TlsKeyPair;
import java.util.List;

/** What a directory of policy files turned out to be. */
sealed interface Policy {

  /**
   * Something that can be put in force.
   *
   * @param plan to put in force
   * @param keyPairs its listeners name
   * @param warnings for the user, each with file and line
   */
  record Good(Plan plan, List<TlsKeyPair> keyPairs, List<String> warnings) implements Policy {
    public Good {
      keyPairs = List.copyOf(keyPairs);
      warnings = List.copyOf(warnings);
    }
  }

  /**
   * Refused whole.
   *
   * @param errors each with file, line and remedy; never empty
   */
  record Bad(List<String> errors) implements Policy {
    public Bad {
      errors = List.copyOf(errors);
    }
  }
}
