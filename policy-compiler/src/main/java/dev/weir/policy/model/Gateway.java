// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import dev.weir.policy.plan.Address;
import java.util.List;
import java.util.Optional;

/**
 * A {@code gateway.networking.k8s.io Gateway}.
 *
 * @param meta name and place
 * @param className {@code gatewayClassName}
 * @param addresses to bind; empty for all of the node
 * @param listeners in file order
 */
public record Gateway(
    Meta meta, String className, List<Located<Address>> addresses, List<Listener> listeners)
    implements Resource {
  /** Copies the lists. */
  public Gateway {
    addresses = List.copyOf(addresses);
    listeners = List.copyOf(listeners);
  }

  @Override
  public String kind() {
    return "Gateway";
  }

  /**
   * A listener.
   *
   * @param name unique in its Gateway
   * @param hostname it serves, in lower case; empty for all
   * @param port to bind
   * @param tls it ends TLS with these certificates; empty for plain HTTP
   * @param allowed whose routes may attach
   */
  public record Listener(
      Located<String> name,
      String hostname,
      int port,
      Optional<List<Reference>> tls,
      AllowedRoutes allowed) {}

  /** Namespaces whose routes may attach to a listener. */
  public sealed interface AllowedRoutes {
    /** The Gateway's own. */
    record Same() implements AllowedRoutes {}

    /** Every one. */
    record All() implements AllowedRoutes {}

    /** Those with these labels. */
    record Selected(LabelSelector selector) implements AllowedRoutes {}
  }
}
