// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

/** A node that cannot do what was asked; the message says what is wrong and what to do. */
public final class NodeException extends RuntimeException {

  /** With a message for the user. */
  public NodeException(String message) {
    super(message);
  }

  /** With a message for the user and what led to it. */
  public NodeException(String message, Throwable cause) {
    super(message, cause);
  }
}
