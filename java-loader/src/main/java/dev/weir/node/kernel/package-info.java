// SPDX-License-Identifier: Apache-2.0

/**
 * The mesh node: a plan turned into what the kernel holds, one generation after another.
 *
 * <p>Everything here can be killed at any moment: what is in force is decided by one 8-byte store,
 * and whoever comes next adopts what is pinned ({@code docs/protocols.md}).
 *
 * <p>Starting point: {@link KernelNode}.
 */
@NullMarked
package dev.weir.node.kernel;

import org.jspecify.annotations.NullMarked;
