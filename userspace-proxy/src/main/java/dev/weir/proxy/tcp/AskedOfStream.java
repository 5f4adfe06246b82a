// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.tcp;

import dev.weir.policy.plan.Address;
import dev.weir.proxy.outbound.AskedBySource;
import dev.weir.proxy.outbound.Source;
import java.util.Optional;

/**
 * A connection as AuthorizationPolicies see it: nothing of what only requests have.
 *
 * @param source who asks
 * @param peer other end of the client's socket
 * @param destinationAddress of the backend's workload
 * @param destinationPort of the backend's workload
 * @param serverName of the client's TLS handshake, in lower case; empty without one
 */
record AskedOfStream(
    Source source, Address peer, Address destinationAddress, int destinationPort, String serverName)
    implements AskedBySource {

  @Override
  public boolean isRequest() {
    return false;
  }

  @Override
  public String host() {
    return "";
  }

  @Override
  public String method() {
    return "";
  }

  @Override
  public String path() {
    return "";
  }

  @Override
  public String target() {
    return "";
  }

  @Override
  public Optional<String> header(String name) {
    return Optional.empty();
  }
}
