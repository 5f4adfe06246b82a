// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.authorize;

import dev.weir.policy.model.NetworkPolicy;
import dev.weir.policy.model.NetworkPolicy.Clause;
import dev.weir.policy.model.NetworkPolicy.Port;
import dev.weir.policy.model.PortReference;
import java.util.List;
import java.util.Optional;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/**
 * What one direction of a NetworkPolicy grants. It outlives a compilation as long as the policy
 * stays what it is and identities and ports are cut as they were; only the numbers of its rules
 * move. Its peers are looked up when somebody asks.
 */
final class PolicySide {

  /** Who is isolated and is granted nothing. */
  static final PolicySide NOTHING = new PolicySide(Optional.empty(), true, List.of());

  private final Optional<NetworkPolicy> policy;
  private final boolean ingress;
  private final List<Clause> clauses;
  private @Nullable List<Grant> grants;
  private int firstRule;
  private int ruleStep;

  private PolicySide(Optional<NetworkPolicy> policy, boolean ingress, List<Clause> clauses) {
    this.policy = policy;
    this.ingress = ingress;
    this.clauses = clauses;
  }

  /** A direction of a policy. */
  static PolicySide of(NetworkPolicy policy, boolean ingress) {
    return new PolicySide(
        Optional.of(policy), ingress, ingress ? policy.ingress() : policy.egress());
  }

  /** What no policy says: everything, to everybody, in the name of {@code Mesh}. */
  static PolicySide everything() {
    PolicySide side = new PolicySide(Optional.empty(), true, List.of());
    side.grants = List.of(new Grant(true, new int[0], List.of(), side, 0));
    return side;
  }

  /** What no policy says: these ports, to everybody, all in the name of one rule. */
  static PolicySide ports(List<Port> ports, int rule) {
    PolicySide side = new PolicySide(Optional.empty(), true, List.of());
    side.grants =
        ports.stream().map(p -> new Grant(true, new int[0], List.of(p), side, 0)).toList();
    side.firstRule = rule;
    return side;
  }

  Optional<NetworkPolicy> policy() {
    return policy;
  }

  boolean ingress() {
    return ingress;
  }

  List<Clause> clauses() {
    return clauses;
  }

  /** Takes the numbers that its rules have this time. */
  void number(RuleTable rules) {
    if (policy.isPresent() && !clauses.isEmpty()) {
      String direction = ingress ? "ingress" : "egress";
      firstRule = rules.of(policy.get(), direction, 0);
      ruleStep = clauses.size() > 1 ? rules.of(policy.get(), direction, 1) - firstRule : 0;
    }
  }

  /** The rule of a clause. */
  int rule(int index) {
    return firstRule + index * ruleStep;
  }

  /** Whether it allows everything to everybody. */
  boolean open() {
    for (Clause clause : clauses) {
      if (clause.peers().isEmpty() && clause.ports().isEmpty()) {
        return true;
      }
    }
    return false;
  }

  /** Whether what its ports are as codes depends on the ports that others name. */
  boolean namesRanges() {
    for (Clause clause : clauses) {
      for (Port port : clause.ports()) {
        if (port.port().isPresent()
            && (port.port().get() instanceof PortReference.Named
                || port.port().get() instanceof PortReference.Numbers numbers
                    && numbers.first() != numbers.last())) {
          return true;
        }
      }
    }
    return false;
  }

  /** What it grants. */
  List<Grant> grants(Function<PolicySide, List<Grant>> resolver) {
    List<Grant> known = grants;
    if (known == null) {
      known = policy.isPresent() ? resolver.apply(this) : List.of();
      grants = known;
    }
    return known;
  }

  /** Forgets what it can look up again. */
  void trim() {
    if (policy.isPresent() && ingress) {
      grants = null;
    }
  }
}
