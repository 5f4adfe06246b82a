// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.authorize;

import dev.weir.policy.model.Block;
import dev.weir.policy.model.NetworkPolicy.Peer;
import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Cidr;
import dev.weir.policy.plan.Reserved;
import dev.weir.policy.source.Position;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;

/**
 * Cuts outside addresses into identities: they are one when every block holds all of them or none.
 * The region of a prefix is what no longer prefix takes from it, so it lies in a block when the
 * prefix does.
 */
final class OutsideBlocks {

  private static final Comparator<Block> ORDER =
      Comparator.comparing(Block::address).thenComparingInt(Block::length);

  private final List<Cidr> cidrs = new ArrayList<>();
  private final Map<Peer.Addresses, int[]> identities = new HashMap<>();
  private final int count;

  /**
   * Cuts.
   *
   * @param blocks that something tells apart
   * @param first identity to give
   */
  OutsideBlocks(Collection<Peer.Addresses> blocks, int first) {
    List<Peer.Addresses> distinct =
        List.copyOf(new LinkedHashSet<>(blocks.stream().map(OutsideBlocks::placeless).toList()));
    TreeSet<Block> prefixes = new TreeSet<>(ORDER);
    for (Peer.Addresses block : distinct) {
      prefixes.add(block.block());
      prefixes.addAll(block.except());
    }
    if (prefixes.stream().anyMatch(p -> p.length() < 96)) {
      // In the kernel's table an IPv6 block as ::/0 would also be found for IPv4 addresses, which
      // lie in ::ffff:0:0/96 there; this longer prefix takes them back.
      prefixes.add(new Block(Address.ofV4(0), 96));
    }
    Map<Members, Integer> bySignature = new LinkedHashMap<>();
    List<IntList> members = new ArrayList<>();
    distinct.forEach(b -> members.add(new IntList()));
    for (Block prefix : prefixes) {
      IntList signature = new IntList();
      for (int b = 0; b < distinct.size(); b++) {
        if (holds(distinct.get(b), prefix)) {
          signature.add(b);
        }
      }
      int identity = Reserved.OUTSIDE.index();
      if (signature.size() > 0) {
        identity =
            bySignature.computeIfAbsent(
                new Members(signature.toArray()), k -> first + bySignature.size());
        for (int i = 0; i < signature.size(); i++) {
          members.get(signature.get(i)).add(identity);
        }
      }
      cidrs.add(new Cidr(prefix.address(), prefix.length(), identity));
    }
    for (int b = 0; b < distinct.size(); b++) {
      identities.put(distinct.get(b), members.get(b).toSet());
    }
    count = bySignature.size();
  }

  /** How many identities it gave. */
  int count() {
    return count;
  }

  /** What the kernel's table of prefixes holds, sorted. */
  List<Cidr> cidrs() {
    return cidrs;
  }

  /** Identities of addresses in a block that was told apart, ascending. */
  int[] identities(Peer.Addresses block) {
    return identities.getOrDefault(placeless(block), new int[0]);
  }

  /**
   * The node's own addresses are not known here; a block that holds its loopback means them too.
   */
  static boolean holdsNode(Peer.Addresses block) {
    return holds(block, new Block(Address.LOOPBACK4, 128))
        || holds(block, new Block(Address.LOOPBACK6, 128));
  }

  private static Peer.Addresses placeless(Peer.Addresses block) {
    return new Peer.Addresses(
        block.block(),
        block.except().stream().sorted(ORDER).distinct().toList(),
        new Position("", 0, 0));
  }

  private static boolean holds(Peer.Addresses peer, Block prefix) {
    return peer.block().contains(prefix)
        && peer.except().stream().noneMatch(e -> e.contains(prefix));
  }
}
