// SPDX-License-Identifier: Apache-2.0

/** One client connection: which requests are refused, how the others are routed and forwarded. */
@NullMarked
package dev.weir.proxy.http;

import org.jspecify.annotations.NullMarked;
