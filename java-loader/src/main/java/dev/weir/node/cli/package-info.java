// SPDX-License-Identifier: Apache-2.0

/**
 * The command line: {@code weir up}, {@code apply}, {@code confirm}, {@code down}, {@code status},
 * {@code metrics}, {@code ca}, and the compiler's offline commands.
 *
 * <p>Starting point: {@link Weir}.
 */
@NullMarked
package dev.weir.node.cli;

import org.jspecify.annotations.NullMarked;
