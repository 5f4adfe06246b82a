// SPDX-License-Identifier: Apache-2.0

/**
 * The kinds as users wrote them: one record per kind, with the position of whatever an error may
 * have to name.
 *
 * <p>{@link dev.weir.policy.model.ResourceReader} makes them of documents and refuses what the
 * kind's API would refuse. It resolves nothing: what a selector selects is {@code cluster}'s.
 */
@NullMarked
package dev.weir.policy.model;

import org.jspecify.annotations.NullMarked;
