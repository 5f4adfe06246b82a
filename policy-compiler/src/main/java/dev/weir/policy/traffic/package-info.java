// SPDX-License-Identifier: Apache-2.0

/** What TrafficPolicies are about, and where two of them contradict each other. */
@NullMarked
package dev.weir.policy.traffic;

import org.jspecify.annotations.NullMarked;
