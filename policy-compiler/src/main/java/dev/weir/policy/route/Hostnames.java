// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.route;

import java.util.Comparator;

/** Host names as listeners and routes write them: a name, {@code *.} and a name, or empty. */
final class Hostnames {

  /** Names before wildcards, the longer ones first, empty ones last. */
  static final Comparator<String> MOST_SPECIFIC =
      Comparator.comparing((String name) -> name.isEmpty())
          .thenComparing(name -> name.startsWith("*."))
          .thenComparingInt(name -> -name.length());

  private Hostnames() {}

  /**
   * Whether a host is meant.
   *
   * @param hostname in lower case; empty for all
   * @param host in lower case, without port
   */
  static boolean serves(String hostname, String host) {
    if (hostname.isEmpty()) {
      return true;
    }
    if (hostname.startsWith("*.")) {
      // One label or more in place of the star (Gateway API, Hostname).
      int suffix = hostname.length() - 1;
      return host.length() > suffix
          && host.regionMatches(host.length() - suffix, hostname, 1, suffix);
    }
    return hostname.equals(host);
  }
}
