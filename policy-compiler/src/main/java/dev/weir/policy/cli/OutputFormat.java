// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.cli;

/** What {@code -o} accepts. */
public enum OutputFormat {
  /** For people. */
  text,
  /** For programs; documented in docs/policy.md. */
  json
}
