// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.plan;

import dev.weir.policy.plan.AccessPlan.Action;
import dev.weir.policy.plan.AccessPlan.Attribute;
import dev.weir.policy.plan.AccessPlan.Bound;
import dev.weir.policy.plan.AccessPlan.Clause;
import dev.weir.policy.plan.AccessPlan.Condition;
import dev.weir.policy.plan.AccessPlan.GatewayGuard;
import dev.weir.policy.plan.AccessPlan.Guard;
import dev.weir.policy.plan.AccessPlan.Policy;
import dev.weir.policy.plan.AccessPlan.Term;
import java.util.List;

/** The part of {@link PlanCodec} about AuthorizationPolicies. */
final class AccessPlanCodec {

  private AccessPlanCodec() {}

  static void write(BinaryWriter out, AccessPlan access) {
    out.text(access.trustDomain());
    out.list(
        access.policies(),
        p -> {
          out.number(p.rule());
          out.ordinal(p.action());
          out.bool(p.audit());
          out.list(
              p.clauses(),
              c -> {
                out.number(c.rule());
                out.list(c.from(), t -> term(out, t));
                out.list(c.to(), t -> term(out, t));
                term(out, c.when());
              });
        });
    out.list(
        access.guards(),
        g -> {
          out.number(g.workload());
          out.list(
              g.policies(),
              b -> {
                out.number(b.policy());
                out.numbers(b.ports());
              });
        });
    out.list(
        access.gateways(),
        g -> {
          out.text(g.gateway());
          out.numbers(g.policies());
        });
  }

  private static void term(BinaryWriter out, Term term) {
    out.list(
        term.conditions(),
        c -> {
          out.ordinal(c.attribute());
          out.list(c.names(), out::text);
          out.list(c.values(), out::text);
          out.list(c.notValues(), out::text);
        });
  }

  static AccessPlan read(BinaryReader in, int workloads, int rules) throws PlanFormatException {
    String trustDomain = in.text();
    List<Policy> policies =
        in.list(
            () ->
                new Policy(
                    in.index(rules),
                    in.ordinal(Action.values()),
                    in.bool(),
                    in.list(
                        () ->
                            new Clause(
                                in.index(rules),
                                in.list(() -> term(in)),
                                in.list(() -> term(in)),
                                term(in)))));
    List<Guard> guards =
        in.list(
            () ->
                new Guard(
                    in.index(workloads),
                    in.list(
                        () ->
                            new Bound(
                                in.index(policies.size()), in.list(() -> in.integer(0xffff))))));
    List<GatewayGuard> gateways =
        in.list(() -> new GatewayGuard(in.text(), in.list(() -> in.index(policies.size()))));
    return new AccessPlan(trustDomain, policies, guards, gateways);
  }

  private static Term term(BinaryReader in) throws PlanFormatException {
    return new Term(
        in.list(
            () ->
                new Condition(
                    in.ordinal(Attribute.values()),
                    in.list(in::text),
                    in.list(in::text),
                    in.list(in::text))));
  }
}
