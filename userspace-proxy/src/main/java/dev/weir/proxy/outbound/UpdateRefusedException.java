// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.outbound;

/** An update that cannot be put in force; the message says why and what to do. */
public final class UpdateRefusedException extends Exception {

  /** With what is wrong and what to do. */
  public UpdateRefusedException(String message) {
    super(message);
  }
}
