// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.route;

import dev.weir.policy.plan.ProxyPlan.Match;
import dev.weir.policy.plan.ProxyPlan.PathMatch;
import dev.weir.policy.plan.ProxyPlan.Route;
import dev.weir.policy.plan.ProxyPlan.RouteRule;

/**
 * What a request met. One object per match of a table, so that it can be compared by identity and
 * used as a key.
 *
 * @param route whose rule it is
 * @param hostname of the route under which it was found; empty for all
 * @param ruleIndex in file order
 * @param matchIndex within the rule
 * @param rule that applies
 * @param match of the rule that held
 * @param schedule of the rule's backends; shared by all matches of the rule
 */
public record RouteMatch(
    Route route,
    String hostname,
    int ruleIndex,
    int matchIndex,
    RouteRule rule,
    Match match,
    Schedule schedule) {

  /** The prefix that matched, without trailing slash; empty for other kinds of path match. */
  public String matchedPrefix() {
    return match.path() instanceof PathMatch.Prefix prefix
        ? RouteTable.withoutTrailingSlash(prefix.path())
        : "";
  }

  @Override
  public boolean equals(Object other) {
    return this == other;
  }

  @Override
  public int hashCode() {
    return System.identityHashCode(this);
  }
}
