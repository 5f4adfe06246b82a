// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import dev.weir.policy.source.Position;
import java.util.List;
import java.util.Map;

/**
 * Kubernetes' label selector: all of it must hold; an empty one selects everything.
 *
 * @param matchLabels labels that must have these values
 * @param matchExpressions further conditions
 * @param at where it begins
 */
public record LabelSelector(
    Map<String, String> matchLabels, List<Requirement> matchExpressions, Position at) {
  /** Copies the parts. */
  public LabelSelector {
    matchLabels = Map.copyOf(matchLabels);
    matchExpressions = List.copyOf(matchExpressions);
  }

  /** Whether it selects everything. */
  public boolean isEmpty() {
    return matchLabels.isEmpty() && matchExpressions.isEmpty();
  }

  /**
   * One condition.
   *
   * @param key of the label
   * @param operator how values are meant
   * @param values for {@link Operator#IN} and {@link Operator#NOT_IN}
   */
  public record Requirement(String key, Operator operator, List<String> values) {
    /** Copies the list. */
    public Requirement {
      values = List.copyOf(values);
    }
  }

  /** Conditions on a label. */
  public enum Operator {
    /** The label is there and has one of the values. */
    IN,
    /** The label is not there, or has none of the values. */
    NOT_IN,
    /** The label is there. */
    EXISTS,
    /** The label is not there. */
    DOES_NOT_EXIST
  }
}
