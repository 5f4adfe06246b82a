// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

/** An object of a kind that says something about traffic. */
public sealed interface Resource
    permits AuthorizationPolicy,
        BackendTlsPolicy,
        ConfigMap,
        EndpointSlice,
        Gateway,
        Ingress,
        Mesh,
        Namespace,
        NetworkPolicy,
        PeerAuthentication,
        PolicyTest,
        ReferenceGrant,
        Route,
        Secret,
        Service,
        TrafficPolicy,
        Workload {

  /** Name, labels and place. */
  Meta meta();

  /** The kind's name. */
  String kind();

  /** {@code kind namespace/name}, unique in a plan's input. */
  default String id() {
    return kind() + " " + meta().qualifiedName();
  }
}
