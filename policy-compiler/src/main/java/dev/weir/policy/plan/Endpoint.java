// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.plan;

/**
 * An address that belongs to one workload.
 *
 * @param address never a loopback one
 * @param workload index
 * @param remote on another node
 */
public record Endpoint(Address address, int workload, boolean remote) {}
