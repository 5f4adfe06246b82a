// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.source.Position;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;

/**
 * Who is behind a Service, written out: a {@code discovery.k8s.io/v1 EndpointSlice}, or a {@code v1
 * Endpoints} as Kubernetes mirrors it into slices.
 *
 * @param meta name and place
 * @param kind {@code EndpointSlice} or {@code Endpoints}; the latter counts only for a Service
 *     without a selector
 * @param service name of the Service, of the same namespace
 * @param derived made by Kubernetes from the Service's selector, so it adds nothing to a selector
 *     whose pods are known
 * @param subsets every endpoint of a subset has all of its ports
 */
public record EndpointSlice(
    Meta meta, String kind, String service, boolean derived, List<Subset> subsets)
    implements Resource {

  /** Copies the list. */
  public EndpointSlice {
    subsets = List.copyOf(subsets);
  }

  /**
   * Endpoints with their ports.
   *
   * @param ports of each of the endpoints
   * @param endpoints in file order
   */
  public record Subset(List<Port> ports, List<Endpoint> endpoints) {
    /** Copies the lists. */
    public Subset {
      ports = List.copyOf(ports);
      endpoints = List.copyOf(endpoints);
    }
  }

  /**
   * A port.
   *
   * @param name of the Service's port that leads here; empty for a Service with one unnamed port
   * @param port number of the endpoint's port; absent when not restricted, which leads nowhere
   * @param protocol transport
   */
  public record Port(String name, OptionalInt port, Protocol protocol) {}

  /**
   * A backend.
   *
   * @param addresses of one family, at least one; they are the same backend
   * @param ready takes new connections; unknown counts as ready
   * @param serving answers, if it is terminating as well
   * @param terminating is about to end
   * @param pod {@code namespace/name} of the Pod it is
   * @param at where
   */
  public record Endpoint(
      List<Located<Address>> addresses,
      boolean ready,
      boolean serving,
      boolean terminating,
      Optional<String> pod,
      Position at) {
    /** Copies the list. */
    public Endpoint {
      addresses = List.copyOf(addresses);
    }
  }
}
