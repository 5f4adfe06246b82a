// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.plan;

/**
 * A real address that services lead to.
 *
 * @param address of the workload; loopback for one that lives on this node without an address of
 *     its own
 * @param port it listens on
 * @param workload index of the workload behind it
 */
public record Backend(Address address, int port, int workload) {}
