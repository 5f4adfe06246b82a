// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.plan;

/** Transport of a connection; the ordinal is the number in kernel keys ({@code weir_protocol}). */
public enum Protocol {
  /** Any of the others; only in verdict rows, and then with port 0. */
  ANY,
  /** RFC 9293. */
  TCP,
  /** RFC 768. */
  UDP,
  /** RFC 9260. */
  SCTP
}
