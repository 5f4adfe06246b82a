// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.upstream;

import dev.weir.policy.plan.Address;
import java.util.Optional;

/**
 * In whose name a backend on another node is dialled.
 *
 * @param principal {@code TRUSTDOMAIN/ns/NAMESPACE/sa/ACCOUNT}; empty for one that has none
 * @param address that is the caller's own
 * @param baggage what its node is told of it for metrics ({@link Baggage#of}); empty for nothing
 */
public record Caller(String principal, Optional<Address> address, String baggage) {}
