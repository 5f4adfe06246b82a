// SPDX-License-Identifier: Apache-2.0

/** Services and routes to backends, slots and tiers. */
@NullMarked
package dev.weir.policy.steer;

import org.jspecify.annotations.NullMarked;
