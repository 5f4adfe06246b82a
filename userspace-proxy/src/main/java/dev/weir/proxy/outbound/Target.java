// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.outbound;

import dev.weir.policy.plan.Address;
import dev.weir.policy.rbac.AccessRules;
import dev.weir.proxy.observe.Peer;
import dev.weir.proxy.upstream.Endpoint;

/**
 * A backend in one generation.
 *
 * @param index among the targets of the generation, from 0
 * @param endpoint where it is
 * @param identity of its workload
 * @param address of its workload
 * @param port it listens on
 * @param peer as metrics name it
 * @param description for people
 * @param rules AuthorizationPolicies about it
 */
public record Target(
    int index,
    Endpoint endpoint,
    int identity,
    Address address,
    int port,
    Peer peer,
    String description,
    AccessRules rules) {}
