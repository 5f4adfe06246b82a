// SPDX-License-Identifier: Apache-2.0

/** Certificates of listeners and how one is chosen. */
@NullMarked
package dev.weir.proxy.tls;

import org.jspecify.annotations.NullMarked;
