// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.identity;

import java.time.Instant;

/**
 * A root that is believed.
 *
 * @param id of the key that signs
 * @param subject the certificate's name
 * @param serial hexadecimal
 * @param notBefore when it begins
 * @param notAfter when it ends
 * @param role what it does now
 * @param signsFrom when it began to sign, or will
 * @param lastLeafEnds when the last leaf that it may have signed ends, and with it a root in whose
 *     place another one signs
 * @param problem what is wrong and what to do; empty when nothing is
 */
public record RootStatus(
    String id,
    String subject,
    String serial,
    Instant notBefore,
    Instant notAfter,
    Role role,
    Instant signsFrom,
    Instant lastLeafEnds,
    String problem) {

  /** What a root does. */
  public enum Role {
    /** Signs leaves. */
    signs,
    /** Is believed already, and will sign. */
    waits,
    /** Is believed until its last leaf has ended; its key is gone. */
    leaves
  }
}
