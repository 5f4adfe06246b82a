// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import java.util.List;

/**
 * A {@code gateway.networking.k8s.io TLSRoute} or {@code TCPRoute}.
 *
 * @param type which of the two
 * @param meta name and place
 * @param parents what it attaches to
 * @param hostnames server names (SNI) it serves, in lower case; empty for a TCPRoute
 * @param backends of its rule, with weights
 * @param limits what this version does not do
 */
public record L4Route(
    Type type,
    Meta meta,
    List<Reference> parents,
    List<String> hostnames,
    List<Backend> backends,
    List<Limit> limits)
    implements Route {
  /** Copies the lists. */
  public L4Route {
    parents = List.copyOf(parents);
    hostnames = List.copyOf(hostnames);
    backends = List.copyOf(backends);
    limits = List.copyOf(limits);
  }

  @Override
  public String kind() {
    return type == Type.TLS ? "TLSRoute" : "TCPRoute";
  }

  /** Which of the two kinds. */
  public enum Type {
    /** Connections by server name. */
    TLS,
    /** Every connection. */
    TCP
  }

  /** A backend with its share. */
  public record Backend(Reference reference, int weight) {}
}
