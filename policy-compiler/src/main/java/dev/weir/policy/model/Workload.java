// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.source.Position;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;

/**
 * Something that runs: a {@code weir.dev/v1alpha1 Workload} in a cgroup of its own on this node, or
 * the pods of one of Kubernetes' kinds, of which nothing says where they are.
 *
 * @param meta its labels are what selectors see; of a kind with a pod template those of the
 *     template
 * @param kind {@code Workload}, {@code Pod}, {@code Deployment}, ...
 * @param controller who made it; empty when nobody did
 * @param serviceAccount empty when none
 * @param cgroup path from the cgroup2 root; empty when it has no place on this node
 * @param socketCgroups of the systemd socket units that make its sockets: they are its own places
 *     as well
 * @param addresses its own, of one or two families; empty when it lives on this node's loopback, or
 *     elsewhere and nothing says where. Addresses of what runs elsewhere are only believed when
 *     {@code Mesh.trustPodAddresses} says so
 * @param ports it listens on
 * @param handsOutSockets other workloads may use sockets it made
 * @param hostNetwork a pod in its node's network namespace: it has no address of its own, and
 *     nobody but who looks at cgroups can tell it from its node
 */
public record Workload(
    Meta meta,
    String kind,
    Optional<Controller> controller,
    String serviceAccount,
    Optional<Located<String>> cgroup,
    List<Located<String>> socketCgroups,
    List<Located<Address>> addresses,
    List<Port> ports,
    boolean handsOutSockets,
    boolean hostNetwork)
    implements Resource {
  /** Copies the lists. */
  public Workload {
    socketCgroups = List.copyOf(socketCgroups);
    addresses = List.copyOf(addresses);
    ports = List.copyOf(ports);
  }

  /** The same with another controller. */
  public Workload ownedBy(Optional<Controller> owner) {
    return new Workload(
        meta,
        kind,
        owner,
        serviceAccount,
        cgroup,
        socketCgroups,
        addresses,
        ports,
        handsOutSockets,
        hostNetwork);
  }

  /** The first of its own addresses. */
  public Optional<Located<Address>> address() {
    return addresses.stream().findFirst();
  }

  /** Every cgroup that is its own: where it runs, then where its sockets are made. */
  public List<Located<String>> cgroups() {
    return cgroup.isEmpty() || socketCgroups.isEmpty()
        ? cgroup.stream().toList()
        : Stream.concat(cgroup.stream(), socketCgroups.stream()).toList();
  }

  /** Whether anything says that it runs on this node. */
  public boolean onThisNode() {
    return cgroup.isPresent();
  }

  /**
   * As whom people know it: {@code namespace/name[Kind]} of its controller, else its own. A
   * controller whose kind is not given is called a Pod.
   */
  public String peerName() {
    return meta.namespace()
        + "/"
        + controller
            .map(c -> c.name() + "[" + c.kind() + "]")
            .orElse(meta.name() + "[" + kind + "]");
  }

  /**
   * The owner reference with {@code controller: true}.
   *
   * @param kind of the owner, {@code Pod} when the file gives none
   * @param name of the owner
   */
  public record Controller(String kind, String name) {}

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
