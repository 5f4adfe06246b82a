// SPDX-License-Identifier: Apache-2.0

/**
 * Samples, figures and reports: what is common to everything that is measured.
 *
 * <p>Starting points: {@link Samples}, {@link Section}, {@link Report}.
 */
@NullMarked
package dev.weir.perf.measure;

import org.jspecify.annotations.NullMarked;
