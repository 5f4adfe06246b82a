// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.steer;

import dev.weir.policy.cluster.Cluster;
import dev.weir.policy.model.Located;
import dev.weir.policy.model.Reference;
import dev.weir.policy.model.Service;
import dev.weir.policy.model.TrafficPolicy;
import dev.weir.policy.plan.TrafficPolicy.Setting;
import java.util.List;
import java.util.Optional;

/** What TrafficPolicies say about where a Service leads. */
final class ServiceSettings {

  private final List<TrafficPolicy> policies;

  ServiceSettings(Cluster cluster) {
    this.policies = cluster.all(TrafficPolicy.class);
  }

  /** What is said of a port of a Service; of the port by name before that of the whole. */
  <T extends Setting> Optional<T> of(Service service, Service.Port port, Class<T> type) {
    Optional<T> whole = Optional.empty();
    for (TrafficPolicy policy : policies) {
      for (Located<Setting> setting : policy.settings()) {
        if (type.isInstance(setting.value())
            && policy.meta().namespace().equals(service.meta().namespace())) {
          for (Reference target : policy.targets()) {
            if (target.kind().equals("Service") && target.name().equals(service.meta().name())) {
              if (target.sectionName().isEmpty()) {
                whole = Optional.of(type.cast(setting.value()));
              } else if (target.sectionName().get().equals(port.name())) {
                return Optional.of(type.cast(setting.value()));
              }
            }
          }
        }
      }
    }
    return whole;
  }
}
