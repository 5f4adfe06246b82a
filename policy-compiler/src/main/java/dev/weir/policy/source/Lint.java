// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.source;

import java.util.List;
import java.util.Locale;
import java.util.Map;

/**
 * Kinds of what is well said and probably not meant. Their names in lower case with dashes are what
 * the annotation {@value #IGNORE} of an object names, separated by commas, to hear no more of it.
 */
public enum Lint {
  /** A selector of a policy selects no workload. */
  SELECTS_NOBODY,
  /** A rule that no connection or request can match. */
  NEVER_MATCHES,
  /** A rule that opens more than it seems to. */
  WIDE,
  /** A match of a route that an earlier one takes all requests from. */
  SHADOWED,
  /** Weights that sum to zero. */
  NO_SHARE,
  /** An ALLOW policy without rules. */
  REFUSES_ALL,
  /** A namespace or service account that nobody has. */
  UNKNOWN_PEER,
  /** Two policies that say the same. */
  DUPLICATE,
  /** An ALLOW rule that a DENY rule undoes. */
  CONTRADICTION,
  /** HTTP attributes demanded where no HTTP is spoken. */
  NOT_HTTP,
  /** A policy about a pod of its node's network. */
  HOST_NETWORK,
  /** A service that nobody is behind. */
  NO_BACKENDS,
  /** A service without a virtual address. */
  NO_ADDRESS,
  /** A route to another namespace that does not allow it. */
  MISSING_GRANT,
  /** A route to a service or port that does not exist. */
  MISSING_BACKEND,
  /** A route that a parent does not take, or that has none. */
  NOT_ATTACHED,
  /** A socket unit of systemd that makes sockets for a workload which does not name it. */
  UNNAMED_SOCKET;

  /** Annotation that silences lints. */
  public static final String IGNORE = "weir.dev/lint-ignore";

  /** Whether the author of an object with these annotations has said that it is meant. */
  public boolean ignored(Map<String, String> annotations) {
    String ignored = annotations.getOrDefault(IGNORE, "");
    return !ignored.isEmpty() && List.of(ignored.trim().split("\\s*,\\s*", -1)).contains(label());
  }

  /** As annotations write it. */
  public String label() {
    return name().toLowerCase(Locale.ROOT).replace('_', '-');
  }
}
