// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.plan;

import java.util.List;

/**
 * What shares one cgroup subtree.
 *
 * @param namespace its namespace; empty for reserved ones
 * @param name its name
 * @param kind {@code Workload}, {@code Pod}, {@code Deployment}, ...; {@code Reserved} for those of
 *     {@link Reserved}; {@code Service} for a service that leads to the proxy or is counted as a
 *     destination
 * @param identity index of its identity in this plan
 * @param cgroups paths from the cgroup2 root, each beginning with a slash; empty when not on this
 *     node
 * @param handsOutSockets its sockets may be used by other workloads
 * @param serviceAccount for principals and metrics; empty when none
 * @param app label {@code app} (or {@code app.kubernetes.io/name}), for metrics; empty when none
 * @param version label {@code version} (or {@code app.kubernetes.io/version}); empty when none
 */
public record Workload(
    String namespace,
    String name,
    String kind,
    int identity,
    List<String> cgroups,
    boolean handsOutSockets,
    String serviceAccount,
    String app,
    String version) {

  /** Number of reserved workloads a plan begins with. */
  public static final int RESERVED = 5;

  /** Copies the list. */
  public Workload {
    cgroups = List.copyOf(cgroups);
  }

  /** The same, as one that does not care where it lives sees it. */
  Workload withoutCgroups() {
    return cgroups.isEmpty()
        ? this
        : new Workload(
            namespace,
            name,
            kind,
            identity,
            List.of(),
            handsOutSockets,
            serviceAccount,
            app,
            version);
  }

  /**
   * The key under which a registry keeps this workload's stable number: {@code
   * kind/namespace/name}.
   */
  public String key() {
    return kind + "/" + namespace + "/" + name;
  }
}
