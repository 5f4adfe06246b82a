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
  private final Map<Integer, Map<Integer, List<Grant>>> egressByPeer = new HashMap<>();
  private final Map<Integer, List<Grant>> egressToAll = new HashMap<>();

  /** One direction of all identities. */
  private static final class Direction {
    final Side[] sides;
    final int[] rules;
    final Map<Integer, List<Grant>> grants = new HashMap<>();

    Direction(int count) {
      sides = new Side[count];
      Arrays.fill(sides, Side.OPEN);
      rules = new int[count];
    }

    void select(int identity, int rule, boolean audit, List<Grant> more) {
      Side side = audit ? Side.AUDIT : Side.ISOLATED;
      if (side.compareTo(sides[identity]) < 0) {
        // An enforced policy refuses more than those in audit could.
        return;
      }
      if (side != sides[identity]) {
        sides[identity] = side;
        rules[identity] = rule;
        grants.put(identity, new ArrayList<>());
      } else if (rules[identity] == 0 && side == Side.ISOLATED) {
        rules[identity] = rule;
      }
      grants.computeIfAbsent(identity, k -> new ArrayList<>()).addAll(more);
    }

    /** Who is isolated and yet open to everybody is as good as not isolated, and takes no rows. */
    void reopen() {
      grants
          .entrySet()
          .removeIf(
              entry -> {
                boolean open = entry.getValue().stream().anyMatch(Grant::open);
                if (open) {
                  sides[entry.getKey()] = Side.OPEN;
                  rules[entry.getKey()] = 0;
                }
                return open;
              });
    }

    List<Grant> grants(int identity) {
      return grants.getOrDefault(identity, List.of());
    }
  }

  Sides(int count) {
    ingress = new Direction(count);
    egress = new Direction(count);
    guarded = new boolean[count];
    guardAudit = new boolean[count];
  }

  /** {@code Mesh} or the nature of the identity isolates it; policies may do so as well. */
  void isolateIngress(int identity, List<Grant> grants) {
    ingress.select(identity, 0, false, grants);
  }

  /** The same as a source. */
  void isolateEgress(int identity, List<Grant> grants) {
    egress.select(identity, 0, false, grants);
  }

  /** A policy selects it as a destination. */
  void selectIngress(int identity, int rule, boolean audit, List<Grant> grants) {
    ingress.select(identity, rule, audit, grants);
  }

  /** A policy selects it as a source. */
  void selectEgress(int identity, int rule, boolean audit, List<Grant> grants) {
    egress.select(identity, rule, audit, grants);
  }

  /** To be called once, after everything was selected. */
  void settle() {
    ingress.reopen();
    egress.reopen();
    egress.grants.forEach(
        (source, grants) -> {
          Map<Integer, List<Grant>> byPeer = new HashMap<>();
          List<Grant> all = new ArrayList<>();
          for (Grant grant : grants) {
            if (grant.all()) {
              all.add(grant);
            }
            for (int peer : grant.peers()) {
              byPeer.computeIfAbsent(peer, k -> new ArrayList<>()).add(grant);
            }
          }
          egressByPeer.put(source, byPeer);
          egressToAll.put(source, all);
        });
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
    return ingress.grants(identity);
  }

  List<Grant> egressGrants(int identity) {
    return egress.grants(identity);
  }

  /** Clauses of a source that name a destination, or anybody. */
  List<Grant> egressGrants(int source, int destination) {
    List<Grant> named =
        egressByPeer.getOrDefault(source, Map.of()).getOrDefault(destination, List.of());
    List<Grant> all = egressToAll.getOrDefault(source, List.of());
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
