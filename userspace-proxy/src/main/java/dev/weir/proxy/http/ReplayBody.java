// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.http;

import dev.weir.proxy.upstream.UpstreamStream;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufAllocator;
import io.netty.buffer.Unpooled;
import io.netty.handler.codec.http.DefaultHttpContent;
import io.netty.handler.codec.http.DefaultLastHttpContent;
import io.netty.handler.codec.http.HttpContent;
import io.netty.handler.codec.http.HttpHeaders;
import io.netty.handler.codec.http.LastHttpContent;
import org.jspecify.annotations.Nullable;

/**
 * A request's body as far as it has come, so that it can be sent once more. Copied, since a small
 * piece of it would otherwise hold the whole buffer that it was read into.
 */
final class ReplayBody {

  private final BodyAllowance allowance;
  private final ByteBufAllocator allocator;
  private ByteBuf bytes = Unpooled.EMPTY_BUFFER;
  private @Nullable HttpHeaders trailers;
  private int taken;
  private boolean lost;

  ReplayBody(BodyAllowance allowance, ByteBufAllocator allocator) {
    this.allowance = allowance;
    this.allocator = allocator;
  }

  /** Keeps a part, if there is room for it; without it the rest is of no use. */
  void keep(HttpContent part) {
    if (lost) {
      return;
    }
    ByteBuf from = part.content();
    int size = from.readableBytes();
    if (taken + size > BodyAllowance.MAX_OF_ONE || !allowance.take(size)) {
      release();
      return;
    }
    taken += size;
    if (size > 0) {
      if (!bytes.isReadable()) {
        bytes = allocator.buffer(size, BodyAllowance.MAX_OF_ONE);
      }
      bytes.writeBytes(from, from.readerIndex(), size);
    }
    if (part instanceof LastHttpContent last) {
      trailers = last.trailingHeaders();
    }
  }

  /** Whether nothing of what came is missing. */
  boolean whole() {
    return !lost;
  }

  /** Queues all that came. */
  void writeTo(UpstreamStream connection) {
    if (bytes.isReadable()) {
      // Not a duplicate: this one may move in memory as it grows, before that one is sent.
      connection.write(new DefaultHttpContent(bytes.copy()));
    }
    HttpHeaders end = trailers;
    if (end != null) {
      connection.write(
          end.isEmpty()
              ? LastHttpContent.EMPTY_LAST_CONTENT
              : new DefaultLastHttpContent(Unpooled.EMPTY_BUFFER, end));
    }
  }

  /** Lets go of everything; it cannot be sent any more. */
  void release() {
    lost = true;
    bytes.release();
    bytes = Unpooled.EMPTY_BUFFER;
    allowance.give(taken);
    taken = 0;
  }
}
