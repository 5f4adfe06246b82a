// SPDX-License-Identifier: Apache-2.0

/**
 * The proxy's process.
 *
 * <p>Arrows between its packages: {@code control → listen → http → outbound → upstream, tls,
 * observe → loop}. Starting points: {@link ProxyMain}, {@link
 * dev.weir.proxy.http.ServerConnection}, {@link dev.weir.proxy.outbound.Generation}.
 */
@NullMarked
package dev.weir.proxy;

import org.jspecify.annotations.NullMarked;
