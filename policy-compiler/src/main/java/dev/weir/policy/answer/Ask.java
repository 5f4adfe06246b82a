// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.answer;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;

/**
 * A request as a client makes it.
 *
 * @param authority whom it calls, with a port if it is not the scheme's; empty for the gateway's
 *     address
 * @param method of HTTP
 * @param target path, with query if there is one
 * @param headers by name in any case; a {@code Host} counts instead of the authority
 * @param grpc whether it is a call of gRPC
 * @param serverName of the TLS handshake; empty for the authority's
 * @param backendHeaders what the backend answers with, for response filters to change
 * @param source {@code namespace/name} of the workload that asks; empty when that is not said
 */
public record Ask(
    String authority,
    String method,
    String target,
    Map<String, String> headers,
    boolean grpc,
    Optional<String> serverName,
    Map<String, String> backendHeaders,
    String source) {

  /** One of nobody in particular. */
  public Ask(
      String authority,
      String method,
      String target,
      Map<String, String> headers,
      boolean grpc,
      Optional<String> serverName,
      Map<String, String> backendHeaders) {
    this(authority, method, target, headers, grpc, serverName, backendHeaders, "");
  }

  /** The same of a workload. */
  public Ask of(String workload) {
    return new Ask(authority, method, target, headers, grpc, serverName, backendHeaders, workload);
  }

  /** Copies the maps; a call of gRPC has the content type of one. */
  public Ask {
    Map<String, String> fields = new LinkedHashMap<>(headers);
    grpc |= header(fields, "content-type").startsWith("application/grpc");
    if (grpc && header(fields, "content-type").isEmpty()) {
      fields.put("content-type", "application/grpc");
    }
    headers = Collections.unmodifiableMap(fields);
    backendHeaders = Collections.unmodifiableMap(new LinkedHashMap<>(backendHeaders));
  }

  private static String header(Map<String, String> headers, String name) {
    return headers.entrySet().stream()
        .filter(e -> e.getKey().toLowerCase(Locale.ROOT).equals(name))
        .map(Map.Entry::getValue)
        .findFirst()
        .orElse("");
  }

  /** What the request says its host is, with its port. */
  String host() {
    String host = header(headers, "host");
    return host.isEmpty() ? authority : host;
  }
}
