// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.identity;

import java.nio.file.Path;
import java.time.Instant;
import java.util.Optional;

/**
 * An SVID that is there.
 *
 * @param id its SPIFFE ID; what the place says when the certificate cannot be read
 * @param file chain and key
 * @param state how it stands
 * @param problem what is wrong and what to do; empty when nothing is
 * @param leaf what the certificate says; empty when it cannot be read
 */
public record IdentityStatus(
    String id, Path file, IdentityState state, String problem, Optional<Leaf> leaf) {

  /**
   * A leaf's certificate.
   *
   * @param serial hexadecimal
   * @param notBefore when it begins
   * @param notAfter when it ends
   * @param renewFrom when two thirds of its life are over
   * @param root which root signed it, by {@link RootStatus#id}; empty when none of those there
   */
  public record Leaf(
      String serial, Instant notBefore, Instant notAfter, Instant renewFrom, String root) {}
}
