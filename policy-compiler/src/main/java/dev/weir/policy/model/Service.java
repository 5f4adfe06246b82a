// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.source.Position;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * A {@code v1 Service}.
 *
 * @param meta name and place
 * @param externalName it is only a name for something outside
 * @param addresses virtual addresses, of one or two families; empty when headless or not given
 * @param headless {@code clusterIP: None}
 * @param selector labels of its backends; empty when it has none and others say who is behind it
 * @param ports virtual ports
 * @param clientIpAffinity {@code sessionAffinity: ClientIP}
 * @param affinitySeconds for so long after it came last a client keeps to its backend, with the
 *     former; else 0
 * @param publishNotReadyAddresses endpoints that are not ready count as ready
 * @param localOnly {@code internalTrafficPolicy: Local}: only backends of the node that asks
 */
public record Service(
    Meta meta,
    boolean externalName,
    List<Located<Address>> addresses,
    boolean headless,
    Map<String, String> selector,
    List<Port> ports,
    Optional<Located<String>> clientIpAffinity,
    int affinitySeconds,
    boolean publishNotReadyAddresses,
    boolean localOnly)
    implements Resource {
  /** Copies the parts. */
  public Service {
    addresses = List.copyOf(addresses);
    selector = Map.copyOf(selector);
    ports = List.copyOf(ports);
  }

  @Override
  public String kind() {
    return "Service";
  }

  /**
   * A virtual port.
   *
   * @param name empty when it has none
   * @param port number
   * @param protocol transport
   * @param target where it leads
   * @param appProtocol what is spoken there, as {@code http}, {@code kubernetes.io/h2c}; empty when
   *     nothing is said
   * @param at where
   * @param field path, for messages
   */
  public record Port(
      String name,
      int port,
      Protocol protocol,
      PortReference target,
      String appProtocol,
      Position at,
      String field) {}
}
