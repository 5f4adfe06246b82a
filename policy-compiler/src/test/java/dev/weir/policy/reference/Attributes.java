// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.reference;

import java.util.List;
import java.util.Map;
import java.util.Optional;

/** What is known beyond the connection itself. */
public sealed interface Attributes {

  /** Nothing yet: the connection is only being made. */
  record NotYet() implements Attributes {}

  /** Nothing, and there never will be: it carries no requests. */
  record Never() implements Attributes {}

  /**
   * A request.
   *
   * @param host without port
   * @param method as sent
   * @param path normalised, without query
   * @param headers names in lower case
   * @param serverName of TLS, if any
   * @param requestPrincipal {@code issuer/subject} of a verified token, if any
   * @param claims of that token, by name
   */
  record Request(
      String host,
      String method,
      String path,
      Map<String, String> headers,
      Optional<String> serverName,
      Optional<String> requestPrincipal,
      Map<String, List<String>> claims)
      implements Attributes {}
}
