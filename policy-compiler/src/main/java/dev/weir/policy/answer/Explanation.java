// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.answer;

import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.Rule;
import dev.weir.policy.plan.Verdict.Decision;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.stream.Stream;

/**
 * Why a connection is allowed or not.
 *
 * @param from who asks
 * @param to whom for
 * @param protocol transport
 * @param port destination port
 * @param decision what happens; {@link Decision#INSPECT} leaves it to the proxy for each request
 * @param decidedBy the rule in whose name
 * @param tier where it is decided: {@code kernel} or {@code proxy}
 * @param why in a sentence
 * @param findings every clause that decided or nearly did, those that decided first
 * @param backends when {@code to} is a service: the same question about each backend
 * @param remedy when it is refused, or would be: what would have it allowed
 * @param routed where the request goes, if one was asked about and it leads through the proxy
 */
public record Explanation(
    String from,
    String to,
    Protocol protocol,
    int port,
    Decision decision,
    Rule decidedBy,
    String tier,
    String why,
    List<Finding> findings,
    List<Explanation> backends,
    Optional<Remedy> remedy,
    Optional<Routed> routed) {
  /** Copies the lists. */
  public Explanation {
    findings = List.copyOf(findings);
    backends = List.copyOf(backends);
  }

  /** One without a request. */
  public Explanation(
      String from,
      String to,
      Protocol protocol,
      int port,
      Decision decision,
      Rule decidedBy,
      String tier,
      String why,
      List<Finding> findings,
      List<Explanation> backends,
      Optional<Remedy> remedy) {
    this(
        from,
        to,
        protocol,
        port,
        decision,
        decidedBy,
        tier,
        why,
        findings,
        backends,
        remedy,
        Optional.empty());
  }

  /** The same, by another name of whom it is about. */
  Explanation to(String name) {
    return new Explanation(
        from, name, protocol, port, decision, decidedBy, tier, why, findings, backends, remedy,
        routed);
  }

  /** The same with where it leads. */
  Explanation with(Routed where) {
    return new Explanation(
        from,
        to,
        protocol,
        port,
        decision,
        decidedBy,
        tier,
        why,
        findings,
        backends,
        remedy,
        Optional.of(where));
  }

  /** The same, and what limits it, if it is made. */
  Explanation limited(List<Finding> limits) {
    return limits.isEmpty() || !made()
        ? this
        : new Explanation(
            from,
            to,
            protocol,
            port,
            decision,
            decidedBy,
            tier,
            why,
            Stream.concat(findings.stream(), limits.stream()).toList(),
            backends,
            remedy,
            routed);
  }

  /** The same, and that this would have it allowed. */
  Explanation by(Optional<Remedy> better) {
    return new Explanation(
        from, to, protocol, port, decision, decidedBy, tier, why, findings, backends, better,
        routed);
  }

  /** The verdict as tests name it: {@code allow}, {@code deny}, {@code audit}, {@code inspect}. */
  public String word() {
    return decision == Decision.REFUSE ? "deny" : decision.name().toLowerCase(Locale.ROOT);
  }

  /** Whether the connection is made, if only as far as the proxy. */
  public boolean made() {
    return decision != Decision.REFUSE;
  }

  /**
   * What one rule has to say.
   *
   * @param rule with its file and line
   * @param side whose rule it is
   * @param effect what it does
   * @param note in a sentence
   */
  public record Finding(Rule rule, Side side, Effect effect, String note) {}

  /**
   * Where a request or connection goes.
   *
   * @param route {@code namespace/name}; empty when it meets none
   * @param rule of the plan that stands for the route
   * @param clause index of the route's rule, in file order; -1 when it meets none, and where the
   *     route is of connections
   * @param status what the proxy answers by itself; 0 when a backend answers
   * @param shares where it goes, largest first
   */
  public record Routed(
      String route, Optional<Rule> rule, int clause, int status, List<Routing.Share> shares) {
    /** Copies the list. */
    public Routed {
      shares = List.copyOf(shares);
    }
  }

  /** Whose rule. */
  public enum Side {
    /** What the source may reach. */
    EGRESS,
    /** What may reach the destination. */
    INGRESS
  }

  /** What a rule does; in the order in which findings are told. */
  public enum Effect {
    /** It refuses the connection or request. */
    REFUSES,
    /** It allows the connection, as far as its side goes. */
    ALLOWS,
    /** It isolates its side, so that something must allow the connection. */
    ISOLATES,
    /** It decides by what is sent over the connection. */
    DEPENDS,
    /** It names the other side, but not the port. */
    OTHER_PORT,
    /** It names the port, but not the other side. */
    OTHER_PEER,
    /** It matches, and only reports. */
    REPORTS,
    /** It lets only so many through of what is allowed. */
    LIMITS
  }
}
