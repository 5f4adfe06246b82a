// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.http;

import dev.weir.policy.plan.Address;
import dev.weir.proxy.outbound.BindAddress;
import java.util.OptionalInt;

/** Where a connection came from and what for: what stays the same over generations. */
public sealed interface Origin {

  /** The address of the other end of the socket. */
  Address peer();

  /**
   * Handed over by the kernel.
   *
   * @param peer other end of the socket
   * @param destination as the application asked for it
   * @param source stable number of its workload
   */
  record Workload(Address peer, BindAddress destination, int source) implements Origin {}

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
