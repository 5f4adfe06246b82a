// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.answer;

import java.util.List;

/**
 * What would have a refused connection allowed.
 *
 * @param note in a sentence
 * @param changes all of them are needed; empty when no change of policy alone would do
 */
public record Remedy(String note, List<Change> changes) {
  /** Copies the list. */
  public Remedy {
    changes = List.copyOf(changes);
  }
}
