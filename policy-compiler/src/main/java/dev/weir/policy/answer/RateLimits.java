// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.answer;

import dev.weir.policy.answer.Explanation.Effect;
import dev.weir.policy.answer.Explanation.Finding;
import dev.weir.policy.answer.Explanation.Side;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.TrafficPolicy;
import dev.weir.policy.plan.TrafficPolicy.ConnectionRate;
import dev.weir.policy.plan.TrafficPolicy.PacketRate;
import dev.weir.policy.plan.TrafficPolicy.Scope;
import dev.weir.policy.plan.TrafficPolicy.Setting;
import dev.weir.policy.plan.TrafficPolicy.Target;
import dev.weir.policy.plan.TrafficPolicy.TargetKind;
import dev.weir.policy.plan.Workload;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** How much of what is allowed the kernel lets through. */
final class RateLimits {

  private final Plan plan;

  RateLimits(Plan plan) {
    this.plan = plan;
  }

  /** The limits that a connection, or a datagram, to somebody meets. */
  List<Finding> of(Party to, Protocol protocol, int port) {
    List<Finding> findings = new ArrayList<>();
    for (TrafficPolicy policy : plan.traffic()) {
      for (Setting setting : policy.settings()) {
        Optional<String> note = note(setting, protocol);
        if (note.isPresent()
            && policy.targets().stream().anyMatch(t -> means(t, to, port, setting))) {
          findings.add(
              new Finding(
                  plan.rules().get(policy.rule()), Side.INGRESS, Effect.LIMITS, note.get()));
        }
      }
    }
    return findings;
  }

  private boolean means(Target target, Party to, int port, Setting setting) {
    return switch (to) {
      case Party.Declared declared ->
          target.kind() == TargetKind.WORKLOAD && named(target, declared.name());
      case Party.Virtual service ->
          target.kind() == TargetKind.SERVICE
              && named(target, service.name())
              && (target.port() == port
                  || target.port() == 0 && !said(service, port, setting.getClass()));
      default -> false;
    };
  }

  /** Whether a limit says so of this port by name: it goes before that of the whole Service. */
  private boolean said(Party.Virtual service, int port, Class<? extends Setting> what) {
    return plan.traffic().stream()
        .filter(policy -> policy.settings().stream().anyMatch(what::isInstance))
        .flatMap(policy -> policy.targets().stream())
        .anyMatch(
            target ->
                target.kind() == TargetKind.SERVICE
                    && target.port() == port
                    && named(target, service.name()));
  }

  private boolean named(Target target, String name) {
    Workload workload = plan.workloads().get(target.index());
    return name.equals(workload.namespace() + "/" + workload.name());
  }

  private static Optional<String> note(Setting setting, Protocol protocol) {
    return switch (setting) {
      case ConnectionRate rate when protocol == Protocol.TCP ->
          Optional.of(note(rate.perSecond(), "new connections", rate.burst(), rate.scope()));
      case PacketRate rate when protocol == Protocol.UDP ->
          Optional.of(note(rate.perSecond(), "packets", rate.burst(), rate.scope()));
      default -> Optional.empty();
    };
  }

  private static String note(int rate, String what, int burst, Scope scope) {
    return "lets through "
        + rate
        + " "
        + what
        + " a second, at most "
        + burst
        + " at once, "
        + (scope == Scope.TOTAL ? "of all sources together" : "of each source workload");
  }
}
