// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.upstream;

import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Hbone;

/** Makes what reaches backends on other nodes. */
@FunctionalInterface
public interface Transports {

  /**
   * A way to one backend.
   *
   * @param peer node it is on
   * @param shown {@code TRUSTDOMAIN/ns/NAMESPACE/sa/ACCOUNT} that must be shown there
   * @param asked {@code NAMESPACE/ACCOUNT} whose certificate is asked for
   * @param address of the backend
   * @param port of the backend
   */
  Transport to(Hbone.Peer peer, String shown, String asked, Address address, int port);
}
