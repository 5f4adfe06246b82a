// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Protocol;

/**
 * An open connection that was ended because the generation in force does not allow it, or a socket
 * to which nothing comes any more because its port is another workload's.
 *
 * @param source stable number
 * @param destination stable number
 * @param port as judged
 * @param protocol transport
 * @param local address of the side that was ended
 * @param localPort of that side
 * @param remote address of its peer
 * @param remotePort of its peer
 * @param accepted whether the side that was ended is the one that was called
 * @param waited whether it is such a socket: {@code source} held the port of {@code destination}
 * @param rule stable number of the rule that refuses it
 * @param reason why
 */
public record Revoked(
    int source,
    int destination,
    int port,
    Protocol protocol,
    Address local,
    int localPort,
    Address remote,
    int remotePort,
    boolean accepted,
    boolean waited,
    int rule,
    Reason reason) {}
