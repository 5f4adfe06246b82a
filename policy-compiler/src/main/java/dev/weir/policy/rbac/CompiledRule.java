// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.rbac;

import dev.weir.policy.plan.AccessPlan.Clause;
import dev.weir.policy.plan.AccessPlan.Condition;
import dev.weir.policy.plan.AccessPlan.Term;
import java.util.List;

/** One rule of a policy, ready to be asked. */
final class CompiledRule {

  /** One value and none of the not-values. */
  private static final class Check {
    private final boolean ofRequests;
    private final boolean ofConnections;
    private final Matcher[] values;
    private final Matcher[] notValues;

    Check(Condition condition) {
      this.ofRequests = condition.attribute().ofRequests();
      this.ofConnections = condition.attribute().ofConnections();
      this.values = matchers(condition, condition.values());
      this.notValues = matchers(condition, condition.notValues());
    }

    private static Matcher[] matchers(Condition condition, List<String> values) {
      return values.stream().map(v -> Matcher.of(condition, v)).toArray(Matcher[]::new);
    }

    boolean holds(Attributes attributes) {
      return (values.length == 0 || any(values, attributes)) && !any(notValues, attributes);
    }

    private static boolean any(Matcher[] matchers, Attributes attributes) {
      for (Matcher matcher : matchers) {
        if (matcher.matches(attributes)) {
          return true;
        }
      }
      return false;
    }
  }

  private final int rule;
  private final boolean allow;
  private final boolean asksRequests;
  private final Check[][] from;
  private final Check[][] to;
  private final Check[] when;

  CompiledRule(Clause clause, boolean allow) {
    this.rule = clause.rule();
    this.allow = allow;
    this.from = terms(clause.from());
    this.to = terms(clause.to());
    this.when = checks(clause.when());
    this.asksRequests = asksRequests(from) || asksRequests(to) || asksRequests(when);
  }

  private static Check[][] terms(List<Term> terms) {
    return terms.stream().map(CompiledRule::checks).toArray(Check[][]::new);
  }

  private static Check[] checks(Term term) {
    return term.conditions().stream().map(Check::new).toArray(Check[]::new);
  }

  private static boolean asksRequests(Check[]... terms) {
    for (Check[] term : terms) {
      for (Check check : term) {
        if (check.ofRequests) {
          return true;
        }
      }
    }
    return false;
  }

  /** Index of the plan's rule. */
  int rule() {
    return rule;
  }

  /**
   * Whether the rule matches.
   *
   * <p>On a connection that is not HTTP a rule with HTTP fields never allows, and of other rules
   * those fields do not count: so Istio generates rules for TCP, and so a rule can only refuse more
   * and allow less.
   */
  boolean matches(Attributes attributes) {
    boolean request = attributes.isRequest();
    if (!request && allow && asksRequests) {
      return false;
    }
    return all(when, attributes, request)
        && one(from, attributes, request)
        && one(to, attributes, request);
  }

  /** What a rule answers before anything is sent. */
  enum Early {
    /** It does not match, whatever is sent. */
    NO,
    /** What is sent decides. */
    DEPENDS,
    /** It matches, whatever is sent. */
    YES
  }

  /** What the rule answers when only the connection is known. */
  Early early(Attributes attributes) {
    Early result = early(when, attributes);
    result = least(result, early(from, attributes));
    return least(result, early(to, attributes));
  }

  private static Early least(Early a, Early b) {
    return a.compareTo(b) < 0 ? a : b;
  }

  private static Early early(Check[][] terms, Attributes attributes) {
    Early result = terms.length == 0 ? Early.YES : Early.NO;
    for (Check[] term : terms) {
      Early answer = early(term, attributes);
      result = answer.compareTo(result) > 0 ? answer : result;
    }
    return result;
  }

  private static Early early(Check[] checks, Attributes attributes) {
    Early result = Early.YES;
    for (Check check : checks) {
      Early answer =
          !check.ofConnections ? Early.DEPENDS : check.holds(attributes) ? Early.YES : Early.NO;
      result = least(result, answer);
    }
    return result;
  }

  private static boolean one(Check[][] terms, Attributes attributes, boolean request) {
    for (Check[] term : terms) {
      if (all(term, attributes, request)) {
        return true;
      }
    }
    return terms.length == 0;
  }

  private static boolean all(Check[] checks, Attributes attributes, boolean request) {
    for (Check check : checks) {
      if ((request || !check.ofRequests) && !check.holds(attributes)) {
        return false;
      }
    }
    return true;
  }
}
