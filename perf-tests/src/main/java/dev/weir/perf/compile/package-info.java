// SPDX-License-Identifier: Apache-2.0

/**
 * How long policy files take to become a plan.
 *
 * <p>Starting points: {@link CompileBench}, {@link CompileBenchmark}.
 */
@NullMarked
package dev.weir.perf.compile;

import org.jspecify.annotations.NullMarked;
