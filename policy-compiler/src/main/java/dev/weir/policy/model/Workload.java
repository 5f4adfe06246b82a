// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.source.Position;
import java.util.List;
import java.util.Optional;

/**
 * A {@code weir.dev/v1alpha1 Workload}: something that runs on this node in a cgroup of its own.
 *
 * @param meta its labels are what selectors see
 * @param serviceAccount empty when none
 * @param cgroup path from the cgroup2 root
 * @param address its own; empty when it lives on this node's loopback
 * @param ports it listens on
 * @param handsOutSockets other workloads may use sockets it made
 */
public record Workload(
    Meta meta,
    String serviceAccount,
    Located<String> cgroup,
    Optional<Located<Address>> address,
    List<Port> ports,
    boolean handsOutSockets)
    implements Resource {
  /** Copies the list. */
  public Workload {
    ports = List.copyOf(ports);
  }

  @Override
  public String kind() {
    return "Workload";
  }

  /**
   * A port it listens on.
   *
   * @param name by which policies and services may refer to it; empty when it has none
   * @param port number
   * @param protocol transport
   * @param at where
   */
  public record Port(String name, int port, Protocol protocol, Position at) {}
}
