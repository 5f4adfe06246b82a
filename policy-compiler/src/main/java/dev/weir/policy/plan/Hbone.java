// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.plan;

import java.util.List;

/**
 * Connections from node to node: within streams of HTTP/2, within mutual TLS (HBONE).
 *
 * @param port at which tunnels of other nodes are awaited, on every address of this node
 * @param account {@code NAMESPACE/ACCOUNT} that this node shows to whom tunnels of others lead;
 *     empty when each tunnel is for one account, which it names
 * @param peers nodes to which tunnels are made, and pods that take them themselves
 * @param through workloads that are reached over TCP by a tunnel, ascending, and by nothing else; a
 *     pod that takes tunnels itself has one for each of its addresses
 * @param identities names of key pairs that travel beside the plan ({@link TlsKeyPair#name}) and
 *     are of service accounts
 * @param authorities certificates of whom to believe besides the files of identities, in PEM
 */
public record Hbone(
    int port,
    String account,
    List<Peer> peers,
    List<Through> through,
    List<String> identities,
    List<String> authorities) {

  /** Port of HBONE, Istio's. */
  public static final int PORT = 15008;

  /** Copies the lists. */
  public Hbone {
    peers = List.copyOf(peers);
    through = List.copyOf(through);
    identities = List.copyOf(identities);
    authorities = List.copyOf(authorities);
  }

  /** One whose identities are all files. */
  public Hbone(int port, String account, List<Peer> peers, List<Through> through) {
    this(port, account, peers, through, List.of(), List.of());
  }

  /**
   * A node or pod to which tunnels are made.
   *
   * @param name of the node, or {@code NAMESPACE/NAME} of the pod
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
