// SPDX-License-Identifier: Apache-2.0

/**
 * A second look at the bytes of HTTP/1.1 messages, for what a decoder would repair: what one reader
 * repairs, the next may read otherwise.
 */
@NullMarked
package dev.weir.proxy.wire;

import org.jspecify.annotations.NullMarked;
