// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.answer;

import dev.weir.policy.route.RequestTarget;
import dev.weir.policy.route.RequestView;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * An HTTP request that is asked about, as the proxy would see it.
 *
 * @param method as sent
 * @param host in lower case without port, as routes are chosen by it; empty when none was given
 * @param authority as it is sent, with its port if it has one, as policies compare it
 * @param path normalised
 * @param query without question mark
 * @param headers by name in lower case
 */
public record Request(
    String method,
    String host,
    String authority,
    String path,
    String query,
    Map<String, String> headers)
    implements RequestView {

  /** Copies the map. */
  public Request {
    headers = Map.copyOf(headers);
  }

  /** One whose authority has no port. */
  public Request(
      String method, String host, String path, String query, Map<String, String> headers) {
    this(method, host, host, path, query, headers);
  }

  /**
   * A request as people write it.
   *
   * @param host may have a port; empty for what the headers say. A header {@code Host} beside it is
   *     not looked at, as one request has one
   * @param target path, with query if there is one
   * @param headers by name in any case
   * @return empty when the target is none that the proxy accepts: it answers such a request 400
   */
  public static Optional<Request> of(
      String method, String host, String target, Map<String, String> headers) {
    Map<String, String> byName = new LinkedHashMap<>();
    headers.forEach(
        (name, value) ->
            byName.merge(name.toLowerCase(Locale.ROOT), value, (a, b) -> a + ", " + b));
    String authority = host.isEmpty() ? byName.getOrDefault("host", "") : host;
    if (!authority.isEmpty()) {
      byName.put("host", authority);
    }
    return RequestTarget.parse(target)
        .map(
            parsed ->
                new Request(
                    method,
                    withoutPort(authority).toLowerCase(Locale.ROOT),
                    authority,
                    parsed.path(),
                    parsed.query(),
                    byName));
  }

  private static String withoutPort(String authority) {
    int colon = authority.lastIndexOf(':');
    boolean address = authority.startsWith("[") && authority.endsWith("]");
    return colon < 0 || address ? authority : authority.substring(0, colon);
  }

  @Override
  public @Nullable String header(String name) {
    return headers.get(name);
  }
}
