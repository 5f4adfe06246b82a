// SPDX-License-Identifier: Apache-2.0

/**
 * The kernel's counters under the names that dashboards for Istio know, and refusals as log lines.
 *
 * <p>Starting points: {@link KernelMetrics}, {@link Exposition}, {@link RefusalLog}.
 */
@NullMarked
package dev.weir.node.telemetry;

import org.jspecify.annotations.NullMarked;
