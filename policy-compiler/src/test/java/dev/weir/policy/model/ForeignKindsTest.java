// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.source.Diagnostic;
import dev.weir.policy.source.Diagnostics;
import dev.weir.policy.source.SourceFile;
import dev.weir.policy.source.SourceTree;
import java.nio.charset.StandardCharsets;
import java.util.List;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What becomes of kinds of others: none that decides about traffic is left out in silence. */
final class ForeignKindsTest {

  private static List<Diagnostic> errors(String apiVersion, String kind) {
    String text =
        """
        apiVersion: %s
        kind: %s
        metadata:
          name: one
          namespace: shop
        spec: {}
        """
            .formatted(apiVersion, kind);
    Diagnostics diagnostics = new Diagnostics();
    ResourceReader.read(
        new SourceTree(
            List.of(new SourceFile("one.yaml", text.getBytes(StandardCharsets.UTF_8))), List.of()),
        diagnostics);
    return diagnostics.errors();
  }

  @ParameterizedTest
  @CsvSource({
    "policy.networking.k8s.io/v1alpha1, AdminNetworkPolicy",
    "policy.networking.k8s.io/v1alpha1, BaselineAdminNetworkPolicy",
    "policy.networking.k8s.io/v1alpha2, ClusterNetworkPolicy",
    "networking.istio.io/v1, VirtualService",
    "networking.istio.io/v1, DestinationRule",
    "networking.istio.io/v1, ServiceEntry",
    "networking.istio.io/v1, Sidecar",
    "networking.istio.io/v1, Gateway",
    "networking.istio.io/v1, WorkloadEntry",
    "networking.istio.io/v1, WorkloadGroup",
    "networking.istio.io/v1alpha3, EnvoyFilter",
    "extensions.istio.io/v1alpha1, WasmPlugin",
    "gateway.networking.k8s.io/v1alpha2, UDPRoute",
    "gateway.networking.k8s.io/v1, ListenerSet",
    "gateway.networking.x-k8s.io/v1alpha1, XListenerSet",
    "gateway.networking.x-k8s.io/v1alpha1, XBackendTrafficPolicy",
    "gateway.networking.k8s.io/v1, HTPPRoute",
    "cilium.io/v2, CiliumNetworkPolicy",
    "cilium.io/v2, CiliumClusterwideNetworkPolicy",
    "cilium.io/v2, CiliumLocalRedirectPolicy",
    "projectcalico.org/v3, GlobalNetworkPolicy",
    "crd.projectcalico.org/v1, NetworkPolicy",
    "policy.linkerd.io/v1beta3, Server",
    "policy.linkerd.io/v1alpha1, AuthorizationPolicy",
    "policy.linkerd.io/v1beta3, HTTPRoute",
    "kuma.io/v1alpha1, MeshTrafficPermission",
    "consul.hashicorp.com/v1alpha1, ServiceIntentions",
    "extensions/v1beta1, Ingress",
    "extensions/v1beta1, NetworkPolicy",
    "networking.k8s.io/v1beta1, Ingress",
    "apps/v1beta2, Deployment",
    "gateway.networking.k8s.io/v1alpha1, HTTPRoute",
    "weir.dev/v1alpha1, TrafikPolicy",
  })
  void whatDecidesAboutTrafficIsAnErrorWithARemedy(String apiVersion, String kind) {
    assertThat(errors(apiVersion, kind))
        .singleElement()
        .satisfies(
            e -> {
              assertThat(e.at().line()).isPositive();
              assertThat(e.remedy()).isNotEmpty();
            });
  }

  @ParameterizedTest
  @CsvSource({
    "rbac.authorization.k8s.io/v1, Role",
    "v1, PersistentVolumeClaim",
    "gateway.networking.k8s.io/v1, GatewayClass",
    "networking.k8s.io/v1, IngressClass",
    "networking.istio.io/v1beta1, ProxyConfig",
    "telemetry.istio.io/v1, Telemetry",
    "cilium.io/v2, CiliumNode",
    "projectcalico.org/v3, IPPool",
    "monitoring.coreos.com/v1, ServiceMonitor",
    "autoscaling/v2, HorizontalPodAutoscaler",
  })
  void whatSaysNothingAboutTrafficIsPassedOver(String apiVersion, String kind) {
    assertThat(errors(apiVersion, kind)).isEmpty();
  }
}
