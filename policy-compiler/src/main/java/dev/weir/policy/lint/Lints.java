// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.lint;

import dev.weir.policy.cluster.Cluster;
import dev.weir.policy.source.Diagnostics;

/** Looks for what is well said and probably not meant. */
public final class Lints {

  private Lints() {}

  /** Notes a warning for each finding. */
  public static void run(Cluster cluster, Diagnostics diagnostics) {
    Findings findings = new Findings(diagnostics);
    new NetworkPolicyLints(cluster, findings).run();
    new AccessLints(cluster, findings).run();
    new RouteLints(cluster, findings).run();
  }
}
