// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.rbac;

import dev.weir.policy.plan.AccessPlan;
import dev.weir.policy.plan.AccessPlan.Action;
import dev.weir.policy.plan.AccessPlan.Bound;
import dev.weir.policy.plan.AccessPlan.GatewayGuard;
import dev.weir.policy.plan.AccessPlan.Guard;
import dev.weir.policy.plan.AccessPlan.Policy;
import dev.weir.policy.rbac.AccessDecision.Verdict;
import dev.weir.policy.rbac.CompiledRule.Early;
import java.util.ArrayList;
import java.util.List;

/**
 * The AuthorizationPolicies about one destination, ready to be asked. Immutable, and asking
 * allocates nothing.
 *
 * <p>Order as Istio's: a DENY rule that matches refuses; else, when there are ALLOW policies, one
 * of their rules must match. AUDIT policies change no verdict. Policies in audit are only asked
 * where the others let pass.
 */
public final class AccessRules {

  /** About nobody: everything passes. */
  public static final AccessRules NONE = new AccessRules(List.of());

  private static final class Compiled {
    private final int rule;
    private final Action action;
    private final boolean audit;
    private final CompiledRule[] rules;
    private final AccessDecision[] matched;

    Compiled(Policy policy, Verdict verdict) {
      this.rule = policy.rule();
      this.action = policy.action();
      this.audit = policy.audit();
      this.rules =
          policy.clauses().stream()
              .map(c -> new CompiledRule(c, policy.action() == Action.ALLOW))
              .toArray(CompiledRule[]::new);
      this.matched =
          policy.clauses().stream()
              .map(c -> new AccessDecision(verdict, c.rule()))
              .toArray(AccessDecision[]::new);
    }
  }

  private final Compiled[] enforcedDeny;
  private final Compiled[] enforcedAllow;
  private final Compiled[] auditedDeny;
  private final Compiled[] auditedAllow;
  private final Compiled[] reporting;
  private final AccessDecision missed;
  private final AccessDecision auditedMissed;

  /** The rules of some policies. */
  public AccessRules(List<Policy> policies) {
    this.enforcedDeny = compile(policies, Action.DENY, false, Verdict.REFUSE);
    this.enforcedAllow = compile(policies, Action.ALLOW, false, Verdict.ALLOW);
    this.auditedDeny = compile(policies, Action.DENY, true, Verdict.AUDIT);
    this.auditedAllow = compile(policies, Action.ALLOW, true, Verdict.ALLOW);
    this.reporting =
        policies.stream()
            .filter(p -> p.action() == Action.AUDIT)
            .map(p -> new Compiled(p, Verdict.ALLOW))
            .toArray(Compiled[]::new);
    this.missed = missed(enforcedAllow, Verdict.REFUSE);
    this.auditedMissed = missed(auditedAllow, Verdict.AUDIT);
  }

  /** The policies of a plan about a port of a workload. */
  public static AccessRules of(AccessPlan plan, int workload, int port) {
    List<Policy> policies = new ArrayList<>();
    for (Guard guard : plan.guards()) {
      if (guard.workload() == workload) {
        for (Bound bound : guard.policies()) {
          if (bound.ports().isEmpty() || bound.ports().contains(port)) {
            policies.add(plan.policies().get(bound.policy()));
          }
        }
      }
    }
    return policies.isEmpty() ? NONE : new AccessRules(policies);
  }

  /** The policies of a plan about requests through a Gateway. */
  public static AccessRules of(AccessPlan plan, String gateway) {
    List<Policy> policies = new ArrayList<>();
    for (GatewayGuard guard : plan.gateways()) {
      if (guard.gateway().equals(gateway)) {
        guard.policies().forEach(p -> policies.add(plan.policies().get(p)));
      }
    }
    return policies.isEmpty() ? NONE : new AccessRules(policies);
  }

  private static Compiled[] compile(
      List<Policy> policies, Action action, boolean audit, Verdict verdict) {
    return policies.stream()
        .filter(p -> p.action() == action && p.audit() == audit)
        .map(p -> new Compiled(p, verdict))
        .toArray(Compiled[]::new);
  }

  /** What no ALLOW policy matches is decided by the first of them. */
  private static AccessDecision missed(Compiled[] policies, Verdict verdict) {
    return policies.length == 0
        ? AccessDecision.UNASKED
        : new AccessDecision(verdict, policies[0].rule);
  }

  /** Whether there is nothing to ask: every answer would be {@link AccessDecision#UNASKED}. */
  public boolean isEmpty() {
    return enforcedDeny.length == 0
        && enforcedAllow.length == 0
        && auditedDeny.length == 0
        && auditedAllow.length == 0;
  }

  /** Whether a policy in audit could have something to report. */
  public boolean mayReport() {
    return auditedDeny.length > 0 || auditedAllow.length > 0;
  }

  /** Whether something may be asked of someone, and which rule says so. */
  public AccessDecision decide(Attributes attributes) {
    AccessDecision denied = first(enforcedDeny, attributes);
    if (!denied.isUnasked()) {
      return denied;
    }
    AccessDecision allowed = first(enforcedAllow, attributes);
    if (allowed.isUnasked() && enforcedAllow.length > 0) {
      return missed;
    }
    AccessDecision audited = first(auditedDeny, attributes);
    if (!audited.isUnasked()) {
      return audited;
    }
    if (auditedAllow.length == 0 || !allowed.isUnasked()) {
      return allowed;
    }
    AccessDecision tried = first(auditedAllow, attributes);
    return tried.isUnasked() ? auditedMissed : tried;
  }

  private static AccessDecision first(Compiled[] policies, Attributes attributes) {
    for (Compiled policy : policies) {
      for (int i = 0; i < policy.rules.length; i++) {
        if (policy.rules[i].matches(attributes)) {
          return policy.matched[i];
        }
      }
    }
    return AccessDecision.UNASKED;
  }

  /**
   * Whether the enforced policies decide before anything is sent, so that the kernel can: a rule of
   * a DENY policy matches whatever is sent; or every rule that could still refuse is out, and there
   * are no ALLOW policies, or one of their rules matches whatever is sent, or none of them can.
   */
  public boolean decidedByConnection(Attributes attributes) {
    Early deny = early(enforcedDeny, attributes);
    if (deny == Early.YES) {
      return true;
    }
    Early allow = early(enforcedAllow, attributes);
    return enforcedAllow.length > 0 && allow == Early.NO
        || deny == Early.NO && (enforcedAllow.length == 0 || allow == Early.YES);
  }

  /** What policies answer before anything is sent. */
  public enum Before {
    /** It passes, whatever is sent. */
    ALLOW,
    /** What is sent decides. */
    DEPENDS,
    /** It is refused, whatever is sent. */
    REFUSE
  }

  /**
   * What a connection alone decides.
   *
   * @param requests whether requests can follow; without, as on UDP, rules that ask for them deny
   *     and do not allow
   * @param audited whether the policies in audit are asked as if they were enforced
   */
  public Before before(Attributes attributes, boolean requests, boolean audited) {
    Early deny = early(enforcedDeny, attributes);
    Early allow = early(enforcedAllow, attributes);
    boolean demanded = enforcedAllow.length > 0;
    if (audited) {
      Early auditedDenies = early(auditedDeny, attributes);
      Early auditedAllows = early(auditedAllow, attributes);
      deny = auditedDenies.compareTo(deny) > 0 ? auditedDenies : deny;
      allow = auditedAllows.compareTo(allow) > 0 ? auditedAllows : allow;
      demanded |= auditedAllow.length > 0;
    }
    if (!requests) {
      deny = deny == Early.DEPENDS ? Early.YES : deny;
      allow = allow == Early.DEPENDS ? Early.NO : allow;
    }
    if (deny == Early.YES || demanded && allow == Early.NO) {
      return Before.REFUSE;
    }
    return deny == Early.DEPENDS || demanded && allow == Early.DEPENDS
        ? Before.DEPENDS
        : Before.ALLOW;
  }

  private static Early early(Compiled[] policies, Attributes attributes) {
    Early result = Early.NO;
    for (Compiled policy : policies) {
      for (CompiledRule rule : policy.rules) {
        Early answer = rule.early(attributes);
        result = answer.compareTo(result) > 0 ? answer : result;
      }
    }
    return result;
  }

  /** A rule that matched, whatever came of it. */
  public record Match(int rule, Action action, boolean audit) {}

  /** Every rule that matches, of every policy; for answers to people. */
  public List<Match> matches(Attributes attributes) {
    List<Match> matches = new ArrayList<>();
    for (Compiled[] group :
        List.of(enforcedDeny, enforcedAllow, auditedDeny, auditedAllow, reporting)) {
      for (Compiled policy : group) {
        for (CompiledRule rule : policy.rules) {
          if (rule.matches(attributes)) {
            matches.add(new Match(rule.rule(), policy.action, policy.audit));
          }
        }
      }
    }
    return matches;
  }
}
