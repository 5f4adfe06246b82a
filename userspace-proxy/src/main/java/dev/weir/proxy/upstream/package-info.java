// SPDX-License-Identifier: Apache-2.0

/** Connections to backends: one pool per event loop and endpoint. */
@NullMarked
package dev.weir.proxy.upstream;

import org.jspecify.annotations.NullMarked;
