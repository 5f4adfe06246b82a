// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.plan;

/**
 * Who alone may hold a port in one network namespace.
 *
 * @param protocol transport
 * @param port number
 * @param workload index of the owner
 * @param apart in the owner's own namespace, as a pod has one; else in the node's
 */
public record PortOwner(Protocol protocol, int port, int workload, boolean apart) {

  /** A port of the node's own network namespace. */
  public PortOwner(Protocol protocol, int port, int workload) {
    this(protocol, port, workload, false);
  }
}
