// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;

/** Small clusters with policies, as YAML: few names and ports, so that selectors often meet. */
final class RandomPolicies {

  static final List<String> OUTSIDE =
      List.of("10.1.2.3", "10.1.9.9", "10.200.0.1", "192.0.2.1", "2001:db8::5", "2001:db9::1");

  static final List<Integer> PORTS = List.of(1, 79, 80, 81, 443, 1000, 1024, 8080, 9000, 65535);

  private static final List<String> NAMESPACES = List.of("red", "blue");
  private static final List<String> APPS = List.of("a", "b", "c");
  private static final List<String> BLOCKS =
      List.of(
          "10.0.0.0/8",
          "10.1.0.0/16",
          "10.1.2.0/24",
          "0.0.0.0/0",
          "192.0.2.0/24",
          "2001:db8::/32",
          "::/0",
          "127.0.0.0/8");

  private final Random random;
  private final StringBuilder yaml = new StringBuilder();

  private RandomPolicies(long seed) {
    // Mixed, because neighbouring seeds begin alike.
    random = new Random(seed * 0x9e3779b97f4a7c15L);
  }

  static String yaml(long seed) {
    RandomPolicies policies = new RandomPolicies(seed);
    policies.cluster();
    return policies.yaml.toString();
  }

  private void line(String text) {
    yaml.append(text).append('\n');
  }

  private void cluster() {
    if (random.nextInt(4) == 0) {
      line("---\napiVersion: weir.dev/v1alpha1\nkind: Mesh\nmetadata: {name: m}");
      line("spec: {defaultDeny: " + random.nextBoolean() + "}");
    }
    if (random.nextBoolean()) {
      line("---\napiVersion: v1\nkind: Namespace\nmetadata: {name: red, labels: {env: prod}}");
    }
    int workloads = 1 + random.nextInt(6);
    for (int w = 0; w < workloads; w++) {
      line("---\napiVersion: weir.dev/v1alpha1\nkind: Workload");
      line(
          "metadata: {name: w%d, namespace: %s, labels: {%s}}"
              .formatted(w, one(NAMESPACES), labels()));
      line("spec:\n  cgroup: /t/w" + w + "\n  address: 172.16.0." + (w + 1));
      line("  ports:");
      line("    - {name: http, port: " + one(List.of(80, 8080)) + "}");
      if (random.nextBoolean()) {
        line("    - {name: http, port: " + one(List.of(80, 443)) + ", protocol: UDP}");
      }
      if (random.nextBoolean()) {
        line("    - {name: alt, port: 9000}");
      }
    }
    for (int p = random.nextInt(6); p > 0; p--) {
      policy(p);
    }
    if (random.nextInt(3) == 0) {
      route();
    }
  }

  private void route() {
    String namespace = one(NAMESPACES);
    for (String name : List.of("front", "back-a", "back-b")) {
      line(
          "---\napiVersion: v1\nkind: Service\nmetadata: {name: "
              + name
              + ", namespace: "
              + namespace
              + "}");
      line(
          "spec: {clusterIP: 10.96.0.%d, selector: {app: %s}, ports: [{port: 80, targetPort: %s}]}"
              .formatted(1 + name.charAt(name.length() - 1), one(APPS), one(List.of("http", 443))));
    }
    line("---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute");
    line("metadata: {name: r, namespace: " + namespace + "}");
    line("spec:\n  parentRefs: [{group: \"\", kind: Service, name: front}]");
    line("  rules:\n    - backendRefs: [{name: back-a, port: 80}, {name: back-b, port: 80}]");
  }

  private String labels() {
    List<String> labels = new ArrayList<>();
    if (random.nextInt(5) > 0) {
      labels.add("app: " + one(APPS));
    }
    if (random.nextBoolean()) {
      labels.add("tier: " + one(List.of("x", "y")));
    }
    return String.join(", ", labels);
  }

  private void policy(int number) {
    line("---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy");
    line("metadata: {name: p%d, namespace: %s}".formatted(number, one(NAMESPACES)));
    line("spec:\n  podSelector: " + selector());
    switch (random.nextInt(4)) {
      case 0 -> line("  policyTypes: [Ingress]");
      case 1 -> line("  policyTypes: [Egress]");
      case 2 -> line("  policyTypes: [Ingress, Egress]");
      default -> {}
    }
    clauses("ingress", "from");
    clauses("egress", "to");
  }

  private void clauses(String direction, String peers) {
    int count = random.nextInt(4);
    if (count == 3) {
      return;
    }
    line("  " + direction + ": " + (count == 0 ? "[]" : ""));
    for (int i = 0; i < count; i++) {
      List<String> parts = new ArrayList<>();
      // Refused: towards addresses a name means nothing.
      boolean names = true;
      if (random.nextInt(4) > 0) {
        List<String> list = new ArrayList<>();
        for (int p = 1 + random.nextInt(2); p > 0; p--) {
          list.add(peer());
        }
        names = direction.equals("ingress") || list.stream().anyMatch(p -> p.contains("Selector"));
        parts.add(peers + ": [" + String.join(", ", list) + "]");
      }
      if (random.nextInt(3) > 0) {
        List<String> list = new ArrayList<>();
        for (int p = 1 + random.nextInt(2); p > 0; p--) {
          list.add(port(names));
        }
        parts.add("ports: [" + String.join(", ", list) + "]");
      }
      line("    - {" + String.join(", ", parts) + "}");
    }
  }

  private String peer() {
    return switch (random.nextInt(5)) {
      case 0 -> "{podSelector: " + selector() + "}";
      case 1 -> "{namespaceSelector: " + namespaceSelector() + "}";
      case 2 -> "{namespaceSelector: " + namespaceSelector() + ", podSelector: " + selector() + "}";
      case 3 -> "{ipBlock: {cidr: \"" + one(BLOCKS) + "\"}}";
      default ->
          one(
              List.of(
                  "{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}",
                  "{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.2.0/24, 10.200.0.0/16]}}",
                  "{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8, 127.0.0.0/8]}}"));
    };
  }

  private String namespaceSelector() {
    return one(
        List.of(
            "{}",
            "{matchLabels: {env: prod}}",
            "{matchLabels: {kubernetes.io/metadata.name: blue}}",
            "{matchExpressions: [{key: env, operator: DoesNotExist}]}"));
  }

  private String selector() {
    return switch (random.nextInt(6)) {
      case 0 -> "{}";
      case 1, 2 -> "{matchLabels: {app: " + one(APPS) + "}}";
      case 3 -> "{matchExpressions: [{key: app, operator: In, values: [a, b]}]}";
      case 4 -> "{matchExpressions: [{key: tier, operator: NotIn, values: [x]}]}";
      default -> "{matchLabels: {app: a}, matchExpressions: [{key: tier, operator: Exists}]}";
    };
  }

  private String port(boolean names) {
    return switch (random.nextInt(7)) {
      case 0 -> "{port: 80}";
      case 1 -> names ? "{port: http}" : "{port: 79}";
      case 2 -> "{port: 80, endPort: 1024}";
      case 3 -> "{port: 1000, endPort: 9000, protocol: " + one(List.of("TCP", "UDP")) + "}";
      case 4 -> "{protocol: UDP}";
      case 5 -> "{port: 1, endPort: 65535}";
      default -> "{port: " + one(List.of(names ? "alt" : "80", "443", "8080")) + ", protocol: TCP}";
    };
  }

  private <T> T one(List<T> list) {
    return list.get(random.nextInt(list.size()));
  }
}
