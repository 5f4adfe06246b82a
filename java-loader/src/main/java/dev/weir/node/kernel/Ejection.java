// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import dev.weir.policy.plan.Address;
import java.time.Duration;

/**
 * A backend that a source's connects pass over for a while, because it did not answer them.
 *
 * @param source stable number of who has met it
 * @param address of the backend
 * @param port of the backend
 * @param left until it is tried again
 * @param times how often it was ejected without a long rest between; as many times the base time
 */
public record Ejection(int source, Address address, int port, Duration left, int times) {}
