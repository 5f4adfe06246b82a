// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.ProxyPlan.ListenerProtocol;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/**
 * A {@code gateway.networking.k8s.io Gateway}.
 *
 * @param meta name and place
 * @param className {@code gatewayClassName}
 * @param addresses to bind; empty for all of the node
 * @param listeners in file order
 * @param limits what this version does not do
 */
public record Gateway(
    Meta meta,
    String className,
    List<Located<Address>> addresses,
    List<Listener> listeners,
    List<Limit> limits)
    implements Resource {

  /** The class of Gateways that are ours. */
  public static final String CLASS = "weir";

  /** Copies the lists. */
  public Gateway {
    addresses = List.copyOf(addresses);
    listeners = List.copyOf(listeners);
    limits = List.copyOf(limits);
  }

  /** Whether it is ours to serve. */
  public boolean ours() {
    return className.equals(CLASS);
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
   * @param protocol spoken with clients
   * @param certificates with which it ends TLS; empty when it does not
   * @param clients which certificates clients must show; empty when none is asked for
   * @param allowed whose routes may attach
   * @param kinds of route that may attach
   */
  public record Listener(
      Located<String> name,
      String hostname,
      int port,
      ListenerProtocol protocol,
      List<Reference> certificates,
      Optional<ClientValidation> clients,
      AllowedRoutes allowed,
      Set<String> kinds) {
    /** Copies the parts. */
    public Listener {
      certificates = List.copyOf(certificates);
      kinds = Set.copyOf(kinds);
    }
  }

  /**
   * Whose certificates clients of a listener must show (GEP-91).
   *
   * @param authorities ConfigMaps or Secrets with {@code ca.crt}; at least one
   * @param required {@code AllowValidOnly}; else who shows none, or another one, is let in as well
   */
  public record ClientValidation(List<Reference> authorities, boolean required) {
    /** Copies the list. */
    public ClientValidation {
      authorities = List.copyOf(authorities);
    }
  }

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
