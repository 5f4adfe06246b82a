// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.tcp;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;

/** What a TLS client is told before there is a session (RFC 8446 6). */
public final class Alerts {

  private static final byte[] UNRECOGNIZED_NAME = {21, 3, 3, 0, 2, 2, 112};

  private Alerts() {}

  /** A fatal {@code unrecognized_name} in a record of its own: nobody has this server name. */
  public static ByteBuf unrecognizedName() {
    return Unpooled.wrappedBuffer(UNRECOGNIZED_NAME);
  }
}
