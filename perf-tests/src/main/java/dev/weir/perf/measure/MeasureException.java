// SPDX-License-Identifier: Apache-2.0
package dev.weir.perf.measure;

/** Something could not be measured; the message says what, why and what to do. */
public final class MeasureException extends Exception {

  /** With a message for the user. */
  public MeasureException(String message) {
    super(message);
  }

  /** With a message for the user and what led to it. */
  public MeasureException(String message, Throwable cause) {
    super(message, cause);
  }
}
