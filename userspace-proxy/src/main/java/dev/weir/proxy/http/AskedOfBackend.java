// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.http;

import dev.weir.policy.plan.Address;
import dev.weir.policy.route.RequestTarget;
import dev.weir.proxy.outbound.AskedBySource;
import dev.weir.proxy.outbound.Source;
import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpRequest;
import java.util.List;
import java.util.Optional;

/**
 * A request as AuthorizationPolicies see it.
 *
 * @param request as the destination gets it
 * @param normalised its target
 * @param source who asks
 * @param peer other end of the client's socket
 * @param remoteAddress of the original client, as far as who tells it is trusted
 * @param destinationAddress of the backend's workload
 * @param destinationPort of the backend's workload
 * @param serverName of the client's handshake with a Gateway, in lower case; empty without one
 */
record AskedOfBackend(
    HttpRequest request,
    RequestTarget normalised,
    Source source,
    Address peer,
    Address remoteAddress,
    Address destinationAddress,
    int destinationPort,
    String serverName)
    implements AskedBySource {

  @Override
  public boolean isRequest() {
    return true;
  }

  @Override
  public String host() {
    String host = request.headers().get(HttpHeaderNames.HOST);
    return host == null ? "" : host;
  }

  @Override
  public String method() {
    return request.method().name();
  }

  @Override
  public String path() {
    return normalised.path();
  }

  @Override
  public String target() {
    return normalised.text();
  }

  @Override
  public Optional<String> header(String name) {
    String first = request.headers().get(name);
    if (first == null) {
      return Optional.empty();
    }
    List<String> all = request.headers().getAll(name);
    return Optional.of(all.size() == 1 ? first : String.join(",", all));
  }
}
