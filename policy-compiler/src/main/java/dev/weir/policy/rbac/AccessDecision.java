// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.rbac;

/**
 * What the AuthorizationPolicies about a destination say.
 *
 * @param verdict whether it passes
 * @param rule index of the plan's rule that decided; -1 when no policy is about the destination
 */
public record AccessDecision(Verdict verdict, int rule) {

  /** No policy has anything to say. */
  public static final AccessDecision UNASKED = new AccessDecision(Verdict.ALLOW, -1);

  /** Whether no rule has decided. */
  public boolean isUnasked() {
    return rule < 0;
  }

  /** Whether it passes. */
  public enum Verdict {
    /** It passes. */
    ALLOW,
    /** It passes, and a policy in audit would have refused it. */
    AUDIT,
    /** It is refused. */
    REFUSE
  }
}
