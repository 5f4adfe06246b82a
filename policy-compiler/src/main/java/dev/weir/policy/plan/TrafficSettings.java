// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.plan;

import dev.weir.policy.plan.TrafficPolicy.Setting;
import dev.weir.policy.plan.TrafficPolicy.Target;
import dev.weir.policy.plan.TrafficPolicy.TargetKind;
import java.util.List;
import java.util.Optional;

/** What the TrafficPolicies of a plan say of what routes lead to, and of routes. */
public final class TrafficSettings {

  private final List<TrafficPolicy> policies;

  /**
   * A setting with who says it.
   *
   * @param setting what is said
   * @param rule of the policy, in the plan
   */
  public record Said<T extends Setting>(T setting, int rule) {}

  /** Of a plan. */
  public TrafficSettings(Plan plan) {
    this.policies = plan.traffic();
  }

  /**
   * Of a port of a Service: what is said of the port goes before what is said of all of it.
   *
   * @param workload index of the Service in the plan
   */
  public <T extends Setting> Optional<Said<T>> ofService(int workload, int port, Class<T> type) {
    Optional<Said<T>> whole = Optional.empty();
    for (TrafficPolicy policy : policies) {
      for (Target target : policy.targets()) {
        if (target.kind() == TargetKind.SERVICE && target.index() == workload) {
          Optional<Said<T>> said = said(policy, type);
          if (said.isPresent() && target.section().isEmpty()) {
            whole = said;
          } else if (said.isPresent() && target.port() == port) {
            return said;
          }
        }
      }
    }
    return whole;
  }

  /**
   * Of a rule of a route: what is said of the rule goes before what is said of all of them.
   *
   * @param route the plan's rule that stands for it
   * @param name of its rule; empty when it has none
   */
  public <T extends Setting> Optional<Said<T>> ofRoute(int route, String name, Class<T> type) {
    Optional<Said<T>> whole = Optional.empty();
    for (TrafficPolicy policy : policies) {
      for (Target target : policy.targets()) {
        if (target.kind() == TargetKind.ROUTE && target.index() == route) {
          Optional<Said<T>> said = said(policy, type);
          if (said.isPresent() && target.section().isEmpty()) {
            whole = said;
          } else if (said.isPresent() && target.section().equals(name)) {
            return said;
          }
        }
      }
    }
    return whole;
  }

  private static <T extends Setting> Optional<Said<T>> said(TrafficPolicy policy, Class<T> type) {
    return policy.settings().stream()
        .filter(type::isInstance)
        .findFirst()
        .map(setting -> new Said<>(type.cast(setting), policy.rule()));
  }
}
