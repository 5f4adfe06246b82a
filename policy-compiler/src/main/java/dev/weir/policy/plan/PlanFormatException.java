// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.plan;

import java.io.IOException;

/**
 * Bytes that are not a plan, or not one this version can read; the message says which and where.
 */
public final class PlanFormatException extends IOException {

  /** With what is wrong. */
  public PlanFormatException(String message) {
    super(message);
  }
}
