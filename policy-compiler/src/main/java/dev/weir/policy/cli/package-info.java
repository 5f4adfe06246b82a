// SPDX-License-Identifier: Apache-2.0

/** The offline commands: {@code check}, {@code explain}, {@code compile}. */
@NullMarked
package dev.weir.policy.cli;

import org.jspecify.annotations.NullMarked;
