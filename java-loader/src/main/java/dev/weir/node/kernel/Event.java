// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Protocol;

/**
 * What a kernel program reports of one refusal (or of one move into a governed cgroup).
 *
 * @param bootNanos CLOCK_BOOTTIME, nanoseconds
 * @param generation in which it was decided
 * @param cgroup id of the process's cgroup
 * @param address destination as asked for
 * @param port destination port as asked for
 * @param protocol transport
 * @param pid thread group, in the first pid namespace
 * @param source stable workload number
 * @param destination stable workload number
 * @param rule stable rule number
 * @param hook where
 * @param reason why
 * @param audited reported only, not refused
 * @param command the thread's name
 * @param left of a process that was moved, the id of its cgroup before; 0 when that is not known
 */
public record Event(
    long bootNanos,
    long generation,
    long cgroup,
    Address address,
    int port,
    Protocol protocol,
    int pid,
    int source,
    int destination,
    int rule,
    Hook hook,
    Reason reason,
    boolean audited,
    String command,
    long left) {}
