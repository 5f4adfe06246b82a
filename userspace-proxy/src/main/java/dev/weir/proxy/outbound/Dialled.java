// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.outbound;

import dev.weir.policy.plan.Hbone;
import dev.weir.policy.plan.ProxyPlan.BackendTls;
import java.util.Optional;

/**
 * What endpoints are told apart by, and so connections: nobody is given one that was made to
 * somebody else's satisfaction.
 *
 * @param at where
 * @param tls how
 * @param tunnel by which tunnel; empty without one
 */
record Dialled(BindAddress at, Optional<BackendTls> tls, Optional<TunnelEnd> tunnel) {
  /**
   * Where a tunnel leads and who is there.
   *
   * @param peer the node
   * @param shown principal that must be shown there
   * @param account {@code NAMESPACE/ACCOUNT} whose certificate is asked for
   */
  record TunnelEnd(Hbone.Peer peer, String shown, String account) {}
}
