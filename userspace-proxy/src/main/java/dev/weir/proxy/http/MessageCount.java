// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.http;

import io.netty.buffer.ByteBuf;

/**
 * Counts the messages of one direction of a call of gRPC while they pass (gRPC over HTTP/2,
 * Length-Prefixed-Message: a byte that is 0 or 1, the length in 4 bytes, the message). Bodies come
 * in pieces of any size; nothing of them is kept. What is not framed like that ends the count.
 */
final class MessageCount {

  private static final int PREFIX = 5;

  private int prefix;
  private int length;
  private long left;
  private boolean odd;
  private long messages;

  /** The next piece; its indexes stay as they are. */
  void passed(ByteBuf piece) {
    int at = piece.readerIndex();
    int end = piece.writerIndex();
    while (at < end && !odd) {
      if (prefix < PREFIX) {
        int b = piece.getByte(at++) & 0xff;
        odd = prefix == 0 && b > 1;
        length = length << 8 | b;
        prefix++;
        if (prefix == PREFIX) {
          // The first byte has been shifted out; the rest is a number without a sign.
          left = Integer.toUnsignedLong(length);
        }
      } else {
        int some = (int) Math.min(left, end - at);
        left -= some;
        at += some;
      }
      if (prefix == PREFIX && left == 0) {
        messages++;
        prefix = 0;
      }
    }
  }

  /** Those that have passed whole. */
  long messages() {
    return messages;
  }
}
