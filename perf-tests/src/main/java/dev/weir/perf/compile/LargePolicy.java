// SPDX-License-Identifier: Apache-2.0
package dev.weir.perf.compile;

import dev.weir.policy.source.SourceFile;
import dev.weir.policy.source.SourceTree;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/**
 * The policy files of a full node: workloads in groups that a label tells apart, services that lead
 * to a group each, and for each group a NetworkPolicy of a hundred clauses that lets a hundred
 * others in, each on a port of its own. So every clause is one verdict that no other clause gives.
 */
final class LargePolicy {

  /** Workloads in all. */
  static final int WORKLOADS = 10_000;

  /** Services in all. */
  static final int SERVICES = 5_000;

  /** Groups of workloads. */
  static final int GROUPS = 1_000;

  /** Clauses of one group's policy. */
  static final int CLAUSES = 100;

  private LargePolicy() {}

  /** The files: of each group its workloads, its services and its policy. */
  static SourceTree files() {
    List<SourceFile> files = new ArrayList<>();
    for (int group = 0; group < GROUPS; group++) {
      files.add(workloads(group, ""));
      files.add(services(group, 80));
      files.add(policy(group, 1024));
    }
    return new SourceTree(files, List.of());
  }

  /** All of these, with one of them exchanged for another of its name. */
  static SourceTree with(SourceTree tree, SourceFile other) {
    return new SourceTree(
        tree.files().stream().map(f -> f.name().equals(other.name()) ? other : f).toList(),
        List.of());
  }

  /** The workloads of a group; with a version they have one label more. */
  static SourceFile workloads(int group, String version) {
    StringBuilder text = new StringBuilder();
    for (int i = group; i < WORKLOADS; i += GROUPS) {
      text.append(
          """
          ---
          apiVersion: weir.dev/v1alpha1
          kind: Workload
          metadata:
            name: w%1$d
            namespace: large
            labels:
              app: g%2$d%6$s
          spec:
            cgroup: /large/w%1$d
            address: 10.%3$d.%4$d.%5$d
            ports:
              - name: http
                port: 8080
          """
              .formatted(
                  i,
                  group,
                  i >> 16,
                  i >> 8 & 255,
                  i & 255,
                  version.isEmpty() ? "" : "\n    version: " + version));
    }
    return file("workloads/g" + group + ".yaml", text);
  }

  /** The services of a group. */
  static SourceFile services(int group, int port) {
    StringBuilder text = new StringBuilder();
    for (int i = group; i < SERVICES; i += GROUPS) {
      text.append(
          """
          ---
          apiVersion: v1
          kind: Service
          metadata:
            name: s%1$d
            namespace: large
          spec:
            clusterIP: 10.96.%3$d.%4$d
            selector:
              app: g%2$d
            ports:
              - name: http
                port: %5$d
                targetPort: http
          """
              .formatted(i, group, i >> 8 & 255, i & 255, port));
    }
    return file("services/g" + group + ".yaml", text);
  }

  /** The policy of a group, its clauses' ports from {@code port} on. */
  static SourceFile policy(int group, int port) {
    StringBuilder text = new StringBuilder();
    text.append(
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
      text.append(
          """
              - from:
                  - podSelector:
                      matchLabels:
                        app: g%d
                ports:
                  - port: %d
          """
              .formatted((group + 1 + clause) % GROUPS, port + clause));
    }
    return file("policies/g" + group + ".yaml", text);
  }

  private static SourceFile file(String name, StringBuilder text) {
    return new SourceFile(name, text.toString().getBytes(StandardCharsets.UTF_8));
  }
}
