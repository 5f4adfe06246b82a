// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.Backend;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.PlanCodec;
import dev.weir.policy.plan.PortClass;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.ProxyPlan;
import dev.weir.policy.plan.Reserved;
import dev.weir.policy.plan.Service;
import dev.weir.policy.plan.Verdict.Decision;
import dev.weir.policy.plan.VerdictIndex;
import dev.weir.policy.plan.Workload;
import dev.weir.policy.source.SourceFile;
import dev.weir.policy.source.SourceTree;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import org.junit.jupiter.api.Test;

class PolicyCompilerTest {

  private static final Path EXAMPLE = Path.of("..", "examples", "edge-node", "policy");

  private static final String SECRET =
      """
      apiVersion: v1
      kind: Secret
      metadata: {name: shop-tls, namespace: shop}
      type: kubernetes.io/tls
      stringData:
        tls.crt: |
          -----BEGIN CERTIFICATE-----
          -----END CERTIFICATE-----
        tls.key: |
          -----BEGIN PRIVATE KEY-----
          -----END PRIVATE KEY-----
      """;

  private static Compilation.Compiled compiled(SourceTree tree) {
    Compilation compilation = PolicyCompiler.compile(tree);
    assertThat(compilation).isInstanceOf(Compilation.Compiled.class);
    return (Compilation.Compiled) compilation;
  }

  private static Plan plan(String yaml) {
    return compiled(SourceTree.of("f.yaml", yaml)).plan();
  }

  private static Compilation.Compiled example() {
    List<SourceFile> files = new ArrayList<>(SourceTree.read(EXAMPLE).files());
    files.add(new SourceFile("secret.yaml", SECRET.getBytes(StandardCharsets.UTF_8)));
    return compiled(new SourceTree(files, List.of()));
  }

  private static int identity(Plan plan, String key) {
    return plan.workloads().stream()
        .filter(w -> w.key().equals(key))
        .findFirst()
        .orElseThrow()
        .identity();
  }

  private static Decision decision(Plan plan, String from, String to, int port) {
    return new VerdictIndex(plan)
        .lookup(identity(plan, from), identity(plan, to), Protocol.TCP, port)
        .decision();
  }

  @Test
  void theExampleWithoutItsSecretHasExactlyThatOneError() {
    Compilation compilation = PolicyCompiler.compileDirectory(EXAMPLE);
    assertThat(compilation).isInstanceOf(Compilation.Refused.class);
    assertThat(((Compilation.Refused) compilation).errors())
        .singleElement()
        .asString()
        .contains("gateway.yaml:18:13", "Secret shop/shop-tls", "kubectl create secret tls");
    assertThat(compilation.warnings()).isEmpty();
  }

  @Test
  void theExampleTellsItsStory() {
    Plan plan = example().plan();
    assertThat(decision(plan, "Workload/shop/web", "Service/shop/cart", 80))
        .isEqualTo(Decision.INSPECT);
    assertThat(decision(plan, "Workload/shop/sensor-gw", "Service/shop/cart", 80))
        .isEqualTo(Decision.INSPECT);
    assertThat(decision(plan, "Workload/shop/stranger", "Service/shop/cart", 80))
        .isEqualTo(Decision.REFUSE);
    assertThat(decision(plan, "Workload/shop/cart-v2", "Workload/shop/db", 5433))
        .isEqualTo(Decision.ALLOW);
    assertThat(decision(plan, "Workload/shop/web", "Workload/shop/db", 5433))
        .isEqualTo(Decision.REFUSE);
    assertThat(decision(plan, "Workload/shop/stranger", "Workload/shop/web", 8080))
        .isEqualTo(Decision.REFUSE);
  }

  @Test
  void keysTravelBesideThePlanAndNotInIt() {
    Compilation.Compiled compiled = example();
    assertThat(compiled.keyPairs()).singleElement().hasToString("TlsKeyPair[shop/shop-tls]");
    assertThat(new String(PlanCodec.encode(compiled.plan()), StandardCharsets.ISO_8859_1))
        .doesNotContain("PRIVATE KEY");
  }

  @Test
  void aRouteIsCutToItsListenersHostnameAndKeepsItsWeights() {
    ProxyPlan.Listener listener = example().plan().proxy().listeners().getFirst();
    assertThat(listener.routes().getFirst().hostnames()).containsExactly("shop.example");
    assertThat(listener.routes().getFirst().rules().getLast().backends())
        .extracting(ProxyPlan.WeightedBackend::weight)
        .containsExactly(99, 1);
  }

  @Test
  void thePlanForTheProxyKeepsItsIndexesAndLosesWhatOnlyTheKernelNeeds() {
    Plan plan = example().plan();
    Plan cut = PlanCodec.forProxy(plan);
    assertThat(cut.workloads().stream().map(Workload::key).toList())
        .isEqualTo(plan.workloads().stream().map(Workload::key).toList());
    assertThat(cut.workloads()).allMatch(w -> w.cgroups().isEmpty());
    assertThat(cut.backends()).isEqualTo(plan.backends());
    assertThat(cut.services()).allMatch(s -> s.tier() == Service.Tier.PROXY).hasSize(2);
    assertThat(cut.ports()).isEmpty();
    assertThat(decision(cut, "Workload/shop/web", "Workload/shop/cart-v1", 8081))
        .isEqualTo(Decision.ALLOW);
    assertThat(decision(cut, "Workload/shop/stranger", "Workload/shop/cart-v1", 8081))
        .isEqualTo(Decision.REFUSE);
    assertThat(cut.verdicts())
        .noneMatch(v -> v.destination() == identity(plan, "Workload/shop/db"));
  }

  @Property(tries = 20)
  void theOrderOfFilesMakesNoDifference(@ForAll long seed) {
    List<SourceFile> files = new ArrayList<>(SourceTree.read(EXAMPLE).files());
    files.add(new SourceFile("secret.yaml", SECRET.getBytes(StandardCharsets.UTF_8)));
    Collections.shuffle(files, new Random(seed));
    assertThat(PlanCodec.encode(compiled(new SourceTree(files, List.of())).plan()))
        .isEqualTo(PlanCodec.encode(example().plan()));
  }

  @Property(tries = 50)
  void compilingTwiceGivesTheSameBytes(@ForAll long seed) {
    String yaml = RandomClusters.yaml(seed);
    assertThat(PlanCodec.encode(plan(yaml))).isEqualTo(PlanCodec.encode(plan(yaml)));
  }

  @Property(tries = 50)
  void theOrderOfDocumentsChangesNothingButLines(@ForAll long seed) {
    List<String> documents = new ArrayList<>(List.of(RandomClusters.yaml(seed).split("---\n")));
    Plan before = plan(String.join("---\n", documents));
    Collections.shuffle(documents, new Random(seed));
    Plan after = plan(String.join("---\n", documents));
    assertThat(after.verdicts()).isEqualTo(before.verdicts());
    assertThat(after.identities()).isEqualTo(before.identities());
    assertThat(after.workloads()).isEqualTo(before.workloads());
    assertThat(after.services()).isEqualTo(before.services());
  }

  @Test
  void unitsLiveWhereSystemdPutsThem() {
    Plan plan =
        plan(
            """
            apiVersion: v1
            kind: List
            items:
              - {apiVersion: weir.dev/v1alpha1, kind: Workload, metadata: {name: a},
                 spec: {systemdUnit: nginx.service}}
              - {apiVersion: weir.dev/v1alpha1, kind: Workload, metadata: {name: b},
                 spec: {systemdUnit: my-app@1.service}}
              - {apiVersion: weir.dev/v1alpha1, kind: Workload, metadata: {name: c},
                 spec: {systemdUnit: x.service, slice: edge-apps.slice}}
              - {apiVersion: weir.dev/v1alpha1, kind: Workload, metadata: {name: d},
                 spec: {systemdUnit: y.service, slice: edge.slice,
                        systemdSockets: [y.socket, my-app@2.socket]}}
              - {apiVersion: weir.dev/v1alpha1, kind: Workload, metadata: {name: e},
                 spec: {cgroup: /z, systemdSockets: [z.socket], socketSlice: edge-in.slice}}
            """);
    assertThat(plan.workloads().stream().filter(w -> w.kind().equals("Workload")))
        .extracting(Workload::cgroups)
        .containsExactly(
            List.of("/system.slice/nginx.service"),
            List.of("/system.slice/system-my\\x2dapp.slice/my-app@1.service"),
            List.of("/edge.slice/edge-apps.slice/x.service"),
            List.of(
                "/edge.slice/y.service",
                "/system.slice/y.socket",
                "/system.slice/system-my\\x2dapp.slice/my-app@2.socket"),
            List.of("/z", "/edge.slice/edge-in.slice/z.socket"));
  }

  @Test
  void aServiceLeadsToItsWorkloadsInTheFamilyOfItsAddress() {
    Plan plan =
        plan(
            """
            {apiVersion: weir.dev/v1alpha1, kind: Workload, metadata: {name: a, labels: {app: x}},
             spec: {cgroup: /a, ports: [{name: http, port: 8080}]}}
            ---
            {apiVersion: weir.dev/v1alpha1, kind: Workload, metadata: {name: b, labels: {app: x}},
             spec: {cgroup: /b, address: 10.0.0.9, ports: [{name: http, port: 80}]}}
            ---
            {apiVersion: v1, kind: Service, metadata: {name: s},
             spec: {clusterIPs: [10.96.0.1, "fd00::1"], selector: {app: x},
                    ports: [{port: 80, targetPort: http}]}}
            """);
    assertThat(plan.services())
        .extracting(
            s ->
                s.slots().stream()
                    .map(i -> plan.backends().get(i))
                    .map((Backend b) -> b.address() + " " + b.port())
                    .toList())
        .containsExactly(List.of("10.0.0.9 80", "127.0.0.1 8080"), List.of("::1 8080"));
  }

  @Test
  void rangesBecomeClassesThatSinglePortsAreCutOutOf() {
    Plan plan =
        plan(
            """
            {apiVersion: weir.dev/v1alpha1, kind: Workload, metadata: {name: a}, spec: {cgroup: /a}}
            ---
            {apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: p},
             spec: {podSelector: {}, ingress: [
               {ports: [{port: 100, endPort: 200}]},
               {ports: [{port: 150, endPort: 300}, {port: 160}, {port: 7}]}]}}
            """);
    assertThat(plan.portClasses())
        .containsExactly(
            new PortClass(100, 149),
            new PortClass(150, 159),
            new PortClass(161, 200),
            new PortClass(201, 300));
    VerdictIndex index = new VerdictIndex(plan);
    int id = identity(plan, "Workload/default/a");
    for (int port = 0; port < 400; port++) {
      boolean allowed = port == 7 || port >= 100 && port <= 300;
      assertThat(index.lookup(Reserved.OUTSIDE.index(), id, Protocol.TCP, port).made())
          .as("port %d", port)
          .isEqualTo(allowed);
    }
  }

  @Test
  void withoutPolicyTypesOnlyEgressRulesIsolateForEgress() {
    String policy =
        """
        {apiVersion: weir.dev/v1alpha1, kind: Workload, metadata: {name: a}, spec: {cgroup: /a}}
        ---
        {apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: p},
         spec: {podSelector: {}, EGRESS}}
        """;
    int outside = Reserved.OUTSIDE.index();
    for (boolean rules : List.of(false, true)) {
      Plan plan =
          plan(policy.replace("EGRESS", rules ? "egress: [{ports: [{port: 1}]}]" : "egress: []"));
      VerdictIndex index = new VerdictIndex(plan);
      int a = identity(plan, "Workload/default/a");
      assertThat(index.lookup(outside, a, Protocol.TCP, 80).made()).isFalse();
      assertThat(index.lookup(a, outside, Protocol.TCP, 80).made()).isEqualTo(!rules);
    }
  }

  @Test
  void whoIsOpenToEverybodyTakesNoRows() {
    Plan plan =
        plan(
            """
            {apiVersion: weir.dev/v1alpha1, kind: Workload, metadata: {name: a}, spec: {cgroup: /a}}
            ---
            {apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: p},
             spec: {podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{}], egress: [{}]}}
            """);
    assertThat(plan.verdicts()).isEmpty();
    assertThat(plan.identities())
        .noneMatch(i -> i.ingressIsolated() && i.description().contains("a"));
  }

  @Test
  void aGovernedHostMayDoWhatManagementSaysAndNoMore() {
    Plan plan =
        plan(
            """
            apiVersion: weir.dev/v1alpha1
            kind: Mesh
            metadata: {name: m}
            spec:
              defaultDeny: true
              host:
                governed: true
                management:
                  - {direction: Ingress, protocol: TCP, port: 22}
                  - {direction: Egress, protocol: TCP, port: 443}
            ---
            {apiVersion: weir.dev/v1alpha1, kind: Workload, metadata: {name: a}, spec: {cgroup: /a}}
            """);
    VerdictIndex index = new VerdictIndex(plan);
    int host = Reserved.HOST.index();
    int outside = Reserved.OUTSIDE.index();
    int a = identity(plan, "Workload/default/a");
    assertThat(index.lookup(outside, host, Protocol.TCP, 22).made()).isTrue();
    assertThat(index.lookup(outside, host, Protocol.TCP, 23).made()).isFalse();
    assertThat(index.lookup(host, outside, Protocol.TCP, 443).made()).isTrue();
    assertThat(index.lookup(host, a, Protocol.TCP, 443).made()).isTrue();
    assertThat(index.lookup(host, a, Protocol.TCP, 444).made()).isFalse();
  }

  @Test
  void auditRefusesNothingAndSaysWhatItWould() {
    Plan plan =
        plan(
            """
            {apiVersion: weir.dev/v1alpha1, kind: Mesh, metadata: {name: m},
             spec: {audit: true, defaultDeny: true}}
            ---
            {apiVersion: weir.dev/v1alpha1, kind: Workload, metadata: {name: a}, spec: {cgroup: /a}}
            """);
    assertThat(decision(plan, "Workload/default/a", "Workload/default/a", 1))
        .isEqualTo(Decision.AUDIT);
  }

  @Test
  void anInvalidBackendKeepsItsShareAndIsSaidSo() {
    Compilation.Compiled compiled =
        compiled(
            SourceTree.of(
                "f.yaml",
                """
                {apiVersion: weir.dev/v1alpha1, kind: Workload, metadata: {name: a, labels: {app: x}},
                 spec: {cgroup: /a}}
                ---
                {apiVersion: v1, kind: Service, metadata: {name: s},
                 spec: {clusterIP: 10.96.0.1, selector: {app: x}, ports: [{port: 80}]}}
                ---
                {apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: r},
                 spec: {parentRefs: [{group: "", kind: Service, name: s}],
                        rules: [{backendRefs: [{name: s, port: 80}, {name: gone, port: 80}]}]}}
                """));
    assertThat(compiled.plan().proxy().virtualServices().getFirst().routes().getFirst().rules())
        .singleElement()
        .extracting(r -> r.backends().stream().map(ProxyPlan.WeightedBackend::cluster).toList())
        .isEqualTo(List.of(0, -1));
    assertThat(compiled.warnings()).singleElement().asString().contains("answered 500");
  }
}
