// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.agent;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.Compilation;
import dev.weir.policy.PolicyCompiler;
import dev.weir.policy.plan.Plan;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class ChangeOrderTest {

  private static final String NODE =
      """
      apiVersion: weir.dev/v1alpha1
      kind: Workload
      metadata: {name: v1, namespace: shop, labels: {app: cart, version: v1}}
      spec: {cgroup: /v1, ports: [{name: http, port: 8081}]}
      ---
      apiVersion: weir.dev/v1alpha1
      kind: Workload
      metadata: {name: v2, namespace: shop, labels: {app: cart, version: v2}}
      spec: {cgroup: /v2, ports: [{name: http, port: 8082}]}
      """;

  @TempDir private Path directory;
  private int plans;

  private Plan plan(String... documents) throws IOException {
    Path file = directory.resolve("plan-" + plans++ + ".yaml");
    Files.writeString(
        file,
        NODE
            + service("v1", "10.96.0.11", "version: v1")
            + service("v2", "10.96.0.12", "version: v2")
            + String.join("", documents));
    return switch (PolicyCompiler.compileDirectory(file)) {
      case Compilation.Compiled compiled -> compiled.plan();
      case Compilation.Refused refused -> throw new AssertionError(refused.errors());
    };
  }

  private static String service(String name, String address, String selector) {
    return """
    ---
    apiVersion: v1
    kind: Service
    metadata: {name: NAME, namespace: shop}
    spec:
      clusterIP: ADDRESS
      selector: {SELECTOR}
      ports: [{name: http, port: 80, targetPort: http}]
    """
        .replace("NAME", name)
        .replace("ADDRESS", address)
        .replace("SELECTOR", selector);
  }

  private static String cart() {
    return service("cart", "10.96.0.10", "app: cart");
  }

  private static String route(String backends) {
    return """
    ---
    apiVersion: gateway.networking.k8s.io/v1
    kind: HTTPRoute
    metadata: {name: cart, namespace: shop}
    spec:
      parentRefs: [{group: "", kind: Service, name: cart}]
      rules: [{backendRefs: [BACKENDS]}]
    """
        .replace("BACKENDS", backends);
  }

  private static String backend(String name, int weight) {
    return "{name: " + name + ", port: 80, weight: " + weight + "}";
  }

  @Test
  void weightsAloneGoToTheKernelFirst() throws IOException {
    Plan before = plan(cart(), route(backend("v1", 99) + ", " + backend("v2", 1)));
    Plan after = plan(cart(), route(backend("v1", 50) + ", " + backend("v2", 50)));
    assertThat(ChangeOrder.of(before, after)).isEqualTo(ChangeOrder.KERNEL_FIRST);
  }

  @Test
  void theProxyKnowsAServiceBeforeTheKernelLeadsToIt() throws IOException {
    Plan before = plan(cart());
    Plan after = plan(cart(), route(backend("v1", 1)));
    assertThat(ChangeOrder.of(before, after)).isEqualTo(ChangeOrder.PROXY_FIRST);
  }

  @Test
  void theProxyForgetsAServiceAfterTheKernelHasCeasedToLeadToIt() throws IOException {
    Plan before = plan(cart(), route(backend("v1", 1)));
    Plan after = plan(cart());
    assertThat(ChangeOrder.of(before, after)).isEqualTo(ChangeOrder.KERNEL_FIRST);
  }

  @Test
  void theKernelAllowsABackendBeforeTheProxyChoosesIt() throws IOException {
    Plan before = plan(cart(), route(backend("v1", 1)));
    Plan after = plan(cart(), route(backend("v1", 1) + ", " + backend("v2", 1)));
    assertThat(ChangeOrder.of(before, after)).isEqualTo(ChangeOrder.KERNEL_FIRST);
  }

  @Test
  void theProxyCeasesToChooseABackendBeforeTheKernelClosesIt() throws IOException {
    Plan before = plan(cart(), route(backend("v1", 1) + ", " + backend("v2", 1)));
    Plan after = plan(cart(), route(backend("v1", 1)));
    assertThat(ChangeOrder.of(before, after)).isEqualTo(ChangeOrder.PROXY_FIRST);
  }

  @Test
  void whatMustNotWaitDecidesWhenAChangeAsksForBoth() throws IOException {
    Plan before = plan(cart(), route(backend("v1", 1)));
    Plan after = plan(cart(), route(backend("v2", 1)));
    assertThat(ChangeOrder.of(before, after)).isEqualTo(ChangeOrder.KERNEL_FIRST);
  }
}
