// SPDX-License-Identifier: Apache-2.0

/** Tests of what needs no socket. */
@NullMarked
package dev.weir.proxy.resilience;

import org.jspecify.annotations.NullMarked;
