// SPDX-License-Identifier: Apache-2.0

/** Every connection that policies allow, and how two sets of files differ in that. */
@NullMarked
package dev.weir.policy.connectivity;

import org.jspecify.annotations.NullMarked;
