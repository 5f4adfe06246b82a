// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.authorize;

import dev.weir.policy.cluster.Cluster;
import dev.weir.policy.model.Mesh;
import dev.weir.policy.model.Workload;
import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Cidr;
import dev.weir.policy.plan.Hbone;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.Reserved;
import dev.weir.policy.plan.Verdict;
import dev.weir.policy.plan.Verdict.Decision;
import java.util.BitSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.TreeSet;

/**
 * Rows about connections that go from node to node by tunnel. Whoever may reach over TCP what is
 * reached by tunnel may do so as far as the proxy, which makes the tunnel; the proxy may dial the
 * peers, and whoever tunnels of others may be for.
 */
final class TunnelRows {

  private final Cluster cluster;
  private final IdentityPartition identities;
  private final Optional<Mesh.Tunnels> tunnels;
  private final BitSet elsewhere = new BitSet();

  /** Of the workloads of a cluster. */
  TunnelRows(Cluster cluster, IdentityPartition identities) {
    this.cluster = cluster;
    this.identities = identities;
    this.tunnels = tunnels(cluster);
    if (tunnels.isPresent()) {
      for (int w = 0; w < cluster.workloads().size(); w++) {
        if (cluster.reachedByTunnel(cluster.workloads().get(w))) {
          elsewhere.set(identities.identityOf(w));
        }
      }
    }
  }

  private static Optional<Mesh.Tunnels> tunnels(Cluster cluster) {
    return cluster.mesh().flatMap(Mesh::tunnels);
  }

  /** Whether there are none. */
  boolean isEmpty() {
    return tunnels.isEmpty();
  }

  /** Identities of workloads that are reached by tunnel. */
  int[] elsewhere() {
    return elsewhere.stream().toArray();
  }

  /** Whether workloads of an identity are reached by tunnel. */
  boolean elsewhere(int identity) {
    return elsewhere.get(identity);
  }

  /** Who is reached by tunnel is told apart from who is not, and who listens where. */
  static void tellApart(Cluster cluster, IdentityPartition partition) {
    if (tunnels(cluster).isEmpty()) {
      return;
    }
    IntList reached = new IntList();
    IntList discovered = new IntList();
    Map<Integer, IntList> byPort = new TreeMap<>();
    for (int w = 0; w < cluster.workloads().size(); w++) {
      Workload workload = cluster.workloads().get(w);
      if (cluster.reachedByTunnel(workload)) {
        reached.add(w);
        if (cluster.discovered(workload)) {
          discovered.add(w); // Which the proxy may dial, and not those behind a peer.
        }
      } else if (workload.onThisNode()) {
        for (Workload.Port port : workload.ports()) {
          if (port.protocol() == Protocol.TCP) {
            byPort.computeIfAbsent(port.port(), k -> new IntList()).add(w);
          }
        }
      }
    }
    partition.tellApart(reached.toSet());
    partition.tellApart(discovered.toSet());
    byPort.values().forEach(workloads -> partition.tellApart(workloads.toSet()));
  }

  /** Ports that these rows name must have classes. */
  static void name(Cluster cluster, PortSpace ports) {
    tunnels(cluster)
        .ifPresent(
            t -> {
              ports.single(t.port().value());
              t.peers().forEach(peer -> ports.single(peer.port()));
              if (t.ambient()) {
                ports.single(Hbone.PORT);
              }
              for (Workload workload : cluster.workloads()) {
                if (workload.onThisNode()) {
                  workload.ports().forEach(port -> ports.single(port.port()));
                }
              }
            });
  }

  /**
   * What was found about a destination, led to the proxy: over TCP nobody gets there otherwise.
   *
   * @param found rows towards it
   * @param rows to add to
   */
  void lead(RowTable found, int destination, boolean hostGoverned, RowTable rows) {
    TreeSet<Integer> named = new TreeSet<>();
    for (long row : found.sorted()) {
      Verdict verdict = Verdict.ofRow(row);
      if (verdict.protocol() == Protocol.TCP && verdict.port() == 0) {
        named.add(verdict.source());
      }
    }
    for (long row : found.sorted()) {
      Verdict verdict = Verdict.ofRow(row);
      boolean made = verdict.decision() != Decision.REFUSE;
      if (verdict.source() == Reserved.HOST.index() && !hostGoverned) {
        continue;
      }
      if (verdict.protocol() == Protocol.ANY && made && !named.contains(verdict.source())) {
        rows.put(
            verdict.source(),
            destination,
            PortCodes.code(Protocol.TCP, 0),
            Decision.INSPECT,
            verdict.rule());
      }
      rows.put(
          verdict.source(),
          destination,
          PortCodes.code(verdict.protocol(), verdict.port()),
          verdict.protocol() == Protocol.TCP && made ? Decision.INSPECT : verdict.decision(),
          verdict.rule());
    }
    if (!hostGoverned) {
      // Nobody judges the node's own processes, and they have no identity to show.
      rows.put(Reserved.HOST.index(), destination, PortCodes.EVERYTHING, Decision.ALLOW, 0);
    }
  }

  /**
   * What the proxy may dial: the peers, pods that were discovered where they take tunnels, and
   * whoever listens here.
   */
  void proxy(List<Cidr> cidrs, PortSpace ports, RowTable rows) {
    if (tunnels.isEmpty()) {
      return;
    }
    for (Mesh.Peer peer : tunnels.get().peers()) {
      dial(at(peer.address(), cidrs), peer.port(), ports, rows);
    }
    for (int w = 0; w < cluster.workloads().size(); w++) {
      Workload workload = cluster.workloads().get(w);
      if (cluster.discovered(workload)) {
        dial(identities.identityOf(w), Hbone.PORT, ports, rows);
      } else if (workload.onThisNode()) {
        for (Workload.Port port : workload.ports()) {
          if (port.protocol() == Protocol.TCP) {
            dial(identities.identityOf(w), port.port(), ports, rows);
          }
        }
      }
    }
  }

  private static void dial(int destination, int port, PortSpace ports, RowTable rows) {
    rows.put(
        Reserved.PROXY.index(),
        destination,
        PortCodes.code(Protocol.TCP, ports.classOf(port)),
        Decision.ALLOW,
        0);
  }

  /** As the kernel finds who has an address: a workload, else a block. */
  private int at(Address address, List<Cidr> cidrs) {
    for (int w = 0; w < cluster.workloads().size(); w++) {
      if (cluster.dialledAddresses(cluster.workloads().get(w)).stream()
          .anyMatch(a -> a.value().equals(address))) {
        return identities.identityOf(w);
      }
    }
    return Authorization.outside(cidrs, address);
  }
}
