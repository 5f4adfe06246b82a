// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.access;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.Compilation;
import dev.weir.policy.PolicyCompiler;
import dev.weir.policy.plan.AccessPlan;
import dev.weir.policy.plan.AccessPlan.Policy;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.source.SourceTree;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class AccessPlannerTest {

  private static final String WORKLOADS =
      """
      apiVersion: weir.dev/v1alpha1
      kind: Workload
      metadata: {name: cart, namespace: shop, labels: {app: cart}}
      spec:
        cgroup: /cart
        ports: [{name: http, port: 8080}, {name: admin, port: 9090}]
      ---
      apiVersion: v1
      kind: Service
      metadata: {name: cart, namespace: shop}
      spec:
        clusterIP: 10.96.0.5
        selector: {app: cart}
        ports: [{name: http, port: 80, targetPort: http}]
      ---
      """;

  private static String policy(String namespace, String spec) {
    return "apiVersion: security.istio.io/v1\n"
        + "kind: AuthorizationPolicy\n"
        + "metadata: {name: p, namespace: "
        + namespace
        + "}\nspec: "
        + spec
        + "\n";
  }

  private static Plan plan(String text) {
    Compilation compilation = PolicyCompiler.check(SourceTree.of("f", WORKLOADS + text));
    return ((Compilation.Compiled) compilation).plan();
  }

  private static List<String> guarded(Plan plan) {
    return plan.proxy().access().guards().stream()
        .map(g -> plan.workloads().get(g.workload()).name() + " " + g.policies().getFirst().ports())
        .toList();
  }

  @Test
  void aPolicyOfTheNamespaceIsAboutItsWorkloads() {
    assertThat(guarded(plan(policy("shop", "{}")))).containsExactly("cart []");
  }

  @Test
  void aPolicyOfAnotherNamespaceIsNot() {
    Plan plan = plan(policy("bank", "{}"));

    assertThat(plan.proxy().access().policies()).isEmpty();
  }

  @Test
  void aPolicyOfTheRootNamespaceIsAboutAll() {
    assertThat(guarded(plan(policy("istio-system", "{selector: {matchLabels: {app: cart}}}"))))
        .containsExactly("cart []");
  }

  @Test
  void aPolicyOfAServiceIsAboutThePortsItLeadsTo() {
    assertThat(guarded(plan(policy("shop", "{targetRefs: [{kind: Service, name: cart}]}"))))
        .containsExactly("cart [8080]");
  }

  private static final String GATEWAY =
      """
      apiVersion: gateway.networking.k8s.io/v1
      kind: Gateway
      metadata: {name: front, namespace: shop, labels: {app: edge}}
      spec:
        gatewayClassName: weir
        listeners: [{name: http, port: 8000, protocol: HTTP}]
      ---
      """;

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "shop|{targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: front}]}|true",
        "bank|{targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: front}]}|false",
        "shop|{selector: {matchLabels: {gateway.networking.k8s.io/gateway-name: front}}}|true",
        "istio-system|{selector: {matchLabels: {gateway.networking.k8s.io/gateway-name:"
            + " front}}}|true",
        "bank|{selector: {matchLabels: {gateway.networking.k8s.io/gateway-name: front}}}|false",
        "shop|{selector: {matchLabels: {app: edge}}}|true",
        "shop|{selector: {matchLabels: {app: cart}}}|false",
        "shop|{}|true",
        "istio-system|{}|true",
        "bank|{}|false",
      })
  void aGatewayHasThePoliciesThatItsPodsWouldHave(String namespace, String spec, boolean about) {
    AccessPlan plan = plan(GATEWAY + policy(namespace, spec)).proxy().access();

    assertThat(plan.gateways())
        .isEqualTo(
            about ? List.of(new AccessPlan.GatewayGuard("shop/front", List.of(0))) : List.of());
  }

  @Test
  void rulesHaveTheirPlace() {
    Plan plan =
        plan(policy("shop", "{rules: [{to: [{operation: {methods: [GET], paths: [/a]}}]}]}"));
    Policy policy = plan.proxy().access().policies().getFirst();

    assertThat(plan.rules().get(policy.rule()).describe()).startsWith("AuthorizationPolicy shop/p");
    assertThat(plan.rules().get(policy.clauses().getFirst().rule()).clause()).isEqualTo("rules[0]");
  }
}
