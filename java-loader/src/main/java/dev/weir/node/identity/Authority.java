// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.identity;

import java.time.Instant;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.function.UnaryOperator;

/**
 * What an authority knows of itself.
 *
 * @param trustDomain of all it issues
 * @param lastIssued what its clock said when it last made something: a clock that says less is
 *     wrong, or was
 * @param roots by the time from which they sign; of two that begin at once the later one signs
 */
record Authority(String trustDomain, Instant lastIssued, List<Root> roots) {

  Authority {
    roots = roots.stream().sorted(Comparator.comparing(Root::signsFrom)).toList();
  }

  /** The root that signs: the last of those whose time has come. */
  Optional<Root> signer(Instant now) {
    return roots.stream()
        .filter(root -> !root.signsFrom().isAfter(now))
        .reduce((before, after) -> after);
  }

  /** A root whose time has not come. */
  Optional<Root> waiting(Instant now) {
    return roots.stream().filter(root -> root.signsFrom().isAfter(now)).findFirst();
  }

  /** Without roots whose time has not come. */
  Authority begun(Instant now) {
    return with(roots.stream().filter(root -> !root.signsFrom().isAfter(now)).toList());
  }

  /** Believes the root that signs until then, if another one signs in its place. */
  Authority signerNeededUntil(Instant end, Instant now) {
    return signer(now).map(s -> change(s, root -> root.withLeavesUntil(end))).orElse(this);
  }

  /** Roots in whose place another one signs. */
  List<Root> superseded(Instant now) {
    return signer(now).map(s -> roots.subList(0, roots.indexOf(s))).orElse(List.of());
  }

  Authority with(Root root) {
    List<Root> all = new ArrayList<>(roots);
    all.add(root);
    return new Authority(trustDomain, lastIssued, all);
  }

  Authority with(List<Root> others) {
    return new Authority(trustDomain, lastIssued, others);
  }

  Authority at(Instant issued) {
    return new Authority(trustDomain, issued, roots);
  }

  Authority change(Root root, UnaryOperator<Root> change) {
    return with(roots.stream().map(r -> r.id().equals(root.id()) ? change.apply(r) : r).toList());
  }
}
