// SPDX-License-Identifier: Apache-2.0

/** Who is who: selectors resolved to workloads, addresses to their owners. */
@NullMarked
package dev.weir.policy.cluster;

import org.jspecify.annotations.NullMarked;
