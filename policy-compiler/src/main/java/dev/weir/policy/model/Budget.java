// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import java.util.Optional;

/**
 * What a plan may take at most ({@code Mesh.spec.budget}); what is absent has no bound of its own.
 *
 * @param mapEntries entries of the kernel maps of one generation
 * @param mapBytes bytes of the kernel maps of both generations
 * @param proxyBytes bytes of the proxy's plan
 */
public record Budget(
    Optional<Located<Integer>> mapEntries,
    Optional<Located<Integer>> mapBytes,
    Optional<Located<Integer>> proxyBytes) {

  /** No bounds. */
  public static final Budget NONE =
      new Budget(Optional.empty(), Optional.empty(), Optional.empty());
}
