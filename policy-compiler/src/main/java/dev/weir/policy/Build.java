// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy;

import dev.weir.policy.authorize.AccessPolicies;
import dev.weir.policy.authorize.Authorized;
import dev.weir.policy.authorize.RuleTable;
import dev.weir.policy.cluster.Cluster;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.source.Diagnostic;
import dev.weir.policy.steer.Steering;
import java.util.List;

/**
 * A plan and every step on the way to it, for the next compilation to begin with.
 *
 * @param cluster who was declared
 * @param rules what verdicts name
 * @param access AuthorizationPolicies
 * @param steering where services and routes lead
 * @param steered what was to be said about that
 * @param authorized who may reach whom
 * @param plan what became of it
 */
record Build(
    Cluster cluster,
    RuleTable rules,
    AccessPolicies access,
    Steering steering,
    List<Diagnostic> steered,
    Authorized authorized,
    Plan plan) {}
