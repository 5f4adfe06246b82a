// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.plan;

/**
 * One clause of one policy, or a policy as the cause of default deny.
 *
 * @param kind {@code NetworkPolicy}, {@code AuthorizationPolicy}, {@code Mesh}, {@code HTTPRoute},
 *     ...
 * @param namespace of the policy
 * @param name of the policy
 * @param clause {@code ingress[0]}, {@code egress[2]}, {@code rules[1]}; empty for the whole policy
 * @param file path as given to the compiler
 * @param line first line of the clause, from 1; 0 when it comes from no file
 */
public record Rule(
    String kind, String namespace, String name, String clause, String file, int line) {

  /** Stands for a rule that whoever holds this plan never needs to name. */
  public static final Rule ELSEWHERE = new Rule("", "", "", "", "", 0);

  /** Stable across generations and moves between files: {@code kind/namespace/name/clause}. */
  public String key() {
    return kind + "/" + namespace + "/" + name + (clause.isEmpty() ? "" : "/" + clause);
  }

  /** For people: {@code NetworkPolicy shop/db ingress[0] (db.yaml:12)}. */
  public String describe() {
    return kind
        + " "
        + (namespace.isEmpty() ? "" : namespace + "/")
        + name
        + (clause.isEmpty() ? "" : " " + clause)
        + (file.isEmpty() ? "" : " (" + file + ":" + line + ")");
  }
}
