// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.plan;

/**
 * A set of workloads that no policy tells apart, or a block of outside addresses, or a service that
 * leads to the proxy.
 *
 * @param description for people: labels, block or service name
 * @param ingressIsolated only what a row allows may reach it
 * @param egressIsolated it may reach only what a row allows
 * @param ingressRule rule that isolates it; 0 when none but {@code Mesh}
 * @param egressRule rule that isolates it; 0 when none but {@code Mesh}
 */
public record Identity(
    String description,
    boolean ingressIsolated,
    boolean egressIsolated,
    int ingressRule,
    int egressRule) {

  /**
   * Index of the first identity that is not reserved; those between are unused and not isolated.
   */
  public static final int FIRST = 8;

  /** Largest index: 14 bits of a verdict row. */
  public static final int MAX = (1 << 14) - 1;
}
