// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.authorize;

import dev.weir.policy.plan.Verdict.Decision;

/** The lowest rule of each answer, and the order in which they decide. */
final class AccessVerdict {
  private static final int NONE = Integer.MAX_VALUE;

  private int guard = NONE;
  private int denies = NONE;
  private int mayDeny = NONE;
  private int allows = NONE;
  private int mayAllow = NONE;

  void guardedBy(int policy) {
    guard = Math.min(guard, policy);
  }

  void answered(AccessRule rule, int answer) {
    if (answer == AccessRule.YES) {
      if (rule.deny()) {
        denies = Math.min(denies, rule.rule());
      } else {
        allows = Math.min(allows, rule.rule());
      }
    } else if (answer == AccessRule.DEPENDS) {
      if (rule.deny()) {
        mayDeny = Math.min(mayDeny, rule.rule());
      } else {
        mayAllow = Math.min(mayAllow, rule.rule());
      }
    }
  }

  int outcome() {
    if (denies != NONE) {
      return PortFunction.outcome(Decision.REFUSE, denies);
    }
    if (guard != NONE && allows == NONE && mayAllow == NONE) {
      return PortFunction.outcome(Decision.REFUSE, guard);
    }
    if (mayDeny != NONE) {
      return PortFunction.outcome(Decision.INSPECT, mayDeny);
    }
    if (guard != NONE && allows == NONE) {
      return PortFunction.outcome(Decision.INSPECT, mayAllow);
    }
    return PortFunction.outcome(Decision.ALLOW, allows == NONE ? 0 : allows);
  }
}
