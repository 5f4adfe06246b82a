// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.identity;

/** A certificate that proves no identity; the message says which rule it breaks. */
final class NotAnSvidException extends Exception {

  NotAnSvidException(String message) {
    super(message);
  }

  NotAnSvidException(String message, Throwable cause) {
    super(message, cause);
  }
}
