// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.answer;

import dev.weir.policy.access.AskedRequest;
import dev.weir.policy.cluster.Cluster;
import dev.weir.policy.model.Located;
import dev.weir.policy.model.Workload;
import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Backend;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.ProxyPlan.Filter;
import dev.weir.policy.plan.ProxyPlan.Header;
import dev.weir.policy.plan.ProxyPlan.WeightedBackend;
import dev.weir.policy.plan.Rule;
import dev.weir.policy.plan.Verdict.Decision;
import dev.weir.policy.rbac.AccessDecision;
import dev.weir.policy.rbac.AccessRules;
import dev.weir.policy.rbac.Attributes;
import dev.weir.policy.rbac.Principal;
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

  private final Cluster cluster;
  private final Plan plan;

  RequestRules(Cluster cluster, Plan plan) {
    this.cluster = cluster;
    this.plan = plan;
  }

  /**
   * The answer about a backend's connection, where it leaves the decision to requests, with the
   * answer about this request instead.
   *
   * @param cluster index in the plan, of which the backend is one
   */
  Explanation ask(
      Explanation connection,
      Party from,
      Backend backend,
      int cluster,
      Request request,
      RouteMatch match) {
    if (connection.decision() != Decision.INSPECT) {
      return connection;
    }
    AccessRules rules = AccessRules.of(plan.proxy().access(), backend.workload(), backend.port());
    AccessDecision decision = rules.decide(asked(from, backend, cluster, request, match));
    boolean audit = plan.settings().audit();
    Decision result =
        switch (decision.verdict()) {
          case ALLOW -> rules.isEmpty() ? Decision.REFUSE : Decision.ALLOW;
          case AUDIT -> Decision.AUDIT;
          case REFUSE -> audit ? Decision.AUDIT : Decision.REFUSE;
        };
    Rule rule = decision.isUnasked() ? connection.decidedBy() : plan.rules().get(decision.rule());
    String why =
        switch (result) {
          case ALLOW, INSPECT -> rule.describe() + " lets this be asked";
          case AUDIT -> rule.describe() + " would refuse this, and is in audit";
          case REFUSE ->
              rule.clause().isEmpty()
                  ? "no rule of the ALLOW policies about the destination matches this request"
                  : rule.describe() + " refuses this";
        };
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
        result == Decision.ALLOW
            ? Optional.empty()
            : Optional.of(new Remedy("change " + rule.describe(), List.of())));
  }

  private AskedRequest asked(
      Party from, Backend backend, int cluster, Request request, RouteMatch match) {
    Address source = address(from);
    RequestTarget target =
        new RequestTarget(request.path(), request.query(), !request.query().isEmpty());
    Map<String, String> headers = new HashMap<>(request.headers());
    String host = headers.getOrDefault("host", request.host());
    for (Filter filter : filters(match, cluster)) {
      switch (filter) {
        case Filter.RequestHeaders(var edit) -> {
          edit.set().forEach(h -> headers.put(name(h), h.value()));
          edit.add().forEach(h -> headers.merge(name(h), h.value(), (a, b) -> a + "," + b));
          edit.remove().forEach(n -> headers.remove(n.toLowerCase(Locale.ROOT)));
        }
        case Filter.Rewrite(var newHost, var path) -> {
          host = newHost.orElse(host);
          if (path.isPresent()) {
            target = Rewrites.rewrite(target, path.get(), match);
          }
        }
        default -> {}
      }
    }
    return new AskedRequest(
        true,
        principal(from),
        source,
        source,
        backend.address(),
        backend.port(),
        "",
        host,
        request.method(),
        Optional.of(target),
        headers,
        Token.NONE);
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

  private Principal principal(Party party) {
    if (!(party instanceof Party.Declared declared)) {
      return Principal.NONE;
    }
    Workload workload = cluster.workloads().get(declared.index());
    return Principal.of(
        plan.proxy().access().trustDomain(),
        workload.meta().namespace(),
        workload.serviceAccount().isEmpty() ? "default" : workload.serviceAccount());
  }

  /** Its own, else loopback; of a workload elsewhere that names none, nowhere. */
  private Address address(Party party) {
    return switch (party) {
      case Party.Declared declared -> {
        Workload workload = cluster.workloads().get(declared.index());
        yield workload
            .address()
            .map(Located::value)
            .orElse(workload.onThisNode() ? Address.LOOPBACK4 : Attributes.NOWHERE);
      }
      case Party.Outside outside -> outside.address();
      default -> Address.LOOPBACK4;
    };
  }
}
