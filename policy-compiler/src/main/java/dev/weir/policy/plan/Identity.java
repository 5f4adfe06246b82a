// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.plan;

import java.util.List;

/**
 * A set of workloads that no policy tells apart, or a block of outside addresses, or a service that
 * leads to the proxy.
 *
 * @param description for people: labels, block or service name
 * @param ingressIsolated only what a row allows may reach it
 * @param egressIsolated it may reach only what a row allows
 * @param ingressAudit isolated by policies in audit alone: what no row allows is made, and reported
 * @param egressAudit the same as a source
 * @param ingressRule rule that isolates it; 0 when none but {@code Mesh}
 * @param egressRule rule that isolates it; 0 when none but {@code Mesh}
 * @param strict its TCP ports, ascending, that a peer on another node may reach by mutual TLS only
 */
public record Identity(
    String description,
    boolean ingressIsolated,
    boolean egressIsolated,
    boolean ingressAudit,
    boolean egressAudit,
    int ingressRule,
    int egressRule,
    List<StrictPorts> strict) {

  /** Copies the list. */
  public Identity {
    strict = List.copyOf(strict);
  }

  /** One that nothing in audit and no PeerAuthentication is about. */
  public Identity(
      String description,
      boolean ingressIsolated,
      boolean egressIsolated,
      int ingressRule,
      int egressRule) {
    this(
        description,
        ingressIsolated,
        egressIsolated,
        false,
        false,
        ingressRule,
        egressRule,
        List.of());
  }

  /**
   * Ports and the PeerAuthentication that demands mutual TLS on them.
   *
   * @param first lowest port
   * @param last highest port, inclusive
   * @param rule index
   */
  public record StrictPorts(int first, int last, int rule) {}

  /**
   * Index of the first identity that is not reserved; those between are unused and not isolated.
   */
  public static final int FIRST = 8;

  /** Largest index: 14 bits of a verdict row. */
  public static final int MAX = (1 << 14) - 1;
}
