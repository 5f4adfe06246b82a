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
import java.util.Arrays;
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

  private final List<Rule> rules;

  /** Of each object; its clauses follow it, if they are named. */
  private final IdentityHashMap<Resource, Integer> places = new IdentityHashMap<>();

  /** How many rules stand for each object and its clauses. */
  private final IdentityHashMap<Resource, Integer> lengths = new IdentityHashMap<>();

  /** Whether each policy stands for all of its clauses. */
  private final boolean whole;

  /** The table of a cluster. */
  public RuleTable(Cluster cluster, Diagnostics diagnostics) {
    this(cluster, diagnostics, Optional.empty());
  }

  /**
   * The table of a cluster.
   *
   * @param before of a cluster that has many of the same objects: their rules are taken over
   */
  public RuleTable(Cluster cluster, Diagnostics diagnostics, Optional<RuleTable> before) {
    List<Rule> rules = new ArrayList<>();
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
    Builder builder = new Builder(rules, before.filter(b -> b.whole == whole));
    cluster.all(AuthorizationPolicy.class).forEach(builder::add);
    cluster.all(Gateway.class).forEach(builder::add);
    cluster.all(Route.class).forEach(builder::add);
    cluster.all(NetworkPolicy.class).forEach(builder::add);
    cluster.all(PeerAuthentication.class).forEach(builder::add);
    cluster.all(TrafficPolicy.class).forEach(builder::add);
    this.rules = List.copyOf(rules);
    if (rules.size() > MAX) {
      diagnostics.error(
          new Position("", 0, 0),
          "",
          rules.size() + " policies and routes are more than the " + MAX + " a plan has room for",
          "join policies that select the same workloads");
    }
  }

  /** Adds objects and their clauses, or copies what was made of them before. */
  private final class Builder {

    private final List<Rule> rules;
    private final Optional<RuleTable> before;

    Builder(List<Rule> rules, Optional<RuleTable> before) {
      this.rules = rules;
      this.before = before;
    }

    void add(Resource resource) {
      int place = rules.size();
      Integer known = before.isPresent() ? before.get().places.get(resource) : null;
      if (known != null) {
        int length = before.get().lengths.getOrDefault(resource, 1);
        rules.addAll(before.get().rules.subList(known, known + length));
      } else {
        rules.add(rule(resource, "", resource.meta().at()));
        clauses(resource);
      }
      places.put(resource, place);
      lengths.put(resource, rules.size() - place);
    }

    private void clauses(Resource resource) {
      if (resource instanceof Gateway gateway) {
        for (Gateway.Listener listener : gateway.listeners()) {
          rules.add(rule(gateway, clause(listener), listener.name().at()));
        }
      } else if (whole) {
        return;
      } else if (resource instanceof AuthorizationPolicy policy) {
        for (int i = 0; i < policy.rules().size(); i++) {
          rules.add(rule(policy, "rules[" + i + "]", policy.rules().get(i).at()));
        }
      } else if (resource instanceof NetworkPolicy policy) {
        addAll(policy, "ingress", policy.ingress());
        addAll(policy, "egress", policy.egress());
      }
    }

    private void addAll(NetworkPolicy policy, String direction, List<Clause> clauses) {
      for (int i = 0; i < clauses.size(); i++) {
        rules.add(rule(policy, direction + "[" + i + "]", clauses.get(i).at()));
      }
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

  /** The rules, by index. */
  public List<Rule> rules() {
    return rules;
  }

  /** Whether each policy stands for all of its clauses here and there. */
  public boolean wholeAs(RuleTable other) {
    return whole == other.whole;
  }

  /** Where the rules of another table are in this one, by their index there; -1 for those gone. */
  int[] whereAre(RuleTable other) {
    int[] where = new int[other.rules.size()];
    Arrays.fill(where, -1);
    where[0] = 0;
    other.places.forEach(
        (resource, place) -> {
          Integer now = places.get(resource);
          int length = other.lengths.getOrDefault(resource, 1);
          for (int i = 0; now != null && i < length; i++) {
            where[place + i] = now + i;
          }
        });
    return where;
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
