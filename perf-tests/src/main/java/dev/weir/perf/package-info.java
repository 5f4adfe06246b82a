// SPDX-License-Identifier: Apache-2.0

/**
 * What Weir costs, measured beside what it competes with.
 *
 * <p>Starting points: {@link Bench}, the command; {@link Benchmark}, one of its parts. How it is
 * measured, and why so, is in {@code docs/benchmarks.md}.
 */
@NullMarked
package dev.weir.perf;

import org.jspecify.annotations.NullMarked;
