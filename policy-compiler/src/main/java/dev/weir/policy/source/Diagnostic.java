// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.source;

import java.util.Optional;

/**
 * Something to tell whoever wrote a file.
 *
 * @param severity an error refuses the whole input
 * @param at where
 * @param field path of the field within its object, as {@code spec.ingress[0].ports[1].port}; empty
 *     when no field is meant
 * @param message what is wrong
 * @param remedy what to do about it; empty when the message says it all
 * @param lint what kind of finding it is, for who wants to hear no more of it; absent when that is
 *     not to be had
 */
public record Diagnostic(
    Severity severity,
    Position at,
    String field,
    String message,
    String remedy,
    Optional<Lint> lint) {

  /** How bad it is. */
  public enum Severity {
    /** Nothing of the input is used. */
    ERROR,
    /** The input is used; somebody should look. */
    WARNING
  }

  /** {@code file:line:column: field: message (remedy) [lint]}. */
  @Override
  public String toString() {
    return at
        + ": "
        + (field.isEmpty() ? "" : field + ": ")
        + message
        + (remedy.isEmpty() ? "" : " (" + remedy + ")")
        + lint.map(l -> " [" + l.label() + "]").orElse("");
  }
}
