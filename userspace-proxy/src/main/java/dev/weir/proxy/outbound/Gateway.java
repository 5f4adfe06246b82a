// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.outbound;

import dev.weir.policy.route.Listeners;
import dev.weir.proxy.tls.Certificates;
import dev.weir.proxy.tls.ClientCertificates;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * A port that listeners of Gateways share, in one generation.
 *
 * @param listeners the routes of each, by host
 * @param byName the same by {@code namespace/gateway/listener}
 * @param tls whether clients speak TLS there, wherever it ends
 * @param certificates by listener, the most specific hostname first
 * @param clients which certificates the clients of a listener must show, of those that ask
 */
public record Gateway(
    Listeners<Entrance> listeners,
    Map<String, Entrance> byName,
    boolean tls,
    List<Named> certificates,
    Map<Entrance, ClientCertificates> clients) {

  /** Which certificates clients of a listener must show; empty when it asks for none. */
  public Optional<ClientCertificates> clients(Entrance listener) {
    return Optional.ofNullable(clients.get(listener));
  }

  /** One of them, for requests of which no host is known; one for requests if there is any. */
  public Entrance any() {
    List<Entrance> all = listeners.all();
    return all.stream().filter(Entrance::requests).findFirst().orElse(all.getFirst());
  }

  /** Whether any of them is for requests. */
  public boolean requests() {
    return any().requests();
  }

  /**
   * The listener that a TLS handshake is with.
   *
   * @param serverName as the client sent it, in lower case; empty when it sent none, which HTTPS
   *     allows: a request says later which host it is for
   */
  public Optional<Entrance> door(String serverName) {
    Optional<Entrance> named = listeners.of(serverName);
    return named.isEmpty() && serverName.isEmpty()
        ? Optional.of(any()).filter(Entrance::requests)
        : named;
  }

  /**
   * Certificates of one listener.
   *
   * @param hostname of the listener; empty for all
   * @param pairs at least one
   */
  public record Named(String hostname, List<Certificates> pairs) {
    boolean serves(String host) {
      if (hostname.startsWith("*.")) {
        return host.length() >= hostname.length() && host.endsWith(hostname.substring(1));
      }
      return hostname.isEmpty() || hostname.equals(host);
    }
  }

  /**
   * The certificate for a server name.
   *
   * @param serverName as the client sent it, in lower case; empty when it sent none
   * @return empty when no listener is for that name: the handshake is refused
   */
  public Optional<Certificates> certificate(String serverName) {
    for (Named named : certificates) {
      if (serverName.isEmpty() || named.serves(serverName)) {
        for (Certificates pair : named.pairs) {
          if (pair.covers(serverName)) {
            return Optional.of(pair);
          }
        }
        return Optional.of(named.pairs.getFirst());
      }
    }
    return Optional.empty();
  }
}
