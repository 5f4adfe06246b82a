// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.json;

import dev.weir.policy.source.Position;

/** JSON that is not well-formed, or does not hold what was asked for. */
public final class JsonException extends IllegalArgumentException {

  private final transient Position at;

  JsonException(Position at, String field, String message) {
    super(at + ": " + (field.isEmpty() ? "" : field + ": ") + message);
    this.at = at;
  }

  /** Where the mistake is. */
  public Position at() {
    return at;
  }
}
