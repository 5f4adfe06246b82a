// SPDX-License-Identifier: Apache-2.0

/** Questions about compiled policy. */
@NullMarked
package dev.weir.policy.answer;

import org.jspecify.annotations.NullMarked;
