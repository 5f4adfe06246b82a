// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import dev.weir.policy.source.Position;

/**
 * A value and where it was written.
 *
 * @param value as written
 * @param at where
 * @param field path of the field, for messages
 */
public record Located<T>(T value, Position at, String field) {}
