// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.http;

import dev.weir.policy.plan.Address;
import dev.weir.proxy.observe.Peer;
import dev.weir.proxy.observe.Reporter;
import dev.weir.proxy.outbound.BindAddress;
import dev.weir.proxy.outbound.Generation;
import dev.weir.proxy.outbound.Source;
import io.netty.util.AsciiString;
import java.util.OptionalInt;

/** Where a connection came from and what for: what stays the same over generations. */
public sealed interface Origin {

  /** The address of the other end of the socket. */
  Address peer();

  /** The listener that it came in by, for people. */
  default String listener() {
    return switch (this) {
      case Workload workload -> "outbound";
      case Tunnel tunnel -> "tunnel";
      case Gateway gateway -> gateway.bind().toString();
    };
  }

  /** As metrics name a source that has this origin. */
  default Peer named(Source asks, Generation within) {
    return this instanceof Tunnel tunnel && tunnel.told() != tunnel.source()
        ? within.source(tunnel.told(), tunnel.principal()).orElse(asks).peer()
        : asks.peer();
  }

  /** On whose side it is counted. */
  default Reporter reporter() {
    return this instanceof Tunnel ? Reporter.DESTINATION : Reporter.SOURCE;
  }

  /**
   * Handed over by the kernel.
   *
   * @param peer other end of the socket
   * @param destination as the application asked for it
   * @param source stable number of its workload
   */
  record Workload(Address peer, BindAddress destination, int source) implements Origin {}

  /**
   * Came by a tunnel of another node, with the certificate of a workload there.
   *
   * @param peer address of that workload, else of the node
   * @param destination address and port of one of this node's workloads; without address one that
   *     has none of its own
   * @param source stable number of the workload: what decides
   * @param told stable number of the one that its node says it is, among those whom nothing that
   *     decides tells apart: whom metrics name
   * @param principal that the certificate proved: counts as long as a plan says the workload's is
   *     that one
   * @param certificate what backends are told of it
   */
  record Tunnel(
      Address peer,
      BindAddress destination,
      int source,
      int told,
      String principal,
      AsciiString certificate)
      implements Origin {}

  /**
   * Came to a gateway's port.
   *
   * @param peer other end of the socket
   * @param bind the port
   * @param tls whether clients speak TLS there
   * @param source stable number of a workload the kernel named; empty for somebody outside
   */
  record Gateway(Address peer, BindAddress bind, boolean tls, OptionalInt source)
      implements Origin {}
}
