// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.reference;

/** What becomes of a connection. */
public enum Outcome {
  /** It is made. */
  ALLOW,
  /** It is not. */
  REFUSE,
  /** It is made, and reported as what would have been refused. */
  AUDIT,
  /** Only its requests can tell. */
  INSPECT
}
