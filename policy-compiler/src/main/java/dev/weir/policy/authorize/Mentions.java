// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.authorize;

import dev.weir.policy.cluster.Cluster;
import dev.weir.policy.model.NetworkPolicy;
import dev.weir.policy.model.NetworkPolicy.Clause;
import dev.weir.policy.model.NetworkPolicy.Peer;
import dev.weir.policy.model.NetworkPolicy.Port;
import dev.weir.policy.model.PortReference;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * What NetworkPolicies tell apart, and how often: sets of workloads, ports, names of ports, blocks
 * of addresses. Counted, so that a policy can be taken away again without asking all the others.
 */
final class Mentions {

  private final Map<Members, Integer> sets;
  private final Map<Integer, Integer> ranges;
  private final Map<String, Integer> names;
  private final Map<Peer.Addresses, Integer> blocks;

  Mentions() {
    sets = new HashMap<>();
    ranges = new HashMap<>();
    names = new HashMap<>();
    blocks = new HashMap<>();
  }

  private Mentions(Mentions from) {
    sets = new HashMap<>(from.sets);
    ranges = new HashMap<>(from.ranges);
    names = new HashMap<>(from.names);
    blocks = new HashMap<>(from.blocks);
  }

  /** A copy that can be changed without changing this one. */
  Mentions copy() {
    return new Mentions(this);
  }

  /** A policy says what it says. */
  void add(NetworkPolicy policy, Cluster cluster) {
    count(policy, cluster, 1);
  }

  /** A policy no longer says it. */
  void remove(NetworkPolicy policy, Cluster cluster) {
    count(policy, cluster, -1);
  }

  private void count(NetworkPolicy policy, Cluster cluster, int by) {
    String namespace = policy.meta().namespace();
    count(sets, cluster.select(namespace, policy.podSelector()), by);
    count(namespace, policy.ingress(), policy.isolatesIngress(), cluster, by);
    count(namespace, policy.egress(), policy.isolatesEgress(), cluster, by);
  }

  private void count(
      String namespace, List<Clause> clauses, boolean isolates, Cluster cluster, int by) {
    for (Clause clause : clauses) {
      for (Peer peer : clause.peers()) {
        switch (peer) {
          case Peer.Pods pods -> {
            if (isolates) {
              count(sets, cluster.select(namespace, pods), by);
            }
          }
          case Peer.Addresses block -> count(blocks, OutsideBlocks.placeless(block), by);
        }
      }
      clause.ports().forEach(port -> count(port, by));
    }
  }

  private static void count(Map<Members, Integer> sets, int[] workloads, int by) {
    if (workloads.length > 0) {
      count(sets, new Members(workloads), by);
    }
  }

  private void count(Port port, int by) {
    if (port.port().isPresent()) {
      switch (port.port().get()) {
        case PortReference.Named named -> count(names, named.name(), by);
        case PortReference.Numbers range -> {
          if (!PortSpace.everyPort(range)) {
            count(ranges, range.first() << 16 | range.last(), by);
          }
        }
      }
    }
  }

  private static <K> void count(Map<K, Integer> counts, K key, int by) {
    Integer before = counts.get(key);
    int now = (before == null ? 0 : before) + by;
    if (now == 0) {
      counts.remove(key);
    } else {
      counts.put(key, now);
    }
  }

  /** Sets of workloads that a policy selects, or a clause. */
  Collection<Members> sets() {
    return sets.keySet();
  }

  /** Ranges of ports: the first in the upper 16 bits, the last in the lower. */
  Set<Integer> ranges() {
    return ranges.keySet();
  }

  /** Names of ports. */
  Set<String> names() {
    return names.keySet();
  }

  /** Blocks of outside addresses. */
  Set<Peer.Addresses> blocks() {
    return blocks.keySet();
  }

  /** Whether both name the same sets of workloads and the same names of ports. */
  boolean sameWorkloads(Mentions other) {
    return sets.keySet().equals(other.sets.keySet()) && names().equals(other.names());
  }
}
