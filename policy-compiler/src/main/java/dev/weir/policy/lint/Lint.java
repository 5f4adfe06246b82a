// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.lint;

import java.util.Locale;

/** Kinds of findings; their names in lower case with dashes are what an annotation may ignore. */
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
  HOST_NETWORK;

  /** As annotations write it. */
  public String label() {
    return name().toLowerCase(Locale.ROOT).replace('_', '-');
  }
}
