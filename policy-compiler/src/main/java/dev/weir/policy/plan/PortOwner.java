// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.plan;

/**
 * Who alone may hold a port, in the node's own network namespace.
 *
 * @param protocol transport
 * @param port number
 * @param workload index of the owner
 */
public record PortOwner(Protocol protocol, int port, int workload) {}
