// SPDX-License-Identifier: Apache-2.0

/**
 * The agent: policy files into the kernel and to the proxy, for as long as it runs.
 *
 * <p>Nothing depends on its life. What it has put in force stays in force when it is killed, the
 * proxy goes on serving, and the next agent adopts both.
 *
 * <p>Starting points: {@link Agent}, {@link ProxySupervisor}, {@link ControlClient}.
 */
@NullMarked
package dev.weir.node.agent;

import org.jspecify.annotations.NullMarked;
