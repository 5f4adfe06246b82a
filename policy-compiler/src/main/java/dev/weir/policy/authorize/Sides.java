// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.authorize;

import dev.weir.policy.authorize.AccessPolicies.Applied;
import dev.weir.policy.plan.Verdict.Decision;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;

/** What NetworkPolicies make of each identity, as source and as destination. */
final class Sides {

  /** What a side does with what nothing names. */
  enum Side {
    /** Lets it pass. */
    OPEN,
    /** Lets it pass and reports it: only policies in audit isolate it. */
    AUDIT,
    /** Refuses it. */
    ISOLATED
  }

  private final Direction ingress;
  private final Direction egress;

  /** Isolated by AuthorizationPolicies as well, or by them alone. */
  private final boolean[] guarded;

  private final boolean[] guardAudit;
  private Function<PolicySide, List<Grant>> resolver;

  /** What sources are granted, by who is meant; made when it is asked for. */
  private final Map<Integer, Egress> egressOf = new HashMap<>();

  /** What one source is granted. */
  private record Egress(Map<Integer, List<Grant>> byPeer, List<Grant> all) {
    static final Egress NOTHING = new Egress(Map.of(), List.of());
  }

  /** One direction of all identities. */
  private static final class Direction {
    final Side[] sides;
    final int[] rules;
    final Map<Integer, List<PolicySide>> policies = new HashMap<>();

    Direction(int count) {
      sides = new Side[count];
      Arrays.fill(sides, Side.OPEN);
      rules = new int[count];
    }

    void select(int identity, int rule, boolean audit, PolicySide policy) {
      Side side = audit ? Side.AUDIT : Side.ISOLATED;
      if (side.compareTo(sides[identity]) < 0) {
        // An enforced policy refuses more than those in audit could.
        return;
      }
      if (side != sides[identity]) {
        sides[identity] = side;
        rules[identity] = rule;
        policies.put(identity, new ArrayList<>());
      } else if (rules[identity] == 0 && side == Side.ISOLATED) {
        rules[identity] = rule;
      }
      policies.computeIfAbsent(identity, k -> new ArrayList<>()).add(policy);
    }

    /** Who is isolated and yet open to everybody is as good as not isolated, and takes no rows. */
    void reopen() {
      policies
          .entrySet()
          .removeIf(
              entry -> {
                boolean open = entry.getValue().stream().anyMatch(PolicySide::open);
                if (open) {
                  sides[entry.getKey()] = Side.OPEN;
                  rules[entry.getKey()] = 0;
                }
                return open;
              });
    }

    List<PolicySide> policies(int identity) {
      return policies.getOrDefault(identity, List.of());
    }

    /** Whether the same policies say the same of an identity as in another one. */
    boolean isAs(Direction other, int identity) {
      if (sides[identity] != other.sides[identity]) {
        return false;
      }
      List<PolicySide> mine = policies(identity);
      List<PolicySide> others = other.policies(identity);
      if (mine.size() != others.size()) {
        return false;
      }
      for (int i = 0; i < mine.size(); i++) {
        if (!mine.get(i).equals(others.get(i))) {
          return false;
        }
      }
      return true;
    }
  }

  /**
   * Nobody is isolated yet.
   *
   * @param resolver finds who is meant by the clauses of a policy
   */
  Sides(int count, Function<PolicySide, List<Grant>> resolver) {
    this.resolver = resolver;
    ingress = new Direction(count);
    egress = new Direction(count);
    guarded = new boolean[count];
    guardAudit = new boolean[count];
  }

  /** {@code Mesh} or the nature of the identity isolates it; policies may do so as well. */
  void isolateIngress(int identity, PolicySide grants) {
    ingress.select(identity, 0, false, grants);
  }

  /** The same as a source. */
  void isolateEgress(int identity, PolicySide grants) {
    egress.select(identity, 0, false, grants);
  }

  /** A policy selects it as a destination. */
  void selectIngress(int identity, int rule, boolean audit, PolicySide grants) {
    ingress.select(identity, rule, audit, grants);
  }

  /** A policy selects it as a source. */
  void selectEgress(int identity, int rule, boolean audit, PolicySide grants) {
    egress.select(identity, rule, audit, grants);
  }

  /** To be called once, after everything was selected. */
  void settle() {
    ingress.reopen();
    egress.reopen();
  }

  /** Whether the same policies say the same of a destination as in another one. */
  boolean ingressIsAs(Sides other, int identity) {
    return ingress.isAs(other.ingress, identity);
  }

  /** Whether the same policies say the same of a source as in another one. */
  boolean egressIsAs(Sides other, int identity) {
    return egress.isAs(other.egress, identity);
  }

  /** Takes over what another one has found out about a source of which the same is said. */
  void takeEgress(Sides other, int identity) {
    Egress known = other.egressOf.get(identity);
    if (known != null) {
      egressOf.put(identity, known);
    }
  }

  /** To be called when all rows are known: who is meant by a clause cannot be asked any more. */
  void close() {
    resolver =
        side -> {
          throw new IllegalStateException("asked too late whom a clause means");
        };
  }

  /** Whether AuthorizationPolicies decide something about it. */
  boolean guarded(int identity) {
    return guarded[identity];
  }

  /** AuthorizationPolicies decide something about it. */
  void isolate(int destination, List<Applied> policies) {
    if (policies.isEmpty()) {
      return;
    }
    guarded[destination] = true;
    boolean enforced = policies.stream().anyMatch(a -> !a.policy().audit());
    guardAudit[destination] = !enforced;
    Side side = ingress.sides[destination];
    if (side == Side.OPEN || side == Side.AUDIT && enforced) {
      ingress.rules[destination] =
          policies.stream()
              .map(Applied::policy)
              .filter(p -> !enforced || !p.audit())
              .min(
                  Comparator.comparing(AccessPolicies.AccessPolicy::deny)
                      .thenComparingInt(AccessPolicies.AccessPolicy::rule))
              .map(AccessPolicies.AccessPolicy::rule)
              .orElse(0);
    }
  }

  /** A service that leads to the proxy: only what a row allows. */
  void isolateService(int identity, int rule) {
    ingress.sides[identity] = Side.ISOLATED;
    ingress.rules[identity] = rule;
  }

  Side ingress(int identity) {
    return ingress.sides[identity];
  }

  Side egress(int identity) {
    return egress.sides[identity];
  }

  boolean ingressIsolated(int identity) {
    return ingress.sides[identity] != Side.OPEN || guarded[identity];
  }

  boolean egressIsolated(int identity) {
    return egress.sides[identity] != Side.OPEN;
  }

  /** Whether what no row allows is made nevertheless, and reported. */
  boolean ingressAudit(int identity) {
    return ingress.sides[identity] != Side.ISOLATED
        && ingressIsolated(identity)
        && (!guarded[identity] || guardAudit[identity]);
  }

  boolean egressAudit(int identity) {
    return egress.sides[identity] == Side.AUDIT;
  }

  int ingressRule(int identity) {
    return ingress.rules[identity];
  }

  int egressRule(int identity) {
    return egress.rules[identity];
  }

  List<Grant> ingressGrants(int identity) {
    return grants(ingress.policies(identity));
  }

  List<Grant> egressGrants(int identity) {
    return grants(egress.policies(identity));
  }

  private List<Grant> grants(List<PolicySide> policies) {
    if (policies.size() == 1) {
      return policies.getFirst().grants(resolver);
    }
    List<Grant> grants = new ArrayList<>();
    for (PolicySide policy : policies) {
      grants.addAll(policy.grants(resolver));
    }
    return grants;
  }

  private Egress egressOf(int source) {
    if (egress.policies(source).isEmpty()) {
      return Egress.NOTHING;
    }
    Egress known = egressOf.get(source);
    if (known == null) {
      Map<Integer, List<Grant>> byPeer = new HashMap<>();
      List<Grant> all = new ArrayList<>();
      for (Grant grant : egressGrants(source)) {
        if (grant.all()) {
          all.add(grant);
        }
        for (int peer : grant.peers()) {
          byPeer.computeIfAbsent(peer, k -> new ArrayList<>(1)).add(grant);
        }
      }
      known = new Egress(byPeer, all);
      egressOf.put(source, known);
    }
    return known;
  }

  /** Clauses of a source that name a destination, or anybody. */
  List<Grant> egressGrants(int source, int destination) {
    Egress granted = egressOf(source);
    List<Grant> named = granted.byPeer().getOrDefault(destination, List.of());
    List<Grant> all = granted.all();
    if (named.isEmpty()) {
      return all;
    }
    if (all.isEmpty()) {
      return named;
    }
    List<Grant> both = new ArrayList<>(named);
    both.addAll(all);
    return both;
  }

  /** What happens to an open source without a row. */
  int missTowards(int destination) {
    return PortFunction.outcome(
        ingressAudit(destination) ? Decision.AUDIT : Decision.REFUSE, ingressRule(destination));
  }

  /** What happens without a row when both sides are isolated. */
  int miss(int source, int destination) {
    boolean audit = ingressAudit(destination) && egressAudit(source);
    return PortFunction.outcome(audit ? Decision.AUDIT : Decision.REFUSE, 0);
  }
}
