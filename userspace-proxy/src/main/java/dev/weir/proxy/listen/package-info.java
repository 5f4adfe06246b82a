// SPDX-License-Identifier: Apache-2.0

/** Ports: what is open, and who is behind an accepted connection. */
@NullMarked
package dev.weir.proxy.listen;

import org.jspecify.annotations.NullMarked;
