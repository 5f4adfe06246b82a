// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.plan;

import java.util.BitSet;
import java.util.List;

/**
 * Who may ask what of whom: AuthorizationPolicies whole, also the parts that verdicts already hold,
 * so that a policy split over kernel and proxy opens no more than the policy.
 *
 * @param trustDomain first part of every workload's principal
 * @param policies in the order of the plan's rules
 * @param guards workloads that policies are about, in ascending order
 * @param gateways Gateways that policies are about, by name
 */
public record AccessPlan(
    String trustDomain, List<Policy> policies, List<Guard> guards, List<GatewayGuard> gateways) {

  /** Nobody is guarded. */
  public static final AccessPlan NONE =
      new AccessPlan("cluster.local", List.of(), List.of(), List.of());

  /** Copies the lists. */
  public AccessPlan {
    policies = List.copyOf(policies);
    guards = List.copyOf(guards);
    gateways = List.copyOf(gateways);
  }

  /**
   * The part of it about some workloads and all Gateways. Policies get new indexes, rules keep
   * theirs.
   *
   * @param workloads indexes into {@link Plan#workloads}
   */
  public AccessPlan about(BitSet workloads) {
    List<Guard> kept = guards.stream().filter(g -> workloads.get(g.workload())).toList();
    BitSet used = new BitSet();
    kept.forEach(g -> g.policies().forEach(b -> used.set(b.policy())));
    gateways.forEach(g -> g.policies().forEach(used::set));
    int[] places = new int[policies.size()];
    for (int old = used.nextSetBit(0), next = 0; old >= 0; old = used.nextSetBit(old + 1)) {
      places[old] = next++;
    }
    return new AccessPlan(
        trustDomain,
        used.stream().mapToObj(policies::get).toList(),
        kept.stream()
            .map(
                g ->
                    new Guard(
                        g.workload(),
                        g.policies().stream()
                            .map(b -> new Bound(places[b.policy()], b.ports()))
                            .toList()))
            .toList(),
        gateways.stream()
            .map(
                g ->
                    new GatewayGuard(
                        g.gateway(), g.policies().stream().map(p -> places[p]).toList()))
            .toList());
  }

  /**
   * The policies about one workload.
   *
   * @param workload index into {@link Plan#workloads}
   * @param policies in ascending order
   */
  public record Guard(int workload, List<Bound> policies) {
    /** Copies the list. */
    public Guard {
      policies = List.copyOf(policies);
    }
  }

  /**
   * A policy as it is about one workload.
   *
   * @param policy index into {@link AccessPlan#policies}
   * @param ports of the workload that it is about; empty for all
   */
  public record Bound(int policy, List<Integer> ports) {
    /** Copies the list. */
    public Bound {
      ports = List.copyOf(ports);
    }
  }

  /**
   * The policies about requests through one Gateway.
   *
   * @param gateway {@code namespace/name}
   * @param policies indexes into {@link AccessPlan#policies}
   */
  public record GatewayGuard(String gateway, List<Integer> policies) {
    /** Copies the list. */
    public GatewayGuard {
      policies = List.copyOf(policies);
    }
  }

  /** What a match means. */
  public enum Action {
    /** What matches no rule of any such policy is refused. */
    ALLOW,
    /** What matches is refused. */
    DENY,
    /** What matches is reported. */
    AUDIT
  }

  /**
   * One AuthorizationPolicy.
   *
   * @param rule index of the plan's rule that stands for the policy
   * @param action what a match means
   * @param audit whether it is only reported what it would do
   * @param clauses any of them; none: never matches
   */
  public record Policy(int rule, Action action, boolean audit, List<Clause> clauses) {
    /** Copies the list. */
    public Policy {
      clauses = List.copyOf(clauses);
    }
  }

  /**
   * One rule of a policy.
   *
   * @param rule index of the plan's rule that stands for it
   * @param from any of them; empty: any source
   * @param to any of them; empty: any operation
   * @param when all of them
   */
  public record Clause(int rule, List<Term> from, List<Term> to, Term when) {
    /** Copies the lists. */
    public Clause {
      from = List.copyOf(from);
      to = List.copyOf(to);
    }
  }

  /** Conditions that must all hold. */
  public record Term(List<Condition> conditions) {
    /** Copies the list. */
    public Term {
      conditions = List.copyOf(conditions);
    }
  }

  /**
   * One of the values matches, or there are none; and none of the not-values does.
   *
   * @param attribute what is compared
   * @param names the header's name, or the claim's and those within it; else empty
   * @param values patterns as written
   * @param notValues patterns as written
   */
  public record Condition(
      Attribute attribute, List<String> names, List<String> values, List<String> notValues) {
    /** Copies the lists. */
    public Condition {
      names = List.copyOf(names);
      values = List.copyOf(values);
      notValues = List.copyOf(notValues);
    }
  }

  /** What a condition compares. */
  public enum Attribute {
    /** Address of the peer. */
    SOURCE_IP(false),
    /** Address of the original client. */
    REMOTE_IP(false),
    /** Authenticated principal of the peer. */
    SOURCE_PRINCIPAL(false),
    /** Its namespace. */
    SOURCE_NAMESPACE(false),
    /** Its {@code namespace/account}. */
    SOURCE_SERVICE_ACCOUNT(false),
    /** Its trust domain. */
    SOURCE_TRUST_DOMAIN(false),
    /** Address of the destination workload. */
    DESTINATION_IP(false),
    /** Port of the destination workload. */
    DESTINATION_PORT(false),
    /** Server name of the TLS client hello. */
    CONNECTION_SNI(false),
    /** What only filters of Envoy tell: never there. */
    FILTER_METADATA(false),
    /** Authority. */
    HOST(true),
    /** Method. */
    METHOD(true),
    /** Normalised path without query. */
    PATH(true),
    /** A header. */
    HEADER(true),
    /** {@code issuer/subject} of a verified token. */
    REQUEST_PRINCIPAL(true),
    /** Its audiences. */
    REQUEST_AUDIENCES(true),
    /** Its authorised presenter. */
    REQUEST_PRESENTER(true),
    /** One of its claims. */
    REQUEST_CLAIM(true);

    private final boolean ofRequests;

    Attribute(boolean ofRequests) {
      this.ofRequests = ofRequests;
    }

    /** Whether it is known before anything is sent, so that the kernel can judge by it. */
    public boolean ofConnections() {
      return !ofRequests && this != REMOTE_IP && this != CONNECTION_SNI && this != FILTER_METADATA;
    }

    /** Whether only HTTP has it; a connection that is not HTTP does not. */
    public boolean ofRequests() {
      return ofRequests;
    }
  }
}
