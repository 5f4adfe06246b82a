// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy;

import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Random;
import java.util.Set;

/**
 * Small clusters with policies of every kind, as YAML documents: few names, labels, ports and
 * addresses, so that they often meet. The same seed gives the same cluster.
 */
final class RandomClusters {

  /** What a cluster may hold beside NetworkPolicies. */
  enum Feature {
    /** Mesh settings beyond defaultDeny. */
    MESH,
    /** The node's own processes governed. */
    HOST,
    /** Policies in audit mode. */
    AUDIT,
    /** AuthorizationPolicy whose fields are known at connect. */
    AUTHORIZATION,
    /** AuthorizationPolicy with fields of requests. */
    REQUESTS,
    /** PeerAuthentication. */
    PEER_AUTHENTICATION,
    /** Workloads elsewhere. */
    ELSEWHERE,
    /** Services, with and without routes. */
    SERVICES
  }

  static final Set<Feature> EVERYTHING = EnumSet.allOf(Feature.class);

  static final List<String> OUTSIDE =
      List.of(
          "10.1.2.3",
          "10.1.9.9",
          "10.200.0.1",
          "192.0.2.1",
          "198.51.100.7",
          "2001:db8::5",
          "2001:db9::1");

  static final List<Integer> PORTS = List.of(1, 79, 80, 81, 443, 1000, 1024, 8080, 9000, 65535);

  private static final List<String> NAMESPACES = List.of("red", "blue");
  private static final List<String> APPS = List.of("a", "b", "c");
  private static final List<String> ACCOUNTS = List.of("alice", "bob");
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
  private final Set<Feature> features;
  private final List<String> documents = new ArrayList<>();
  private StringBuilder yaml = new StringBuilder();
  private String trustDomain = "cluster.local";
  private String rootNamespace = "istio-system";

  private RandomClusters(long seed, Set<Feature> features) {
    // Mixed, because neighbouring seeds begin alike.
    this.random = new Random(seed * 0x9e3779b97f4a7c15L);
    this.features = features;
  }

  static List<String> documents(long seed, Set<Feature> features) {
    RandomClusters clusters = new RandomClusters(seed, features);
    clusters.cluster();
    return clusters.documents;
  }

  /** NetworkPolicies alone. */
  static String yaml(long seed) {
    return String.join("---\n", documents(seed, EnumSet.of(Feature.SERVICES)));
  }

  private void line(String text) {
    yaml.append(text).append('\n');
  }

  private void end() {
    documents.add(yaml.toString());
    yaml = new StringBuilder();
  }

  private boolean oneIn(int n) {
    return random.nextInt(n) == 0;
  }

  private boolean may(Feature feature) {
    return features.contains(feature);
  }

  private <T> T one(List<T> list) {
    return list.get(random.nextInt(list.size()));
  }

  private void cluster() {
    mesh();
    if (random.nextBoolean()) {
      line("apiVersion: v1\nkind: Namespace\nmetadata: {name: red, labels: {env: prod}}");
      end();
    }
    int workloads = 1 + random.nextInt(6);
    for (int w = 0; w < workloads; w++) {
      workload(w);
    }
    for (int p = random.nextInt(6); p > 0; p--) {
      networkPolicy(p);
    }
    if (may(Feature.SERVICES) && oneIn(3)) {
      services();
    }
    if (may(Feature.AUTHORIZATION) && !oneIn(4)) {
      for (int p = 1 + random.nextInt(4); p > 0; p--) {
        authorizationPolicy(p);
      }
    }
    if (may(Feature.PEER_AUTHENTICATION) && oneIn(3)) {
      for (int p = 1 + random.nextInt(3); p > 0; p--) {
        peerAuthentication(p);
      }
    }
  }

  private void mesh() {
    if (!oneIn(3)) {
      return;
    }
    line("apiVersion: weir.dev/v1alpha1\nkind: Mesh\nmetadata: {name: m}\nspec:");
    line("  defaultDeny: " + random.nextBoolean());
    if (may(Feature.MESH)) {
      if (oneIn(5)) {
        line("  audit: true");
      }
      if (may(Feature.HOST) && oneIn(3)) {
        line("  host:\n    governed: true\n    management:");
        line("      - {direction: Ingress, protocol: TCP, port: 22}");
        if (random.nextBoolean()) {
          line("      - {direction: Egress, protocol: TCP, port: " + one(PORTS) + "}");
        }
        if (oneIn(3)) {
          line("      - {direction: Egress, protocol: UDP}");
        }
        if (oneIn(3)) {
          line("      - {direction: Ingress, protocol: TCP, port: " + one(PORTS) + "}");
        }
      }
      if (oneIn(3)) {
        line("  trustDomain: prod.example");
        trustDomain = "prod.example";
      }
      if (oneIn(3)) {
        line("  rootNamespace: blue");
        rootNamespace = "blue";
      }
      if (random.nextBoolean()) {
        line("  trustPodAddresses: true");
      }
    }
    end();
  }

  private void workload(int w) {
    boolean elsewhere = may(Feature.ELSEWHERE) && oneIn(4);
    line("apiVersion: weir.dev/v1alpha1\nkind: Workload");
    line(
        "metadata: {name: w%d, namespace: %s, labels: {%s}}"
            .formatted(w, one(NAMESPACES), labels()));
    line("spec:");
    if (!elsewhere) {
      line("  cgroup: /t/w" + w);
    }
    line("  address: " + (elsewhere ? "10.1.2." + (100 + w) : "172.16.0." + (w + 1)));
    if (random.nextBoolean()) {
      line("  serviceAccountName: " + one(ACCOUNTS));
    }
    line("  ports:");
    line("    - {name: http, port: " + one(List.of(80, 8080)) + "}");
    if (random.nextBoolean()) {
      line("    - {name: http, port: " + one(List.of(80, 443)) + ", protocol: UDP}");
    }
    if (random.nextBoolean()) {
      line("    - {name: alt, port: 9000}");
    }
    end();
  }

  private String labels() {
    List<String> labels = new ArrayList<>();
    if (!oneIn(5)) {
      labels.add("app: " + one(APPS));
    }
    if (random.nextBoolean()) {
      labels.add("tier: " + one(List.of("x", "y")));
    }
    return String.join(", ", labels);
  }

  // Services.

  private void services() {
    String namespace = one(NAMESPACES);
    for (String name : List.of("front", "back-a", "back-b")) {
      line(
          "apiVersion: v1\nkind: Service\nmetadata: {name: "
              + name
              + ", namespace: "
              + namespace
              + "}");
      line(
          "spec: {clusterIP: 10.96.0.%d, selector: {app: %s}, ports: [{port: 80, targetPort: %s}]}"
              .formatted(
                  1 + name.charAt(name.length() - 1), one(APPS), one(List.of("http", "443"))));
      end();
    }
    if (!oneIn(3)) {
      line("apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute");
      line("metadata: {name: r, namespace: " + namespace + "}");
      line("spec:\n  parentRefs: [{group: \"\", kind: Service, name: front}]");
      line("  rules:\n    - backendRefs: [{name: back-a, port: 80}, {name: back-b, port: 80}]");
      end();
    }
  }

  // NetworkPolicy.

  private String audit() {
    return may(Feature.AUDIT) && oneIn(4) ? ", annotations: {weir.dev/audit: \"true\"}" : "";
  }

  private void networkPolicy(int number) {
    line("apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy");
    line("metadata: {name: p%d, namespace: %s%s}".formatted(number, one(NAMESPACES), audit()));
    line("spec:\n  podSelector: " + selector());
    switch (random.nextInt(4)) {
      case 0 -> line("  policyTypes: [Ingress]");
      case 1 -> line("  policyTypes: [Egress]");
      case 2 -> line("  policyTypes: [Ingress, Egress]");
      default -> {}
    }
    clauses("ingress", "from");
    clauses("egress", "to");
    end();
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
      if (!oneIn(4)) {
        List<String> list = new ArrayList<>();
        for (int p = 1 + random.nextInt(2); p > 0; p--) {
          list.add(peer());
        }
        names = direction.equals("ingress") || list.stream().anyMatch(p -> p.contains("Selector"));
        parts.add(peers + ": [" + String.join(", ", list) + "]");
      }
      if (!oneIn(3)) {
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
            "{matchLabels: {kubernetes.io/metadata.name: red}}",
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

  // AuthorizationPolicy and PeerAuthentication.

  private String place() {
    return oneIn(4) ? rootNamespace : one(NAMESPACES);
  }

  private void authorizationPolicy(int number) {
    String action = one(List.of("ALLOW", "ALLOW", "ALLOW", "DENY", "DENY", "AUDIT"));
    String audit =
        action.equals("AUDIT") || random.nextBoolean()
            ? audit()
            : audit().replace("weir.dev/audit", "istio.io/dry-run");
    line("apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy");
    boolean service = may(Feature.SERVICES) && oneIn(6);
    line(
        "metadata: {name: z%d, namespace: %s%s}"
            .formatted(number, service ? one(NAMESPACES) : place(), audit));
    line("spec:\n  action: " + action);
    if (service) {
      line(
          "  targetRefs: [{group: \"\", kind: Service, name: "
              + one(List.of("front", "back-a"))
              + "}]");
    } else if (!oneIn(3)) {
      line("  selector: {matchLabels: {app: " + one(APPS) + "}}");
    }
    int rules = action.equals("ALLOW") ? random.nextInt(4) : 1 + random.nextInt(2);
    if (rules == 0) {
      if (random.nextBoolean()) {
        line("  rules: []");
      }
    } else {
      line("  rules:");
      for (int r = 0; r < rules; r++) {
        line("    - {" + String.join(", ", rule()) + "}");
      }
    }
    end();
  }

  private List<String> rule() {
    List<String> parts = new ArrayList<>();
    if (random.nextBoolean()) {
      List<String> sources = new ArrayList<>();
      for (int s = 1 + random.nextInt(2); s > 0; s--) {
        sources.add("{source: {" + source() + "}}");
      }
      parts.add("from: [" + String.join(", ", sources) + "]");
    }
    if (random.nextBoolean()) {
      List<String> operations = new ArrayList<>();
      for (int s = 1 + random.nextInt(2); s > 0; s--) {
        operations.add("{operation: {" + operation() + "}}");
      }
      parts.add("to: [" + String.join(", ", operations) + "]");
    }
    if (oneIn(3)) {
      List<String> conditions = new ArrayList<>();
      for (int s = 1 + random.nextInt(2); s > 0; s--) {
        conditions.add("{" + condition() + "}");
      }
      parts.add("when: [" + String.join(", ", conditions) + "]");
    }
    return parts;
  }

  private String field(String name, List<String> values) {
    String not =
        "not" + name.substring(0, 1).toUpperCase(java.util.Locale.ROOT) + name.substring(1);
    return switch (random.nextInt(4)) {
      case 0 -> not + ": [" + one(values) + "]";
      case 1 -> name + ": [" + one(values) + "], " + not + ": [" + one(values) + "]";
      case 2 -> name + ": [" + one(values) + ", " + one(values) + "]";
      default -> name + ": [" + one(values) + "]";
    };
  }

  private List<String> principals() {
    return List.of(
        "\"*\"",
        "cluster.local/ns/red/sa/alice",
        trustDomain + "/ns/blue/sa/default",
        "\"" + trustDomain + "/ns/red/*\"",
        "\"*/sa/bob\"",
        "\"*\"");
  }

  private static final List<String> SPACES = List.of("red", "blue", "\"r*\"", "\"*e\"", "\"*\"");
  private static final List<String> SERVICE_ACCOUNTS =
      List.of("red/alice", "blue/bob", "alice", "default", "blue/default");
  private static final List<String> ADDRESSES =
      List.of(
          "10.0.0.0/8",
          "10.1.2.3",
          "10.1.0.0/16",
          "172.16.0.0/29",
          "172.16.0.2",
          "127.0.0.0/8",
          "\"2001:db8::/32\"",
          "0.0.0.0/0",
          "\"::/0\"");
  private static final List<String> PORT_VALUES =
      List.of("\"80\"", "\"443\"", "\"8080\"", "\"9000\"", "\"79\"");

  private String source() {
    List<String> parts = new ArrayList<>();
    if (oneIn(3)) {
      parts.add(field("serviceAccounts", SERVICE_ACCOUNTS));
    } else {
      if (oneIn(3)) {
        parts.add(field("principals", principals()));
      }
      if (oneIn(3)) {
        parts.add(field("namespaces", SPACES));
      }
    }
    if (may(Feature.REQUESTS) && oneIn(6)) {
      parts.add(field("requestPrincipals", List.of("\"*\"", "iss/sub", "\"iss/*\"")));
    }
    if (may(Feature.REQUESTS) && oneIn(8)) {
      parts.add(field("remoteIpBlocks", ADDRESSES));
    }
    if (parts.isEmpty() || oneIn(4)) {
      parts.add(field("ipBlocks", ADDRESSES));
    }
    return String.join(", ", parts);
  }

  private String operation() {
    List<String> parts = new ArrayList<>();
    if (may(Feature.REQUESTS)) {
      if (oneIn(3)) {
        parts.add(field("methods", List.of("GET", "POST", "\"P*\"", "\"*\"")));
      }
      if (oneIn(3)) {
        parts.add(
            field(
                "paths",
                List.of(
                    "/", "/admin", "\"/admin*\"", "\"*.html\"", "\"/a/{*}/c\"", "\"/a/{**}\"")));
      }
      if (oneIn(4)) {
        parts.add(field("hosts", List.of("shop.example", "\"*.example\"", "SHOP.example")));
      }
    }
    if (parts.isEmpty() || random.nextBoolean()) {
      parts.add(field("ports", PORT_VALUES));
    }
    return String.join(", ", parts);
  }

  private String condition() {
    if (may(Feature.REQUESTS) && random.nextBoolean()) {
      return switch (random.nextInt(5)) {
        case 0 -> condition("request.auth.principal", List.of("iss/sub", "\"*\""));
        case 1 -> condition("\"request.auth.claims[role]\"", List.of("admin", "\"a*\"", "user"));
        case 2 -> condition("connection.sni", List.of("shop.example", "\"*.example\""));
        case 3 -> condition("remote.ip", ADDRESSES);
        default -> condition("\"request.headers[X-User]\"", List.of("ann", "\"b*\"", "\"*\""));
      };
    }
    return switch (random.nextInt(7)) {
      case 0 -> condition("source.ip", ADDRESSES);
      case 1 -> condition("destination.ip", ADDRESSES);
      case 2 -> condition("destination.port", PORT_VALUES);
      case 3 -> condition("source.namespace", SPACES);
      case 4 -> condition("source.serviceAccount", SERVICE_ACCOUNTS);
      case 5 -> condition("source.trustDomain", List.of("cluster.local", "prod.example", "\"*\""));
      default -> condition("source.principal", principals());
    };
  }

  private String condition(String key, List<String> values) {
    return "key: " + key + ", " + field("values", values);
  }

  private void peerAuthentication(int number) {
    List<String> modes = List.of("STRICT", "STRICT", "PERMISSIVE", "DISABLE", "UNSET");
    boolean selector = random.nextBoolean();
    line("apiVersion: security.istio.io/v1\nkind: PeerAuthentication");
    // What a selector in the root namespace means differs between versions of Istio.
    line(
        "metadata: {name: m%d, namespace: %s}"
            .formatted(number, selector ? one(NAMESPACES) : place()));
    line("spec:\n  mtls: {mode: " + one(modes) + "}");
    if (selector) {
      line("  selector: {matchLabels: {app: " + one(APPS) + "}}");
      if (random.nextBoolean()) {
        line(
            "  portLevelMtls: {%s: {mode: %s}}"
                .formatted(one(List.of("80", "443", "8080")), one(modes)));
      }
    }
    end();
  }
}
