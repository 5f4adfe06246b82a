// SPDX-License-Identifier: Apache-2.0
package dev.weir.perf.compile;

import dev.weir.policy.source.SourceFile;
import dev.weir.policy.source.SourceTree;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/**
 * The policy files of a full node: workloads in groups that a label tells apart, and for each group
 * a NetworkPolicy of a hundred clauses that lets a hundred others in, each on a port of its own.
 */
final class LargePolicy {

  /** Workloads in all. */
  static final int WORKLOADS = 10_000;

  /** Groups of workloads. */
  static final int GROUPS = 1_000;

  /** Clauses of one group's policy. */
  static final int CLAUSES = 100;

  private LargePolicy() {}

  /** The files: one of workloads, one of a policy for each group. */
  static SourceTree files() {
    List<SourceFile> files = new ArrayList<>();
    StringBuilder workloads = new StringBuilder();
    for (int i = 0; i < WORKLOADS; i++) {
      workloads.append(
          """
          ---
          apiVersion: weir.dev/v1alpha1
          kind: Workload
          metadata:
            name: w%1$d
            namespace: large
            labels:
              app: g%2$d
          spec:
            cgroup: /large/w%1$d
            address: 10.%3$d.%4$d.%5$d
            ports:
              - name: http
                port: 8080
          """
              .formatted(i, i % GROUPS, i >> 16, i >> 8 & 255, i & 255));
    }
    files.add(file("workloads.yaml", workloads));
    for (int group = 0; group < GROUPS; group++) {
      StringBuilder policy = new StringBuilder();
      policy.append(
          """
          apiVersion: networking.k8s.io/v1
          kind: NetworkPolicy
          metadata:
            name: g%1$d
            namespace: large
          spec:
            podSelector:
              matchLabels:
                app: g%1$d
            policyTypes: [Ingress]
            ingress:
          """
              .formatted(group));
      for (int clause = 0; clause < CLAUSES; clause++) {
        policy.append(
            """
                - from:
                    - podSelector:
                        matchLabels:
                          app: g%d
                  ports:
                    - port: %d
            """
                .formatted((group + 1 + clause) % GROUPS, 1024 + clause));
      }
      files.add(file("g" + group + ".yaml", policy));
    }
    return new SourceTree(files, List.of());
  }

  private static SourceFile file(String name, StringBuilder text) {
    return new SourceFile(name, text.toString().getBytes(StandardCharsets.UTF_8));
  }
}
