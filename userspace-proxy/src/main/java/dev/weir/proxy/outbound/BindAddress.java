// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.outbound;

import dev.weir.policy.plan.Address;
import java.util.Optional;

/**
 * Where a listening socket is bound.
 *
 * @param address empty for all, both families
 * @param port number
 */
public record BindAddress(Optional<Address> address, int port) {

  /** For people: {@code *:8443}, {@code 127.0.0.1:15001}, {@code [::1]:15001}. */
  @Override
  public String toString() {
    return address.map(a -> a.isV4() ? a.toString() : "[" + a + "]").orElse("*") + ":" + port;
  }
}
