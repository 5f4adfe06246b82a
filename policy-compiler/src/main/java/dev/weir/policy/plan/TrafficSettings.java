// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.plan;

import dev.weir.policy.plan.TrafficPolicy.Setting;
import dev.weir.policy.plan.TrafficPolicy.Target;
import dev.weir.policy.plan.TrafficPolicy.TargetKind;
import java.util.List;
import java.util.Optional;
import java.util.function.Predicate;
import java.util.function.Supplier;

/** What the TrafficPolicies of a plan say of what routes lead to, and of routes. */
public final class TrafficSettings {

  private final List<TrafficPolicy> policies;
  private final List<Rule> rules;

  /**
   * A setting with who says it.
   *
   * @param setting what is said
   * @param rule of the policy, in the plan
   * @param target for which it says it: all of something, or a section
   */
  public record Said<T extends Setting>(T setting, int rule, Target target) {}

  /** Of a plan. */
  public TrafficSettings(Plan plan) {
    this.policies = plan.traffic();
    this.rules = plan.rules();
  }

  /**
   * Of a port of a Service: what is said of the port goes before what is said of all of it.
   *
   * @param workload index of the Service in the plan
   */
  public <T extends Setting> Optional<Said<T>> ofService(int workload, int port, Class<T> type) {
    return find(
        type,
        target -> target.kind() == TargetKind.SERVICE && target.index() == workload,
        target -> target.port() == port);
  }

  /**
   * Of a listener: what is said of it goes before what is said of all of its Gateway.
   *
   * @param gateway {@code namespace/name}
   * @param listener its name
   */
  public <T extends Setting> Optional<Said<T>> ofListener(
      String gateway, String listener, Class<T> type) {
    return find(
        type,
        target -> target.kind() == TargetKind.GATEWAY && named(rules.get(target.index()), gateway),
        target -> target.section().equals(listener));
  }

  private static boolean named(Rule rule, String name) {
    return name.length() == rule.namespace().length() + 1 + rule.name().length()
        && name.startsWith(rule.namespace())
        && name.endsWith("/" + rule.name());
  }

  /**
   * Of a rule of a route: what is said of the rule goes before what is said of all of them.
   *
   * @param route the plan's rule that stands for it
   * @param name of its rule; empty when it has none
   */
  public <T extends Setting> Optional<Said<T>> ofRoute(int route, String name, Class<T> type) {
    return find(
        type,
        target -> target.kind() == TargetKind.ROUTE && target.index() == route,
        target -> target.section().equals(name));
  }

  private <T extends Setting> Optional<Said<T>> find(
      Class<T> type, Predicate<Target> is, Predicate<Target> section) {
    Optional<Said<T>> whole = Optional.empty();
    for (TrafficPolicy policy : policies) {
      for (Target target : policy.targets()) {
        if (is.test(target) && (target.section().isEmpty() || section.test(target))) {
          Optional<Said<T>> said = said(policy, target, type);
          if (said.isPresent() && !target.section().isEmpty()) {
            return said;
          }
          whole = said.or(found(whole));
        }
      }
    }
    return whole;
  }

  private static <T> Supplier<Optional<T>> found(Optional<T> value) {
    return () -> value;
  }

  private static <T extends Setting> Optional<Said<T>> said(
      TrafficPolicy policy, Target target, Class<T> type) {
    return policy.settings().stream()
        .filter(type::isInstance)
        .findFirst()
        .map(setting -> new Said<>(type.cast(setting), policy.rule(), target));
  }
}
