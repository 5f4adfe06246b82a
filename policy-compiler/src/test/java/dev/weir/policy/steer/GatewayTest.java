// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.steer;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.Compilation;
import dev.weir.policy.PolicyCompiler;
import dev.weir.policy.plan.ProxyPlan;
import dev.weir.policy.source.SourceTree;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Which routes attach to which listeners, and to whose services they may lead. */
class GatewayTest {

  private static final String FILES =
      """
      {apiVersion: v1, kind: Namespace, metadata: {name: apps, labels: {edge: "yes"}}}
      ---
      {apiVersion: gateway.networking.k8s.io/v1, kind: Gateway,
       metadata: {name: g, namespace: infra},
       spec: {gatewayClassName: CLASS, listeners: [
         {name: http, port: 80, protocol: HTTP, allowedRoutes: {namespaces: ALLOWED}}]}}
      ---
      {apiVersion: weir.dev/v1alpha1, kind: Workload,
       metadata: {name: w, namespace: data, labels: {app: x}}, spec: {cgroup: /w}}
      ---
      {apiVersion: v1, kind: Service, metadata: {name: s, namespace: data},
       spec: {clusterIP: 10.96.0.1, selector: {app: x}, ports: [{port: 80}]}}
      ---
      {apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute,
       metadata: {name: r, namespace: apps},
       spec: {parentRefs: [{name: g, namespace: infra}],
              rules: [{backendRefs: [{name: s, namespace: data, port: 80}]}]}}
      ---
      {apiVersion: gateway.networking.k8s.io/v1, kind: ReferenceGrant,
       metadata: {name: grant, namespace: data},
       spec: {from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: FROM}],
              to: [{group: "", kind: Service, name: TO}]}}
      """;

  private static ProxyPlan proxy(String allowed, String from, String to, String gatewayClass) {
    Compilation compilation =
        PolicyCompiler.compile(
            SourceTree.of(
                "f.yaml",
                FILES
                    .replace("ALLOWED", allowed)
                    .replace("FROM", from)
                    .replace("TO", to)
                    .replace("CLASS", gatewayClass)));
    assertThat(compilation).isInstanceOf(Compilation.Compiled.class);
    return ((Compilation.Compiled) compilation).plan().proxy();
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      textBlock =
          """
          {from: Same}                                             | 0
          {from: All}                                              | 1
          {from: Selector, selector: {matchLabels: {edge: "yes"}}} | 1
          {from: Selector, selector: {matchLabels: {edge: "no"}}}  | 0
          """)
  void aListenerSaysWhoseRoutesMayAttach(String allowed, int routes) {
    assertThat(proxy(allowed, "apps", "s", "weir").listeners().getFirst().routes()).hasSize(routes);
  }

  @ParameterizedTest
  @CsvSource({"apps, s, 0", "other, s, -1", "apps, t, -1"})
  void aGrantOpensOneNamespaceToAnother(String from, String to, int cluster) {
    ProxyPlan.Route route =
        proxy("{from: All}", from, to, "weir").listeners().getFirst().routes().getFirst();
    assertThat(route.rules().getFirst().backends().getFirst().cluster()).isEqualTo(cluster);
  }

  @Test
  void aGatewayOfAnotherClassIsPassedOver() {
    assertThat(proxy("{from: All}", "apps", "s", "istio")).isEqualTo(ProxyPlan.NONE);
  }
}
