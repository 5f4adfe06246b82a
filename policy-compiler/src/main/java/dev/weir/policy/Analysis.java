// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy;

import dev.weir.policy.authorize.RuleTable;
import dev.weir.policy.cluster.Cluster;
import dev.weir.policy.steer.Steering;

/**
 * A compilation with what it was made of, to answer questions from.
 *
 * @param compilation a plan or errors
 * @param cluster who was declared
 * @param rules what verdicts name
 * @param steering where services and routes lead
 */
public record Analysis(
    Compilation compilation, Cluster cluster, RuleTable rules, Steering steering) {}
