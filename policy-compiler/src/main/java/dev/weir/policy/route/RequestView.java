// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.route;

import org.jspecify.annotations.Nullable;

/** What a route may look at in a request. The caller's own object; nothing is kept of it. */
public interface RequestView {

  /** Method, case-sensitive (RFC 9110 9.1). */
  String method();

  /** Host in lower case, without port; empty when the request names none. */
  String host();

  /** Path as {@link RequestTarget} normalises it. */
  String path();

  /** Query as sent, without the question mark; empty when there is none. */
  String query();

  /**
   * Value of a header, several of one name joined with {@code ", "} (RFC 9110 5.3).
   *
   * @param name in lower case
   * @return null when the request has no such header
   */
  @Nullable String header(String name);
}
