// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.agent;

/** Policy of a node with one workload, {@code shop/web}, and a gateway that leads to it. */
final class GatewayPolicy {

  private static final String TEXT =
      """
      apiVersion: weir.dev/v1alpha1
      kind: Mesh
      metadata: {name: test, namespace: shop}
      spec: MESH
      ---
      apiVersion: weir.dev/v1alpha1
      kind: Workload
      metadata: {name: web, namespace: shop, labels: {app: web}}
      spec: {cgroup: ROOT/web, ports: [{name: http, port: BACKEND}]}
      ---
      apiVersion: v1
      kind: Service
      metadata: {name: web, namespace: shop}
      spec: {clusterIP: 10.96.0.20, selector: {app: web}, ports: [{port: 80, targetPort: http}]}
      ---
      apiVersion: gateway.networking.k8s.io/v1
      kind: Gateway
      metadata: {name: edge, namespace: shop}
      spec:
        gatewayClassName: weir
        listeners: [LISTENERS]
      ---
      apiVersion: gateway.networking.k8s.io/v1
      kind: HTTPRoute
      metadata: {name: web, namespace: shop}
      spec:
        parentRefs: [{name: edge}]
        rules: [{backendRefs: [{name: web, port: 80}]}]
      """;

  private GatewayPolicy() {}

  /**
   * The text of it, in YAML.
   *
   * @param root the cgroup above the workload's and the proxy's
   * @param mesh its Mesh's fields, in braces
   * @param listeners the gateway's, separated by commas
   * @param backend the port of the workload
   */
  static String of(String root, String mesh, String listeners, int backend) {
    return TEXT.replace("MESH", mesh)
        .replace("ROOT", root)
        .replace("BACKEND", Integer.toString(backend))
        .replace("LISTENERS", listeners);
  }
}
