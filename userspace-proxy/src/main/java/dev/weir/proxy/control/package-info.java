// SPDX-License-Identifier: Apache-2.0

/** The proxy's Unix socket: a new plan in, status and metrics out. */
@NullMarked
package dev.weir.proxy.control;

import org.jspecify.annotations.NullMarked;
