// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.cluster;

import dev.weir.policy.model.LabelSelector;
import dev.weir.policy.model.LabelSelector.Requirement;
import java.util.Map;

/** Whether labels satisfy a selector. */
public final class Selectors {

  private Selectors() {}

  /** All of the selector must hold. */
  public static boolean matches(LabelSelector selector, Map<String, String> labels) {
    for (Map.Entry<String, String> wanted : selector.matchLabels().entrySet()) {
      if (!wanted.getValue().equals(labels.get(wanted.getKey()))) {
        return false;
      }
    }
    for (Requirement requirement : selector.matchExpressions()) {
      if (!matches(requirement, labels)) {
        return false;
      }
    }
    return true;
  }

  private static boolean matches(Requirement requirement, Map<String, String> labels) {
    String value = labels.get(requirement.key());
    return switch (requirement.operator()) {
      case IN -> value != null && requirement.values().contains(value);
      case NOT_IN -> value == null || !requirement.values().contains(value);
      case EXISTS -> value != null;
      case DOES_NOT_EXIST -> value == null;
    };
  }
}
