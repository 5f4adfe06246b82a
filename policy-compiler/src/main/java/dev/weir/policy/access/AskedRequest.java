// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.access;

import dev.weir.policy.plan.Address;
import dev.weir.policy.rbac.Attributes;
import dev.weir.policy.rbac.Principal;
import dev.weir.policy.rbac.Token;
import dev.weir.policy.route.RequestTarget;
import java.util.Map;
import java.util.Optional;

/**
 * A connection or request as a question tells it.
 *
 * @param isRequest whether it is HTTP
 * @param normalised of the request; of a connection empty
 * @param headers by name in lower case
 */
public record AskedRequest(
    boolean isRequest,
    Principal principal,
    Address sourceAddress,
    Address remoteAddress,
    Address destinationAddress,
    int destinationPort,
    String serverName,
    String host,
    String method,
    Optional<RequestTarget> normalised,
    Map<String, String> headers,
    Token token)
    implements Attributes {

  /** Copies the map. */
  public AskedRequest {
    headers = Map.copyOf(headers);
  }

  @Override
  public String path() {
    return normalised.map(RequestTarget::path).orElse("");
  }

  @Override
  public String target() {
    return normalised.map(RequestTarget::text).orElse("");
  }

  @Override
  public Optional<String> header(String name) {
    return Optional.ofNullable(headers.get(name));
  }
}
