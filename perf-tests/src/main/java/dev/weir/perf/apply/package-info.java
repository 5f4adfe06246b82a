// SPDX-License-Identifier: Apache-2.0

/**
 * How long a user waits for a policy to be in force.
 *
 * <p>Starting point: {@link ApplyBench}.
 */
@NullMarked
package dev.weir.perf.apply;

import org.jspecify.annotations.NullMarked;
