// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Hbone;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.PlanCodec;
import dev.weir.policy.plan.PortOwner;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.ProxyPlan.VirtualService;
import dev.weir.policy.plan.Reserved;
import dev.weir.policy.plan.Service;
import dev.weir.policy.plan.Verdict.Decision;
import dev.weir.policy.plan.VerdictIndex;
import dev.weir.policy.source.SourceTree;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Workloads of peers are reached by tunnels, and by nothing else. */
class TunnelPolicyTest {

  private static final String FILES =
      """
      apiVersion: weir.dev/v1alpha1
      kind: Mesh
      metadata: {name: east}
      spec:
        hbone:
          serviceAccount: weir/east
          peers:
          - {name: west, address: 192.0.2.7, workloads: [10.42.2.0/24]}
          - {name: north, address: 192.0.2.8, port: 15009, serviceAccount: weir/north}
      ---
      apiVersion: weir.dev/v1alpha1
      kind: Workload
      metadata: {name: web, namespace: shop, labels: {app: web}}
      spec: {cgroup: /shop/web, serviceAccountName: web, ports: [{port: 9000}]}
      ---
      apiVersion: weir.dev/v1alpha1
      kind: Workload
      metadata: {name: other, namespace: shop, labels: {app: other}}
      spec: {cgroup: /shop/other}
      ---
      apiVersion: weir.dev/v1alpha1
      kind: Workload
      metadata: {name: cart, namespace: shop, labels: {app: cart}}
      spec: {address: 10.42.2.9, serviceAccountName: cart, ports: [{port: 8080}]}
      ---
      apiVersion: weir.dev/v1alpha1
      kind: Workload
      metadata: {name: stock, namespace: shop, labels: {app: stock}}
      spec: {address: 192.0.2.8, ports: [{port: 8080}]}
      ---
      apiVersion: weir.dev/v1alpha1
      kind: Workload
      metadata: {name: nowhere, namespace: shop, labels: {app: nowhere}}
      spec: {address: 10.99.0.1, ports: [{port: 8080}]}
      ---
      apiVersion: v1
      kind: Service
      metadata: {name: cart, namespace: shop}
      spec: {clusterIP: 10.96.0.9, selector: {app: cart}, ports: [{port: 80, targetPort: 8080}]}
      ---
      """;

  private static final String ONLY_WEB =
      """
      apiVersion: networking.k8s.io/v1
      kind: NetworkPolicy
      metadata: {name: cart, namespace: shop}
      spec:
        podSelector: {matchLabels: {app: cart}}
        ingress:
        - from: [{podSelector: {matchLabels: {app: web}}}]
          ports: [{port: 8080}]
      """;

  private static Plan plan(String yaml) {
    Compilation compilation = PolicyCompiler.compile(SourceTree.of("f", yaml));
    assertThat(compilation).isInstanceOf(Compilation.Compiled.class);
    return ((Compilation.Compiled) compilation).plan();
  }

  private static int identity(Plan plan, String kind, String name) {
    return plan.workloads().stream()
        .filter(w -> w.name().equals(name) && w.kind().equals(kind))
        .findFirst()
        .orElseThrow()
        .identity();
  }

  private static Decision decision(Plan plan, String from, String to, Protocol protocol, int port) {
    return new VerdictIndex(plan)
        .lookup(identity(plan, "Workload", from), identity(plan, "Workload", to), protocol, port)
        .decision();
  }

  @Test
  void peersAndTheirWorkloadsAreInThePlan() throws Exception {
    Plan plan = plan(FILES);
    Hbone hbone = plan.proxy().hbone().orElseThrow();
    assertThat(hbone.port()).isEqualTo(15008);
    assertThat(hbone.account()).isEqualTo("weir/east");
    assertThat(hbone.peers())
        .containsExactly(
            new Hbone.Peer("west", Address.parse("192.0.2.7").orElseThrow(), 15008, ""),
            new Hbone.Peer("north", Address.parse("192.0.2.8").orElseThrow(), 15009, "weir/north"));
    assertThat(hbone.through())
        .extracting(t -> plan.workloads().get(t.workload()).name() + " " + t.peer())
        .containsExactly("cart 0", "stock 1");
    assertThat(plan.ports()).contains(new PortOwner(Protocol.TCP, 15008, Reserved.PROXY.index()));
    assertThat(PlanCodec.decode(PlanCodec.encode(plan))).isEqualTo(plan);
  }

  @Test
  void theirServicesLeadToTheProxyAndWhatTheyListenOnIsABackend() {
    Plan plan = plan(FILES);
    assertThat(plan.services())
        .singleElement()
        .matches(service -> service.tier() == Service.Tier.PROXY);
    assertThat(plan.proxy().virtualServices())
        .singleElement()
        .matches(service -> service.l4Routes().size() == 1 && service.routes().isEmpty());
    assertThat(plan.backends())
        .extracting(b -> b.address() + ":" + b.port())
        .contains("10.42.2.9:8080", "192.0.2.8:8080")
        .doesNotContain("10.99.0.1:8080");
  }

  @Test
  void overTcpTheyAreReachedAsFarAsTheProxyAlone() {
    Plan plan = plan(FILES);
    assertThat(decision(plan, "web", "cart", Protocol.TCP, 8080)).isEqualTo(Decision.INSPECT);
    assertThat(decision(plan, "web", "cart", Protocol.TCP, 1)).isEqualTo(Decision.INSPECT);
    assertThat(decision(plan, "web", "stock", Protocol.TCP, 8080)).isEqualTo(Decision.INSPECT);
    assertThat(decision(plan, "web", "cart", Protocol.UDP, 53)).isEqualTo(Decision.ALLOW);
    assertThat(decision(plan, "web", "other", Protocol.TCP, 80)).isEqualTo(Decision.ALLOW);
    assertThat(decision(plan, "web", "nowhere", Protocol.TCP, 80)).isEqualTo(Decision.ALLOW);
  }

  @Test
  void whoMayNotReachThemIsRefusedHere() {
    Plan plan = plan(FILES + ONLY_WEB);
    assertThat(decision(plan, "web", "cart", Protocol.TCP, 8080)).isEqualTo(Decision.INSPECT);
    assertThat(decision(plan, "web", "cart", Protocol.TCP, 8081)).isEqualTo(Decision.REFUSE);
    assertThat(decision(plan, "other", "cart", Protocol.TCP, 8080)).isEqualTo(Decision.REFUSE);
    assertThat(decision(plan, "web", "cart", Protocol.UDP, 8080)).isEqualTo(Decision.REFUSE);
  }

  @Test
  void theProxyMayDialThePeersAndWhoeverListensHere() {
    Plan plan = plan(FILES);
    VerdictIndex verdicts = new VerdictIndex(plan);
    int proxy = Reserved.PROXY.index();
    assertThat(
            verdicts
                .lookup(
                    proxy,
                    verdicts.outside(Address.parse("192.0.2.7").orElseThrow()),
                    Protocol.TCP,
                    15008)
                .decision())
        .isEqualTo(Decision.ALLOW);
    // The node is at the address of one of its workloads.
    assertThat(
            verdicts
                .lookup(proxy, identity(plan, "Workload", "stock"), Protocol.TCP, 15009)
                .decision())
        .isEqualTo(Decision.ALLOW);
    assertThat(
            verdicts
                .lookup(proxy, identity(plan, "Workload", "web"), Protocol.TCP, 9000)
                .decision())
        .isEqualTo(Decision.ALLOW);
    assertThat(
            verdicts
                .lookup(proxy, identity(plan, "Workload", "web"), Protocol.TCP, 9001)
                .decision())
        .isEqualTo(Decision.REFUSE);
    assertThat(verdicts.lookup(Reserved.OUTSIDE.index(), proxy, Protocol.TCP, 15008).decision())
        .isEqualTo(Decision.ALLOW);
  }

  @Test
  void theProxyMayNotDialWhatTunnelsLeadTo() {
    Plan plan = plan(FILES);
    VerdictIndex verdicts = new VerdictIndex(plan);
    for (String there : List.of("cart", "stock")) {
      for (int port : new int[] {8080, 15008, 1}) {
        assertThat(
                verdicts
                    .lookup(
                        Reserved.PROXY.index(),
                        identity(plan, "Workload", there),
                        Protocol.TCP,
                        port)
                    .decision())
            .as("%s:%d", there, port)
            .isEqualTo(Decision.REFUSE);
      }
    }
  }

  @Test
  void theProxysPartHasWhatTunnelsAreJudgedBy() {
    Plan plan = PlanCodec.forProxy(plan(FILES + ONLY_WEB));
    assertThat(plan.ports()).extracting(PortOwner::port).containsExactly(9000);
    assertThat(plan.endpoints()).hasSize(2);
    assertThat(decision(plan, "web", "cart", Protocol.TCP, 8080)).isEqualTo(Decision.INSPECT);
    assertThat(decision(plan, "other", "cart", Protocol.TCP, 8080)).isEqualTo(Decision.REFUSE);
  }

  @Test
  void withoutItNothingIsLedAnywhere() {
    Plan plan = plan(FILES.replaceFirst("(?s)spec:.*?---", "spec: {}\n---"));
    assertThat(plan.proxy().hbone()).isEmpty();
    assertThat(plan.proxy().virtualServices()).isEqualTo(List.<VirtualService>of());
    assertThat(plan.endpoints()).isEmpty();
    assertThat(plan.verdicts()).isEmpty();
  }

  @Test
  void anUpdateOfPoliciesGivesTheSameAsCompilingEverything() {
    IncrementalCompiler compiler = new IncrementalCompiler();
    for (String files : List.of(FILES, FILES + ONLY_WEB, FILES)) {
      assertThat(((Compilation.Compiled) compiler.compile(SourceTree.of("f", files))).plan())
          .isEqualTo(plan(files));
    }
  }

  @Test
  void whoMovesBehindAPeerIsReachedByTunnel() {
    String mute =
        FILES
            .substring(0, FILES.indexOf("apiVersion: v1\n"))
            .replace(", ports: [{port: 8080}]", "");
    String swapped =
        mute.replace("{address: 10.42.2.9,", "{address: MOVED,")
            .replace("{address: 10.99.0.1}", "{address: 10.42.2.9}")
            .replace("{address: MOVED,", "{address: 10.99.0.1,");
    IncrementalCompiler compiler = new IncrementalCompiler();
    for (String files : List.of(mute, swapped, mute + ONLY_WEB, swapped + ONLY_WEB)) {
      assertThat(((Compilation.Compiled) compiler.compile(SourceTree.of("f", files))).plan())
          .isEqualTo(plan(files));
    }
  }
}
