// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import dev.weir.policy.source.Position;
import java.util.List;

/**
 * A {@code networking.k8s.io/v1 Ingress}. It is served by a controller elsewhere; here it says
 * which workloads that controller dials.
 *
 * @param meta name and place
 * @param backends where its rules lead
 */
public record Ingress(Meta meta, List<Backend> backends) implements Resource {
  /** Copies the list. */
  public Ingress {
    backends = List.copyOf(backends);
  }

  @Override
  public String kind() {
    return "Ingress";
  }

  /**
   * A Service's port.
   *
   * @param service name of a Service of the Ingress' namespace
   * @param port of the Service, by number or name
   * @param at where
   */
  public record Backend(String service, PortReference port, Position at) {}
}
