// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.reference;

import dev.weir.policy.model.LabelSelector;
import dev.weir.policy.model.Namespace;
import dev.weir.policy.model.Resource;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** Kubernetes, Labels and Selectors. */
final class Labels {

  private Labels() {}

  static boolean match(LabelSelector selector, Map<String, String> labels) {
    boolean all = labels.entrySet().containsAll(selector.matchLabels().entrySet());
    for (LabelSelector.Requirement requirement : selector.matchExpressions()) {
      Optional<String> value = Optional.ofNullable(labels.get(requirement.key()));
      boolean among = value.isPresent() && requirement.values().contains(value.get());
      all &=
          switch (requirement.operator()) {
            case IN -> among;
            case NOT_IN -> !among;
            case EXISTS -> value.isPresent();
            case DOES_NOT_EXIST -> value.isEmpty();
          };
    }
    return all;
  }

  static Map<String, String> ofNamespace(List<Resource> resources, String name) {
    Map<String, String> labels = new HashMap<>();
    for (Resource resource : resources) {
      if (resource instanceof Namespace namespace && namespace.meta().name().equals(name)) {
        labels.putAll(namespace.meta().labels());
      }
    }
    labels.put("kubernetes.io/metadata.name", name);
    return labels;
  }
}
