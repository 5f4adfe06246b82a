// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.listen;

import dev.weir.policy.plan.Address;
import io.netty.channel.Channel;
import java.util.Optional;

/** Tells where an accepted connection wanted to go, and whose it is. */
@FunctionalInterface
public interface OriginSource {

  /**
   * Asks about a connection that was just accepted.
   *
   * @return empty when nothing was handed over for it
   */
  Optional<Handover> read(Channel channel);

  /**
   * What was handed over.
   *
   * @param destination as the application asked for it
   * @param port as the application asked for it
   * @param source stable number of its workload
   */
  record Handover(Address destination, int port, int source) {}
}
