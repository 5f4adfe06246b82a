// SPDX-License-Identifier: Apache-2.0

/** Policies to verdicts between identities. */
@NullMarked
package dev.weir.policy.authorize;

import org.jspecify.annotations.NullMarked;
