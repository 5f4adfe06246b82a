// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.authorize;

import dev.weir.policy.model.NetworkPolicy.Peer;
import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Block;
import dev.weir.policy.plan.Cidr;
import dev.weir.policy.plan.Identity;
import dev.weir.policy.plan.Reserved;
import dev.weir.policy.source.Position;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.Collection;
import java.util.Comparator;
import java.util.Deque;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;

/**
 * Cuts outside addresses into identities: they are one when every block holds all of them or none.
 * The region of a prefix is what no longer prefix takes from it, so it lies in a block when the
 * prefix does.
 */
final class OutsideBlocks {

  private static final Comparator<Block> ORDER =
      Comparator.comparing(Block::address).thenComparingInt(Block::length);

  /** Blocks looked at for prefixes: blocks that overlap each other by thousands are no policy. */
  private static final int MAX_WORK = 1 << 24;

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
    Map<Block, IntList> written = new HashMap<>();
    Map<Block, IntList> excepted = new HashMap<>();
    List<IntList> members = new ArrayList<>();
    for (int b = 0; b < distinct.size(); b++) {
      written.computeIfAbsent(distinct.get(b).block(), k -> new IntList()).add(b);
      for (Block except : distinct.get(b).except()) {
        excepted.computeIfAbsent(except, k -> new IntList()).add(b);
      }
      members.add(new IntList());
    }
    Map<Members, Integer> bySignature = new LinkedHashMap<>();
    // In this order a prefix comes after those that it lies in, and those are nested.
    Deque<Block> around = new ArrayDeque<>();
    int work = 0;
    for (Block prefix : prefixes) {
      while (!around.isEmpty() && !encloses(around.getLast(), prefix)) {
        around.removeLast();
      }
      around.addLast(prefix);
      BitSet in = new BitSet();
      BitSet out = new BitSet();
      for (Block outer : around) {
        if (outer.contains(prefix)) {
          work += set(in, written.get(outer)) + set(out, excepted.get(outer));
        }
      }
      in.andNot(out);
      int identity = Reserved.OUTSIDE.index();
      if (!in.isEmpty()) {
        int[] signature = in.stream().toArray();
        identity =
            bySignature.computeIfAbsent(new Members(signature), k -> first + bySignature.size());
        for (int b : signature) {
          members.get(b).add(identity);
        }
      }
      cidrs.add(new Cidr(prefix.address(), prefix.length(), identity));
      if (bySignature.size() > Identity.MAX || work > MAX_WORK) {
        // More than a plan has room for; its author is told so.
        count = Identity.MAX + 1;
        return;
      }
    }
    for (int b = 0; b < distinct.size(); b++) {
      identities.put(distinct.get(b), members.get(b).toSet());
    }
    count = bySignature.size();
  }

  /** Whether one prefix lies in another, as the kernel's table sees it: IPv4 lies in ::/0 there. */
  private static boolean encloses(Block outer, Block inner) {
    return outer.length() <= inner.length()
        && inner.address().prefix(outer.length()).equals(outer.address());
  }

  private static int set(BitSet bits, @Nullable IntList members) {
    if (members == null) {
      return 0;
    }
    for (int i = 0; i < members.size(); i++) {
      bits.set(members.get(i));
    }
    return members.size();
  }

  /** Whether it cut by these blocks. */
  boolean tells(Collection<Peer.Addresses> blocks) {
    Set<Peer.Addresses> others = new HashSet<>();
    blocks.forEach(block -> others.add(placeless(block)));
    return identities.keySet().equals(others);
  }

  /** How many identities it gave; more than a plan has room for when it gave up. */
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

  /** The same block, wherever it was written. */
  static Peer.Addresses placeless(Peer.Addresses block) {
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
