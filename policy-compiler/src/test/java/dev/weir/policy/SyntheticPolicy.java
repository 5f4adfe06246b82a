// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy;

import dev.weir.policy.source.SourceFile;
import dev.weir.policy.source.SourceTree;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/**
 * Policy files of any size: groups of workloads that one label tells apart, each isolated by a
 * policy that lets others in on ports of their own, so that every clause is a verdict of its own.
 */
public final class SyntheticPolicy {

  private SyntheticPolicy() {}

  /**
   * The files.
   *
   * @param workloads in all
   * @param groups of workloads, each one identity; at most 60,000 clauses each
   * @param clauses in all; each gives one verdict row
   */
  public static SourceTree files(int workloads, int groups, int clauses) {
    List<SourceFile> files = new ArrayList<>();
    StringBuilder text = new StringBuilder();
    for (int w = 0; w < workloads; w++) {
      int group = w % groups;
      text.append("apiVersion: weir.dev/v1alpha1\nkind: Workload\nmetadata:\n  name: w")
          .append(w)
          .append("\n  namespace: big\n  labels:\n    app: g")
          .append(group)
          .append("\nspec:\n  cgroup: /big/w")
          .append(w)
          .append("\n  address: 10.")
          .append(64 + (w >> 16))
          .append('.')
          .append(w >> 8 & 255)
          .append('.')
          .append(w & 255)
          .append("\n  ports:\n    - name: http\n      port: 8080\n---\n");
    }
    files.add(file("workloads.yaml", text));
    int perGroup = clauses / groups;
    int more = clauses % groups;
    for (int g = 0; g < groups; g++) {
      StringBuilder policy = new StringBuilder();
      policy
          .append("apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:\n  name: g")
          .append(g)
          .append("\n  namespace: big\nspec:\n  podSelector:\n    matchLabels:\n      app: g")
          .append(g)
          .append("\n  policyTypes: [Ingress]\n  ingress:\n");
      int mine = perGroup + (g < more ? 1 : 0);
      for (int c = 0; c < mine; c++) {
        policy
            .append("    - from:\n        - podSelector:\n            matchLabels:\n")
            .append("              app: g")
            .append((g + 1 + c) % groups)
            .append("\n      ports:\n        - port: ")
            .append(1024 + c)
            .append('\n');
      }
      files.add(file("g" + g + ".yaml", policy));
    }
    return new SourceTree(files, List.of());
  }

  private static SourceFile file(String name, StringBuilder text) {
    return new SourceFile(name, text.toString().getBytes(StandardCharsets.UTF_8));
  }
}
