// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.route;

import java.util.Locale;

/**
 * What is spoken with backends, as the port of their Service says ({@code appProtocol}: Kubernetes
 * KEP-2133 and Gateway API GEP-1911, and the words that Istio knows besides).
 */
public enum BackendProtocol {
  /** HTTP/1.1. */
  HTTP_1,
  /** HTTP/2: in plain text without asking first, within TLS by ALPN. */
  HTTP_2,
  /** What the client speaks: somebody before this one knew the port and chose. */
  AS_CLIENT;

  /**
   * What a port says.
   *
   * @param appProtocol empty when it says nothing
   */
  public static BackendProtocol of(String appProtocol) {
    return switch (appProtocol.toLowerCase(Locale.ROOT)) {
      case "kubernetes.io/h2c", "h2c", "http2", "grpc" -> HTTP_2;
      default -> HTTP_1;
    };
  }
}
