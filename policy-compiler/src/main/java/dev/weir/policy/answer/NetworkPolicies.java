// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.answer;

import dev.weir.policy.Analysis;
import dev.weir.policy.answer.Explanation.Effect;
import dev.weir.policy.answer.Explanation.Finding;
import dev.weir.policy.answer.Explanation.Side;
import dev.weir.policy.cluster.Selectors;
import dev.weir.policy.model.NetworkPolicy;
import dev.weir.policy.model.NetworkPolicy.Clause;
import dev.weir.policy.model.NetworkPolicy.Peer;
import dev.weir.policy.model.PortReference;
import dev.weir.policy.model.Workload;
import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Block;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.Rule;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;

/** Reads NetworkPolicies once more, as their authors did, to say what they mean to a connection. */
final class NetworkPolicies {

  private final Analysis analysis;
  private final Plan plan;
  private final List<Workload> workloads;
  private final List<NetworkPolicy> policies;

  /**
   * What one side's policies say.
   *
   * @param enforced whether those that are not in audit allow the connection
   * @param whole whether all of them together do
   * @param findings what each says
   */
  record Reading(boolean enforced, boolean whole, List<Finding> findings) {}

  NetworkPolicies(Analysis analysis, Plan plan) {
    this.analysis = analysis;
    this.plan = plan;
    this.workloads = analysis.cluster().workloads();
    this.policies = analysis.cluster().all(NetworkPolicy.class);
  }

  /** Policies that isolate a party on a side, by namespace and name. */
  List<NetworkPolicy> isolating(Side side, Party subject) {
    if (!(subject instanceof Party.Declared declared)) {
      return List.of();
    }
    Workload workload = workloads.get(declared.index());
    return policies.stream()
        .filter(
            policy ->
                (side == Side.INGRESS ? policy.isolatesIngress() : policy.isolatesEgress())
                    && policy.meta().namespace().equals(workload.meta().namespace())
                    && Selectors.matches(policy.podSelector(), workload.meta().labels()))
        .toList();
  }

  static List<Clause> clauses(Side side, NetworkPolicy policy) {
    return side == Side.INGRESS ? policy.ingress() : policy.egress();
  }

  /** Whether one side allows the connection, and what its policies say. */
  Reading read(
      Side side, Party subject, Party other, Party destination, Protocol protocol, int port) {
    List<Finding> findings = new ArrayList<>();
    boolean defaultDeny = plan.settings().defaultDeny();
    if (!(subject instanceof Party.Declared declared)) {
      boolean open = !(subject instanceof Party.Unknown && defaultDeny);
      return new Reading(open, open, findings);
    }
    String name = side.name().toLowerCase(Locale.ROOT);
    boolean isolated = defaultDeny;
    boolean allowed = false;
    boolean isolatedByAll = defaultDeny;
    boolean allowedByAll = false;
    if (defaultDeny) {
      findings.add(
          new Finding(plan.rules().getFirst(), side, Effect.ISOLATES, "Mesh: defaultDeny"));
    }
    for (NetworkPolicy policy : isolating(side, declared)) {
      isolatedByAll = true;
      isolated |= !policy.audit();
      findings.add(
          new Finding(
              rule(analysis.rules().of(policy)),
              side,
              Effect.ISOLATES,
              "isolates "
                  + workloads.get(declared.index()).meta().qualifiedName()
                  + " for "
                  + name
                  + (policy.audit() ? ", but only to report it" : "")));
      List<Clause> clauses = clauses(side, policy);
      for (int i = 0; i < clauses.size(); i++) {
        boolean peer = names(policy, clauses.get(i), other);
        boolean onPort = names(clauses.get(i), destination, protocol, port);
        Rule rule = rule(analysis.rules().of(policy, name, i));
        if (peer && onPort) {
          allowedByAll = true;
          allowed |= !policy.audit();
          findings.add(new Finding(rule, side, Effect.ALLOWS, "allows it"));
        } else if (peer) {
          findings.add(
              new Finding(
                  rule,
                  side,
                  Effect.OTHER_PORT,
                  "names " + other.name() + ", but not " + protocol + " " + port));
        } else if (onPort) {
          findings.add(
              new Finding(
                  rule,
                  side,
                  Effect.OTHER_PEER,
                  "names " + protocol + " " + port + ", but not " + other.name()));
        }
      }
    }
    return new Reading(!isolated || allowed, !isolatedByAll || allowedByAll, findings);
  }

  private Rule rule(int index) {
    return plan.rules().get(index);
  }

  /** Whether a clause names a party. */
  boolean names(NetworkPolicy policy, Clause clause, Party other) {
    if (clause.peers().isEmpty()) {
      return true;
    }
    for (Peer peer : clause.peers()) {
      boolean named =
          switch (peer) {
            case Peer.Pods pods ->
                other instanceof Party.Declared declared
                    && Arrays.binarySearch(
                            analysis.cluster().select(policy.meta().namespace(), pods),
                            declared.index())
                        >= 0;
            case Peer.Addresses block ->
                switch (other) {
                  case Party.Outside outside -> holds(block, outside.address());
                  case Party.Host host ->
                      holds(block, Address.LOOPBACK4) || holds(block, Address.LOOPBACK6);
                  case Party.Proxy proxy ->
                      holds(block, Address.LOOPBACK4) || holds(block, Address.LOOPBACK6);
                  default -> false;
                };
          };
      if (named) {
        return true;
      }
    }
    return false;
  }

  private static boolean holds(Peer.Addresses peer, Address address) {
    return peer.block().contains(address)
        && peer.except().stream().noneMatch((Block e) -> e.contains(address));
  }

  /** Whether a clause names a port. */
  boolean names(Clause clause, Party destination, Protocol protocol, int port) {
    if (clause.ports().isEmpty()) {
      return true;
    }
    for (NetworkPolicy.Port wanted : clause.ports()) {
      if (wanted.protocol() == protocol
          && (wanted.port().isEmpty() || means(wanted.port().get(), destination, protocol, port))) {
        return true;
      }
    }
    return false;
  }

  private boolean means(PortReference reference, Party destination, Protocol protocol, int port) {
    return switch (reference) {
      case PortReference.Numbers numbers -> numbers.first() <= port && port <= numbers.last();
      case PortReference.Named named ->
          destination instanceof Party.Declared declared
              && workloads.get(declared.index()).ports().stream()
                  .anyMatch(
                      p ->
                          p.name().equals(named.name())
                              && p.protocol() == protocol
                              && p.port() == port);
    };
  }
}
