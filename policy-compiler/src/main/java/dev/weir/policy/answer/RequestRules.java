// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.answer;

import dev.weir.policy.access.AccessQuestions;
import dev.weir.policy.access.AskedRequest;
import dev.weir.policy.cluster.Cluster;
import dev.weir.policy.model.AuthorizationPolicy;
import dev.weir.policy.plan.AccessPlan;
import dev.weir.policy.plan.AccessPlan.Bound;
import dev.weir.policy.plan.AccessPlan.GatewayGuard;
import dev.weir.policy.plan.AccessPlan.Guard;
import dev.weir.policy.plan.AccessPlan.Policy;
import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Backend;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.ProxyPlan.Filter;
import dev.weir.policy.plan.ProxyPlan.Header;
import dev.weir.policy.plan.ProxyPlan.WeightedBackend;
import dev.weir.policy.plan.Rule;
import dev.weir.policy.plan.Verdict.Decision;
import dev.weir.policy.rbac.AccessDecision;
import dev.weir.policy.rbac.AccessDecision.Verdict;
import dev.weir.policy.rbac.AccessRules;
import dev.weir.policy.rbac.Attributes;
import dev.weir.policy.rbac.Token;
import dev.weir.policy.route.RequestTarget;
import dev.weir.policy.route.Rewrites;
import dev.weir.policy.route.RouteMatch;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;

/** What AuthorizationPolicies say of a request, by the code that the proxy asks. */
final class RequestRules {

  private final Plan plan;
  private final AccessPlan access;
  private final Authorizations authorizations;
  private final Remedies remedies;
  private final Map<String, AuthorizationPolicy> byName = new HashMap<>();

  RequestRules(Cluster cluster, Plan plan, Authorizations authorizations, Remedies remedies) {
    this.plan = plan;
    this.access = plan.proxy().access();
    this.authorizations = authorizations;
    this.remedies = remedies;
    cluster.all(AuthorizationPolicy.class).forEach(p -> byName.put(p.meta().qualifiedName(), p));
  }

  /**
   * The answer about a backend's connection, where it leaves the decision to requests, with the
   * answer about this request instead.
   *
   * @param cluster index in the plan, of which the backend is one
   * @param serverName of the handshake with a Gateway; empty without one
   */
  Explanation ask(
      Explanation connection,
      Party from,
      Backend backend,
      int cluster,
      Request request,
      RouteMatch match,
      String serverName) {
    if (connection.decision() != Decision.INSPECT) {
      return connection;
    }
    List<Policy> about = new ArrayList<>();
    for (Guard guard : access.guards()) {
      if (guard.workload() == backend.workload()) {
        for (Bound bound : guard.policies()) {
          if (bound.ports().isEmpty() || bound.ports().contains(backend.port())) {
            about.add(access.policies().get(bound.policy()));
          }
        }
      }
    }
    AskedRequest asked =
        asked(
            from,
            backend.address(),
            backend.port(),
            request.method(),
            filtered(request, match, cluster),
            serverName);
    return judge(connection, "the destination", about, asked, from)
        .orElseGet(
            () ->
                answer(
                    connection,
                    Decision.REFUSE,
                    connection.decidedBy(),
                    "its requests are to be inspected, and no policy says by what",
                    Optional.of(new Remedy("no change of policy helps", List.of()))));
  }

  /**
   * What the policies about a Gateway itself say of a request that one of its listeners has; empty
   * when there are none.
   *
   * @param connection as far as the Gateway
   * @param gateway {@code namespace/name}
   */
  Optional<Explanation> gateway(
      Explanation connection, Party from, String gateway, Request request, String serverName) {
    List<Policy> about = new ArrayList<>();
    for (GatewayGuard guard : access.gateways()) {
      if (guard.gateway().equals(gateway)) {
        guard.policies().forEach(p -> about.add(access.policies().get(p)));
      }
    }
    AskedRequest asked =
        asked(
            from,
            Attributes.NOWHERE,
            connection.port(),
            request.method(),
            new Sent(target(request), request.headers()),
            serverName);
    return judge(connection, "Gateway " + gateway, about, asked, from);
  }

  /** Empty when there is nothing to ask. */
  private Optional<Explanation> judge(
      Explanation connection, String what, List<Policy> about, AskedRequest asked, Party from) {
    AccessRules rules = new AccessRules(about);
    if (rules.isEmpty()) {
      return Optional.empty();
    }
    AccessDecision decision = rules.decide(asked);
    Decision result =
        switch (decision.verdict()) {
          case ALLOW -> Decision.ALLOW;
          case AUDIT -> Decision.AUDIT;
          case REFUSE -> plan.settings().audit() ? Decision.AUDIT : Decision.REFUSE;
        };
    Rule rule = decision.isUnasked() ? connection.decidedBy() : plan.rules().get(decision.rule());
    String why =
        switch (result) {
          case ALLOW, INSPECT ->
              decision.isUnasked()
                  ? "no policy about " + what + " denies this request"
                  : rule.describe() + " lets this be asked";
          case AUDIT -> rule.describe() + " would refuse this, and is in audit";
          case REFUSE ->
              rule.clause().isEmpty()
                  ? "no rule of the ALLOW policies about " + what + " matches this request"
                  : rule.describe() + " refuses this";
        };
    return Optional.of(
        answer(
            connection,
            result,
            rule,
            why,
            result == Decision.ALLOW
                ? Optional.empty()
                : Optional.of(
                    remedies.admitting(
                        about.stream().map(this::model).toList(),
                        matching(about, rules, asked),
                        from,
                        asked,
                        decision.verdict() == Verdict.REFUSE))));
  }

  private static Explanation answer(
      Explanation connection, Decision result, Rule rule, String why, Optional<Remedy> remedy) {
    return new Explanation(
        connection.from(),
        connection.to(),
        connection.protocol(),
        connection.port(),
        result,
        rule,
        "proxy",
        why,
        connection.findings(),
        List.of(),
        remedy);
  }

  private AuthorizationPolicy model(Policy policy) {
    Rule rule = plan.rules().get(policy.rule());
    return Optional.ofNullable(byName.get(rule.namespace() + "/" + rule.name())).orElseThrow();
  }

  private List<AccessQuestions.Match> matching(
      List<Policy> about, AccessRules rules, AskedRequest asked) {
    List<AccessQuestions.Match> matching = new ArrayList<>();
    for (AccessRules.Match match : rules.matches(asked)) {
      for (Policy policy : about) {
        for (int i = 0; i < policy.clauses().size(); i++) {
          if (policy.clauses().get(i).rule() == match.rule()) {
            matching.add(new AccessQuestions.Match(model(policy), i));
          }
        }
      }
    }
    return matching;
  }

  // What is asked.

  /** A request's target, and its headers with its host, as somebody gets them. */
  private record Sent(RequestTarget target, Map<String, String> headers) {}

  private AskedRequest asked(
      Party from, Address to, int port, String method, Sent sent, String serverName) {
    Address source = authorizations.address(from);
    return new AskedRequest(
        true,
        authorizations.principal(from, false),
        source,
        source,
        to,
        port,
        serverName,
        sent.headers().getOrDefault("host", ""),
        method,
        Optional.of(sent.target()),
        sent.headers(),
        Token.NONE);
  }

  /**
   * A request as a backend gets it.
   *
   * @param cluster index in the plan, of which the backend is one
   */
  static Request atBackend(Request request, RouteMatch match, int cluster) {
    Sent sent = filtered(request, match, cluster);
    String host = sent.headers().getOrDefault("host", "");
    return new Request(
        request.method(), host, host, sent.target().path(), sent.target().query(), sent.headers());
  }

  private static RequestTarget target(Request request) {
    return new RequestTarget(request.path(), request.query(), !request.query().isEmpty());
  }

  /** As the backend gets it. */
  private static Sent filtered(Request request, RouteMatch match, int cluster) {
    RequestTarget target = target(request);
    Map<String, String> headers = new HashMap<>(request.headers());
    for (Filter filter : filters(match, cluster)) {
      switch (filter) {
        case Filter.RequestHeaders(var edit) -> {
          edit.set().forEach(h -> headers.put(name(h), h.value()));
          edit.add().forEach(h -> headers.merge(name(h), h.value(), (a, b) -> a + "," + b));
          edit.remove().forEach(n -> headers.remove(n.toLowerCase(Locale.ROOT)));
        }
        case Filter.Rewrite(var host, var path) -> {
          host.ifPresent(h -> headers.put("host", h));
          if (path.isPresent()) {
            target = Rewrites.rewrite(target, path.get(), match);
          }
        }
        default -> {}
      }
    }
    return new Sent(target, headers);
  }

  private static String name(Header header) {
    return header.name().toLowerCase(Locale.ROOT);
  }

  /** Of the rule, then of the backend: the order in which the proxy applies them. */
  private static List<Filter> filters(RouteMatch match, int cluster) {
    List<Filter> filters = new ArrayList<>(match.rule().filters());
    for (WeightedBackend backend : match.rule().backends()) {
      if (backend.cluster() == cluster) {
        filters.addAll(backend.filters());
        break;
      }
    }
    return filters;
  }
}
