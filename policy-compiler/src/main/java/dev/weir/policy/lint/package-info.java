// SPDX-License-Identifier: Apache-2.0

/** What is well said and probably not meant. */
@NullMarked
package dev.weir.policy.lint;

import org.jspecify.annotations.NullMarked;
