// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.route;

/**
 * Where a redirect leads.
 *
 * @param scheme {@code http} or {@code https}
 * @param host without port; empty when the request names none and the redirect neither
 * @param port 0 for the scheme's own
 * @param target path and query
 */
public record Location(String scheme, String host, int port, RequestTarget target) {

  /** As the header field says it. */
  public String text() {
    return scheme + "://" + host + (port == 0 ? "" : ":" + port) + target.text();
  }
}
