// SPDX-License-Identifier: Apache-2.0

/**
 * Bytes to documents: YAML or JSON trees in which every node knows its file, line and column.
 *
 * <p>Nothing here knows a kind. A hostile file is a clear error in bounded time and memory: size,
 * depth and what aliases expand to are bounded ({@link dev.weir.policy.source.DocumentReader}).
 */
@NullMarked
package dev.weir.policy.source;

import org.jspecify.annotations.NullMarked;
