// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.outbound;

import dev.weir.policy.plan.Verdict;
import dev.weir.policy.plan.VerdictIndex;
import dev.weir.policy.rbac.AccessDecision;
import dev.weir.policy.rbac.AccessRules;
import dev.weir.policy.rbac.Attributes;

/** Whether somebody may have what he asks for, by the verdicts and policies of one generation. */
public sealed interface Admission {

  /** He may. */
  record Allowed() implements Admission {}

  /**
   * He may, since what refuses him is only in audit.
   *
   * @param rule that refuses
   */
  record Audited(String rule) implements Admission {}

  /**
   * He may not.
   *
   * @param asked whether it is for what he asks, else for who he is
   * @param decision in the verdicts' words
   * @param rule that refuses, or that there is none that allows
   */
  record Refused(boolean asked, String decision, String rule) implements Admission {}

  /** The one of most requests. */
  Allowed ALLOWED = new Allowed();

  /** What is asked, made only when a policy wants to know. */
  interface Question {
    /** As the policies of this target see it. */
    Attributes asked(Target to);
  }

  /** Whether a source may have a target. */
  static Admission to(Target to, Source asks, Generation within, Question question) {
    VerdictIndex.Answer answer = asks.verdict(to);
    if (answer.decision() == Verdict.Decision.INSPECT && to.endpoint().isTunnelled()) {
      // Allowed as far as this proxy: whoever is at the other end asks the policies about it.
      return ALLOWED;
    }
    if (Source.lets(answer)) {
      return to.rules().mayReport()
          ? reported(to.rules().decide(question.asked(to)), within)
          : ALLOWED;
    }
    if (answer.decision() != Verdict.Decision.INSPECT || to.rules().isEmpty()) {
      return new Refused(false, answer.decision().name(), within.describeRule(answer.rule()));
    }
    return by(to.rules(), within, question.asked(to));
  }

  /** What policies say, whatever the verdicts do. */
  static Admission by(AccessRules rules, Generation within, Attributes asked) {
    AccessDecision decision = rules.decide(asked);
    return decision.verdict() == AccessDecision.Verdict.REFUSE && !within.audit()
        ? new Refused(true, "REFUSE", within.describeRule(decision.rule()))
        : reported(decision, within);
  }

  private static Admission reported(AccessDecision decision, Generation within) {
    return decision.verdict() == AccessDecision.Verdict.ALLOW
        ? ALLOWED
        : new Audited(within.describeRule(decision.rule()));
  }
}
