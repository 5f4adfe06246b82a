// SPDX-License-Identifier: Apache-2.0

/**
 * What a connection costs its client: bare, under Weir, and through a proxy.
 *
 * <p>Starting points: {@link ConnectBench}, {@link SyntheticPlan}.
 */
@NullMarked
package dev.weir.perf.connect;

import org.jspecify.annotations.NullMarked;
