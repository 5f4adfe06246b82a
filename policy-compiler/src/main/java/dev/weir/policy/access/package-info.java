// SPDX-License-Identifier: Apache-2.0

/** AuthorizationPolicies as records of the plan: what each asks, and about whom it is. */
@NullMarked
package dev.weir.policy.access;

import org.jspecify.annotations.NullMarked;
