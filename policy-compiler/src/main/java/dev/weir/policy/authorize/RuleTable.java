// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.authorize;

import dev.weir.policy.cluster.Cluster;
import dev.weir.policy.model.AuthorizationPolicy;
import dev.weir.policy.model.Gateway;
import dev.weir.policy.model.Mesh;
import dev.weir.policy.model.NetworkPolicy;
import dev.weir.policy.model.NetworkPolicy.Clause;
import dev.weir.policy.model.PeerAuthentication;
import dev.weir.policy.model.Resource;
import dev.weir.policy.model.Route;
import dev.weir.policy.model.TrafficPolicy;
import dev.weir.policy.plan.Rule;
import dev.weir.policy.source.Diagnostics;
import dev.weir.policy.source.Position;
import java.util.ArrayList;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Optional;

/**
 * What verdicts can name, in the order of the plan: {@code Mesh}, then by kind, namespace, name and
 * clause. A plan has room for 65,536; when the clauses are more, each policy stands for all of its
 * clauses.
 */
public final class RuleTable {

  /** Most rules a plan may have. */
  public static final int MAX = 1 << 16;

  private final List<Rule> rules = new ArrayList<>();

  /** Of each object; its clauses follow it, if they are named. */
  private final IdentityHashMap<Resource, Integer> places = new IdentityHashMap<>();

  /** Whether each policy stands for all of its clauses. */
  private final boolean whole;

  /** The table of a cluster. */
  public RuleTable(Cluster cluster, Diagnostics diagnostics) {
    Optional<Mesh> mesh = cluster.mesh();
    rules.add(
        mesh.map(m -> rule(m, "", m.meta().at()))
            .orElse(new Rule("Mesh", "", "(default)", "", "", 0)));
    long clauses = 0;
    for (NetworkPolicy policy : cluster.all(NetworkPolicy.class)) {
      clauses += 1 + policy.ingress().size() + policy.egress().size();
    }
    for (AuthorizationPolicy policy : cluster.all(AuthorizationPolicy.class)) {
      clauses += 1 + policy.rules().size();
    }
    long others =
        1L
            + cluster.all(Route.class).size()
            + cluster.all(PeerAuthentication.class).size()
            + cluster.all(TrafficPolicy.class).size()
            + cluster.all(Gateway.class).stream().mapToLong(g -> 1 + g.listeners().size()).sum();
    whole = others + clauses > MAX;
    for (AuthorizationPolicy policy : cluster.all(AuthorizationPolicy.class)) {
      add(policy, "", policy.meta().at());
      for (int i = 0; i < policy.rules().size() && !whole; i++) {
        add(policy, "rules[" + i + "]", policy.rules().get(i).at());
      }
    }
    for (Gateway gateway : cluster.all(Gateway.class)) {
      add(gateway, "", gateway.meta().at());
      for (Gateway.Listener listener : gateway.listeners()) {
        add(gateway, clause(listener), listener.name().at());
      }
    }
    for (Route route : cluster.all(Route.class)) {
      add(route, "", route.meta().at());
    }
    for (NetworkPolicy policy : cluster.all(NetworkPolicy.class)) {
      add(policy, "", policy.meta().at());
      if (!whole) {
        addAll(policy, "ingress", policy.ingress());
        addAll(policy, "egress", policy.egress());
      }
    }
    for (PeerAuthentication policy : cluster.all(PeerAuthentication.class)) {
      add(policy, "", policy.meta().at());
    }
    for (TrafficPolicy policy : cluster.all(TrafficPolicy.class)) {
      add(policy, "", policy.meta().at());
    }
    if (rules.size() > MAX) {
      diagnostics.error(
          new Position("", 0, 0),
          "",
          rules.size() + " policies and routes are more than the " + MAX + " a plan has room for",
          "join policies that select the same workloads");
    }
  }

  private static String clause(Gateway.Listener listener) {
    return "listeners[" + listener.name().value() + "]";
  }

  private static Rule rule(Resource resource, String clause, Position at) {
    return new Rule(
        resource.kind(),
        resource.meta().namespace(),
        resource.meta().name(),
        clause,
        at.file(),
        at.line());
  }

  private void add(Resource resource, String clause, Position at) {
    places.putIfAbsent(resource, rules.size());
    rules.add(rule(resource, clause, at));
  }

  private void addAll(NetworkPolicy policy, String direction, List<Clause> clauses) {
    for (int i = 0; i < clauses.size(); i++) {
      add(policy, direction + "[" + i + "]", clauses.get(i).at());
    }
  }

  /** The rules, by index. */
  public List<Rule> rules() {
    return List.copyOf(rules);
  }

  /** The rule that stands for a whole object. */
  public int of(Resource resource) {
    Integer place = places.get(resource);
    return place == null ? 0 : place;
  }

  /** The rule that stands for a listener. */
  public int of(Gateway gateway, Gateway.Listener listener) {
    return of(gateway) + 1 + gateway.listeners().indexOf(listener);
  }

  /** The rule that stands for a rule of a policy, by its index in it. */
  public int of(AuthorizationPolicy policy, int index) {
    return whole ? of(policy) : of(policy) + 1 + index;
  }

  /**
   * The rule that stands for a clause.
   *
   * @param direction {@code ingress} or {@code egress}
   * @param index of the clause in its policy
   */
  public int of(NetworkPolicy policy, String direction, int index) {
    return whole
        ? of(policy)
        : of(policy) + 1 + index + (direction.equals("egress") ? policy.ingress().size() : 0);
  }
}
