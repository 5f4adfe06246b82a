// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.plan;

/**
 * A real address that services lead to.
 *
 * @param address of the workload; loopback for one that lives on this node without an address of
 *     its own
 * @param port it listens on
 * @param workload index of the workload behind it; {@link Reserved#OUTSIDE} for an address that
 *     belongs to none
 * @param identity that verdicts about it name: the workload's, or of an outside address that of the
 *     smallest block it lies in
 */
public record Backend(Address address, int port, int workload, int identity) {}
