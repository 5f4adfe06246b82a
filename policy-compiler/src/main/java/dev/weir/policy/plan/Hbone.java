// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.plan;

import java.util.List;

/**
 * Connections from node to node: within streams of HTTP/2, within mutual TLS (HBONE).
 *
 * @param port at which tunnels of other nodes are awaited, on every address of this node
 * @param account {@code NAMESPACE/ACCOUNT} that this node shows to whom tunnels of others lead;
 *     empty when each tunnel is for one account, which it names
 * @param peers nodes to which tunnels are made
 * @param through workloads that are reached over TCP by a tunnel, ascending, and by nothing else
 */
public record Hbone(int port, String account, List<Peer> peers, List<Through> through) {

  /** Port of HBONE, Istio's. */
  public static final int PORT = 15008;

  /** Copies the lists. */
  public Hbone {
    peers = List.copyOf(peers);
    through = List.copyOf(through);
  }

  /**
   * A node to which tunnels are made.
   *
   * @param name of the node
   * @param address it awaits them at
   * @param port it awaits them at
   * @param account {@code NAMESPACE/ACCOUNT} that it shows; empty when it shows that of whom the
   *     connection is for
   */
  public record Peer(String name, Address address, int port, String account) {}

  /**
   * A workload on another node.
   *
   * @param workload index into {@link Plan#workloads}
   * @param peer index into {@link Hbone#peers}
   */
  public record Through(int workload, int peer) {}
}
