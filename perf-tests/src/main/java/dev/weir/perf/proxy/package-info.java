// SPDX-License-Identifier: Apache-2.0

/**
 * CPU and memory of HTTP proxies.
 *
 * <p>Starting points: {@link ProxyBench}, {@link Contender}.
 */
@NullMarked
package dev.weir.perf.proxy;

import org.jspecify.annotations.NullMarked;
