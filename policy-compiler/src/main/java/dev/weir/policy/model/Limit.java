// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import dev.weir.policy.source.Position;

/**
 * Something that is well said and not done. It matters only where the object is used: a route that
 * belongs to somebody else may say what it likes.
 *
 * @param never no later version will do it either, so that no question about it has an answer
 * @param message what is not done
 * @param remedy what to do instead; empty when it is only not done yet
 * @param at where
 * @param field path, for messages
 */
public record Limit(boolean never, String message, String remedy, Position at, String field) {}
