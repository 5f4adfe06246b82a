// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.identity;

import java.time.Instant;
import java.util.List;

/**
 * All there is.
 *
 * @param trustDomain of the authority
 * @param at by the clock
 * @param problems that are nobody's in particular, such as a wrong clock
 * @param roots those that are believed
 * @param identities by namespace and account
 */
public record Listing(
    String trustDomain,
    Instant at,
    List<String> problems,
    List<RootStatus> roots,
    List<IdentityStatus> identities) {

  public Listing {
    problems = List.copyOf(problems);
    roots = List.copyOf(roots);
    identities = List.copyOf(identities);
  }

  /** Whether nothing is to be done. */
  public boolean good() {
    return problems.isEmpty()
        && roots.stream().allMatch(root -> root.problem().isEmpty())
        && identities.stream().noneMatch(identity -> identity.state().wrong());
  }
}
