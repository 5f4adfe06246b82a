// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.upstream;

import io.netty.channel.unix.Errors;
import java.io.IOException;

/** A backend's end of a connection or stream. Has no stack trace: where it is made says nothing. */
public final class Ended extends IOException {

  private final boolean reset;

  /**
   * An end.
   *
   * @param reset whether the backend gave up instead of coming to an end
   */
  Ended(String message, boolean reset) {
    super(message);
    this.reset = reset;
  }

  @Override
  public synchronized Throwable fillInStackTrace() {
    return this;
  }

  /** Whether a connection or stream was cut off by its backend, or on the way there. */
  public static boolean isReset(Throwable cause) {
    return cause instanceof Ended ended ? ended.reset : cause instanceof Errors.NativeIoException;
  }
}
