// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.Compilation.Compiled;
import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.Reserved;
import dev.weir.policy.plan.Service;
import dev.weir.policy.plan.Verdict.Decision;
import dev.weir.policy.plan.VerdictIndex;
import dev.weir.policy.source.SourceTree;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

/** What AuthorizationPolicy, PeerAuthentication and audit make of verdicts. */
class AuthorizationVerdictsTest {

  private static final String WORKLOADS =
      """
      apiVersion: weir.dev/v1alpha1
      kind: Workload
      metadata: {name: db, namespace: shop, labels: {app: db}}
      spec: {cgroup: /shop/db, serviceAccountName: db, ports: [{name: sql, port: 5432}]}
      ---
      apiVersion: weir.dev/v1alpha1
      kind: Workload
      metadata: {name: web, namespace: shop, labels: {app: web}}
      spec: {cgroup: /shop/web, serviceAccountName: web}
      ---
      apiVersion: weir.dev/v1alpha1
      kind: Workload
      metadata: {name: job, namespace: batch, labels: {app: job}}
      spec: {cgroup: /batch/job}
      ---
      """;

  private static final class World {
    final Plan plan;
    final VerdictIndex index;

    World(String yaml) {
      Compilation compilation =
          PolicyCompiler.check(SourceTree.of("policies.yaml", WORKLOADS + yaml));
      assertThat(compilation).isInstanceOf(Compiled.class);
      plan = ((Compiled) compilation).plan();
      index = new VerdictIndex(plan);
    }

    int identity(String name) {
      return plan.workloads().stream()
          .filter(w -> w.name().equals(name) && !w.kind().equals("Service"))
          .findFirst()
          .orElseThrow()
          .identity();
    }

    Decision tcp(String source, String destination, int port) {
      return ask(source, destination, Protocol.TCP, port).decision();
    }

    VerdictIndex.Answer ask(String source, String destination, Protocol protocol, int port) {
      return index.lookup(identity(source), identity(destination), protocol, port);
    }

    Decision from(String address, String destination, int port) {
      return index
          .lookup(
              index.outside(Address.parse(address).orElseThrow()),
              identity(destination),
              Protocol.TCP,
              port)
          .decision();
    }

    String rule(VerdictIndex.Answer answer) {
      return plan.rules().get(answer.rule()).describe();
    }
  }

  private static String policy(String name, String action, String spec) {
    return """
    ---
    apiVersion: security.istio.io/v1
    kind: AuthorizationPolicy
    metadata: {name: %s, namespace: shop}
    spec: {selector: {matchLabels: {app: db}}, action: %s, %s}
    """
        .formatted(name, action, spec);
  }

  @Test
  void whatNoAllowRuleMatchesIsRefusedInTheNameOfThePolicy() {
    World world =
        new World(
            policy(
                "only-web",
                "ALLOW",
                "rules: [{from: [{source: {principals: [cluster.local/ns/shop/sa/web]}}]}]"));
    assertThat(world.tcp("web", "db", 5432)).isEqualTo(Decision.ALLOW);
    VerdictIndex.Answer answer = world.ask("job", "db", Protocol.TCP, 5432);
    assertThat(answer.decision()).isEqualTo(Decision.REFUSE);
    assertThat(world.rule(answer)).startsWith("AuthorizationPolicy shop/only-web (");
  }

  @Test
  void aPolicyWithoutRulesAllowsNothing() {
    World world = new World(policy("nothing", "ALLOW", "rules: []"));
    assertThat(world.tcp("web", "db", 5432)).isEqualTo(Decision.REFUSE);
  }

  @Test
  void aDenyRuleRefusesWhatAnAllowRuleAllowsAndIsNamed() {
    World world =
        new World(
            policy("all", "ALLOW", "rules: [{}]")
                + policy("no-batch", "DENY", "rules: [{from: [{source: {namespaces: [batch]}}]}]"));
    assertThat(world.tcp("web", "db", 5432)).isEqualTo(Decision.ALLOW);
    VerdictIndex.Answer answer = world.ask("job", "db", Protocol.TCP, 5432);
    assertThat(answer.decision()).isEqualTo(Decision.REFUSE);
    assertThat(world.rule(answer)).startsWith("AuthorizationPolicy shop/no-batch rules[0]");
  }

  @Test
  void withoutAllowPoliciesOnlyWhatIsDeniedIsRefused() {
    World world =
        new World(policy("no-admin", "DENY", "rules: [{to: [{operation: {ports: ['9000']}}]}]"));
    assertThat(world.tcp("web", "db", 5432)).isEqualTo(Decision.ALLOW);
    assertThat(world.tcp("web", "db", 9000)).isEqualTo(Decision.REFUSE);
    assertThat(world.tcp("web", "job", 9000)).isEqualTo(Decision.ALLOW);
  }

  @Test
  void whoHasNoPrincipalMatchesNotPrincipals() {
    World world =
        new World(
            policy(
                "not-web",
                "DENY",
                "rules: [{from: [{source: {notPrincipals: [cluster.local/ns/shop/sa/web]}}]}]"));
    assertThat(world.tcp("web", "db", 5432)).isEqualTo(Decision.ALLOW);
    assertThat(world.tcp("job", "db", 5432)).isEqualTo(Decision.REFUSE);
    assertThat(world.from("192.0.2.1", "db", 5432)).isEqualTo(Decision.REFUSE);
  }

  @Test
  void blocksOfAddressesAreToldApart() {
    World world =
        new World(
            policy(
                "office",
                "ALLOW",
                "rules: [{from: [{source: {ipBlocks: [192.0.2.0/24], notIpBlocks:"
                    + " [192.0.2.7]}}]}]"));
    assertThat(world.from("192.0.2.6", "db", 5432)).isEqualTo(Decision.ALLOW);
    assertThat(world.from("192.0.2.7", "db", 5432)).isEqualTo(Decision.REFUSE);
    assertThat(world.from("198.51.100.1", "db", 5432)).isEqualTo(Decision.REFUSE);
    assertThat(world.tcp("web", "db", 5432)).isEqualTo(Decision.REFUSE);
  }

  @Test
  void aRuleAboutRequestsLeavesTheRestToTheProxy() {
    World world =
        new World(
            policy(
                "get",
                "ALLOW",
                "rules: [{from: [{source: {namespaces: [shop]}}],"
                    + " to: [{operation: {methods: [GET], ports: ['5432']}}]}]"));
    assertThat(world.tcp("web", "db", 5432)).isEqualTo(Decision.INSPECT);
    assertThat(world.tcp("web", "db", 80)).isEqualTo(Decision.REFUSE);
    assertThat(world.tcp("job", "db", 5432)).isEqualTo(Decision.REFUSE);
  }

  @Test
  void onUdpRulesAboutRequestsNeverAllowAndAlwaysDeny() {
    String get = "rules: [{to: [{operation: {methods: [GET]}}]}]";
    assertThat(new World(policy("get", "ALLOW", get)).ask("web", "db", Protocol.UDP, 53).decision())
        .isEqualTo(Decision.REFUSE);
    assertThat(new World(policy("get", "DENY", get)).ask("web", "db", Protocol.UDP, 53).decision())
        .isEqualTo(Decision.REFUSE);
  }

  @Test
  void aPolicyOfTheRootNamespaceIsAboutEveryNamespace() {
    World world =
        new World(
            """
            ---
            apiVersion: security.istio.io/v1
            kind: AuthorizationPolicy
            metadata: {name: mesh-wide, namespace: istio-system}
            spec: {action: DENY, rules: [{from: [{source: {serviceAccounts: [batch/default]}}]}]}
            """);
    assertThat(world.tcp("job", "db", 5432)).isEqualTo(Decision.REFUSE);
    assertThat(world.tcp("job", "web", 80)).isEqualTo(Decision.REFUSE);
    assertThat(world.tcp("web", "db", 5432)).isEqualTo(Decision.ALLOW);
  }

  @Test
  void aPolicyForAServiceIsAboutThePortsThatItLeadsTo() {
    World world =
        new World(
            """
            ---
            apiVersion: v1
            kind: Service
            metadata: {name: sql, namespace: shop}
            spec: {clusterIP: 10.96.0.9, selector: {app: db}, ports: [{port: 80, targetPort: sql}]}
            ---
            apiVersion: security.istio.io/v1
            kind: AuthorizationPolicy
            metadata: {name: nobody, namespace: shop}
            spec: {targetRefs: [{group: '', kind: Service, name: sql}], rules: []}
            """);
    assertThat(world.tcp("web", "db", 5432)).isEqualTo(Decision.REFUSE);
    assertThat(world.tcp("web", "db", 80)).isEqualTo(Decision.ALLOW);
  }

  @Test
  void networkPolicyAndAuthorizationPolicyMustBothAllow() {
    World world =
        new World(
            policy("shop", "ALLOW", "rules: [{from: [{source: {namespaces: [shop]}}]}]")
                + """
                ---
                apiVersion: networking.k8s.io/v1
                kind: NetworkPolicy
                metadata: {name: db, namespace: shop}
                spec: {podSelector: {matchLabels: {app: db}}, ingress: [{ports: [{port: sql}]}]}
                """);
    assertThat(world.tcp("web", "db", 5432)).isEqualTo(Decision.ALLOW);
    assertThat(world.tcp("web", "db", 80)).isEqualTo(Decision.REFUSE);
    assertThat(world.tcp("job", "db", 5432)).isEqualTo(Decision.REFUSE);
  }

  @Test
  void theNodesOwnProcessesPassUnlessTheyAreGoverned() {
    String nothing = policy("nothing", "ALLOW", "rules: []");
    String governed =
        """
        ---
        apiVersion: weir.dev/v1alpha1
        kind: Mesh
        metadata: {name: node}
        spec: {host: {governed: true, management: [{direction: Egress, port: 22}]}}
        """;
    assertThat(new World(nothing).tcp("host", "db", 5432)).isEqualTo(Decision.ALLOW);
    assertThat(new World(nothing + governed).tcp("host", "db", 5432)).isEqualTo(Decision.REFUSE);
    assertThat(new World(nothing + governed).tcp("host", "db", 22)).isEqualTo(Decision.ALLOW);
  }

  @Test
  void aPolicyInAuditRefusesNothingAndIsNamed() {
    World world =
        new World(
            policy("nothing", "ALLOW", "rules: []")
                .replace("shop}\n", "shop, annotations: {weir.dev/audit: 'true'}}\n"));
    VerdictIndex.Answer answer = world.ask("web", "db", Protocol.TCP, 5432);
    assertThat(answer.decision()).isEqualTo(Decision.AUDIT);
    assertThat(world.rule(answer)).startsWith("AuthorizationPolicy shop/nothing");
  }

  @Test
  void aNetworkPolicyInAuditRefusesNothingBesideAnEnforcedOneThatDoes() {
    String audited =
        """
        ---
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata: {name: trial, namespace: shop, annotations: {weir.dev/audit: 'true'}}
        spec: {podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {}}]}]}
        """;
    World alone = new World(audited);
    assertThat(alone.tcp("web", "db", 5432)).isEqualTo(Decision.ALLOW);
    assertThat(alone.tcp("job", "db", 5432)).isEqualTo(Decision.AUDIT);
    World beside =
        new World(
            audited + policy("job", "DENY", "rules: [{from: [{source: {namespaces: [batch]}}]}]"));
    assertThat(beside.tcp("web", "db", 5432)).isEqualTo(Decision.ALLOW);
    assertThat(beside.tcp("job", "db", 5432)).isEqualTo(Decision.REFUSE);
    assertThat(beside.from("192.0.2.1", "db", 5432)).isEqualTo(Decision.AUDIT);
  }

  private static final String STRICT =
      """
      ---
      apiVersion: security.istio.io/v1
      kind: PeerAuthentication
      metadata: {name: db, namespace: shop}
      spec:
        selector: {matchLabels: {app: db}}
        mtls: {mode: STRICT}
        portLevelMtls: {'8080': {mode: PERMISSIVE}}
      """;

  @Test
  void strictRefusesPlainTextFromOutsideAndNobodyOnThisNode() {
    World world = new World(STRICT);
    assertThat(world.from("192.0.2.1", "db", 5432)).isEqualTo(Decision.REFUSE);
    assertThat(world.from("192.0.2.1", "db", 8080)).isEqualTo(Decision.ALLOW);
    assertThat(world.from("192.0.2.1", "web", 5432)).isEqualTo(Decision.ALLOW);
    assertThat(world.tcp("job", "db", 5432)).isEqualTo(Decision.ALLOW);
    assertThat(world.tcp("unknown", "db", 5432)).isEqualTo(Decision.ALLOW);
    assertThat(
            world
                .index
                .lookup(Reserved.OUTSIDE.index(), world.identity("db"), Protocol.UDP, 5432)
                .decision())
        .isEqualTo(Decision.ALLOW);
  }

  @Test
  void strictDoesNotRefuseTheClientsOfOurGateways() {
    World world = new World(STRICT);
    assertThat(
            world
                .index
                .lookupFromHere(Reserved.OUTSIDE.index(), world.identity("db"), Protocol.TCP, 5432)
                .decision())
        .isEqualTo(Decision.ALLOW);
  }

  @Test
  void strictNeedsNoRows() {
    assertThat(new World(STRICT).plan.verdicts()).isEmpty();
  }

  private static final String ELSEWHERE =
      """
      ---
      apiVersion: weir.dev/v1alpha1
      kind: Mesh
      metadata: {name: node}
      spec: {trustPodAddresses: true}
      ---
      apiVersion: weir.dev/v1alpha1
      kind: Workload
      metadata: {name: far, namespace: shop, labels: {app: far}}
      spec: {address: 10.244.1.7, serviceAccountName: web}
      """;

  @Test
  void aBelievedAddressIsItsWorkloadForNetworkPolicyAndHasNoPrincipal() {
    String network =
        """
        ---
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata: {name: db, namespace: shop}
        spec: {podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {}}]}]}
        """;
    World world = new World(ELSEWHERE + network);
    assertThat(world.from("10.244.1.7", "db", 5432)).isEqualTo(Decision.ALLOW);
    assertThat(world.from("10.244.1.8", "db", 5432)).isEqualTo(Decision.REFUSE);
    World guarded =
        new World(
            ELSEWHERE
                + network
                + policy(
                    "web", "ALLOW", "rules: [{from: [{source: {principals: ['*/sa/web']}}]}]"));
    assertThat(guarded.tcp("far", "db", 5432)).isEqualTo(Decision.ALLOW);
    assertThat(guarded.from("10.244.1.7", "db", 5432)).isEqualTo(Decision.REFUSE);
    assertThat(new World(ELSEWHERE + network + STRICT).from("10.244.1.7", "db", 5432))
        .isEqualTo(Decision.REFUSE);
  }

  @Test
  void aPolicyThatNobodyCanMatchTakesNoRows() {
    World world =
        new World(policy("evil", "DENY", "rules: [{from: [{source: {namespaces: [evil]}}]}]"));
    assertThat(world.plan.verdicts()).isEmpty();
  }

  @Test
  void rowsGrowWithTheExceptionsAndNotWithEverybody() {
    StringBuilder many = new StringBuilder();
    IntStream.range(0, 200)
        .forEach(
            i ->
                many.append(
                    """
                    ---
                    apiVersion: weir.dev/v1alpha1
                    kind: Workload
                    metadata: {name: w%1$d, namespace: many, labels: {app: w%1$d}}
                    spec: {cgroup: /many/w%1$d}
                    ---
                    apiVersion: networking.k8s.io/v1
                    kind: NetworkPolicy
                    metadata: {name: w%1$d, namespace: many}
                    spec: {podSelector: {matchLabels: {app: w%1$d}}, ingress: [{ports: [{port: 80}]}]}
                    """
                        .formatted(i)));
    World world =
        new World(
            many
                + """
                ---
                apiVersion: security.istio.io/v1
                kind: AuthorizationPolicy
                metadata: {name: no-batch, namespace: many}
                spec: {action: DENY, rules: [{from: [{source: {namespaces: [batch]}}]}]}
                """);
    assertThat(world.plan.verdicts()).hasSize(400);
  }

  private static final String SERVICE =
      """
      ---
      apiVersion: v1
      kind: Service
      metadata: {name: db, namespace: shop}
      spec:
        clusterIP: 10.96.0.9
        selector: {app: db}
        ports: [{name: sql, port: 5432}, {name: other, port: 80}, {name: u, port: 5432, protocol: UDP}]
      """;

  @Test
  void aServiceThatLeadsToRulesAboutRequestsIsTheProxys() {
    World world =
        new World(
            SERVICE
                + policy(
                    "get",
                    "ALLOW",
                    "rules: [{to: [{operation: {methods: [GET], ports: ['5432']}},"
                        + " {operation: {ports: ['80']}}]}]"));
    assertThat(world.plan.services())
        .extracting(s -> s.protocol() + " " + s.port() + " " + s.tier())
        .containsExactlyInAnyOrder("TCP 5432 PROXY", "TCP 80 KERNEL", "UDP 5432 KERNEL");
    Service service =
        world.plan.services().stream().filter(s -> s.identity() != 0).findFirst().orElseThrow();
    assertThat(
            world
                .index
                .lookup(world.identity("web"), service.identity(), Protocol.TCP, 5432)
                .decision())
        .isEqualTo(Decision.INSPECT);
    assertThat(
            world
                .index
                .lookup(Reserved.PROXY.index(), world.identity("db"), Protocol.TCP, 5432)
                .decision())
        .isEqualTo(Decision.ALLOW);
    assertThat(world.plan.proxy().virtualServices()).hasSize(1);
  }

  @Test
  void aPolicyInAuditLeadsNoServiceToTheProxy() {
    World world =
        new World(
            SERVICE
                + policy("get", "ALLOW", "rules: [{to: [{operation: {methods: [GET]}}]}]")
                    .replace("shop}\n", "shop, annotations: {weir.dev/audit: 'true'}}\n"));
    assertThat(world.plan.services()).allMatch(s -> s.tier() == Service.Tier.KERNEL);
  }
}
