// SPDX-License-Identifier: Apache-2.0

/** What TrafficPolicies ask for: how backends do, and how much of anything may be at a time. */
@NullMarked
package dev.weir.proxy.resilience;

import org.jspecify.annotations.NullMarked;
