// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.http;

import dev.weir.proxy.wire.HeadScan;
import dev.weir.proxy.wire.SecondLook;
import io.netty.buffer.ByteBuf;
import io.netty.channel.ChannelHandlerContext;
import io.netty.handler.codec.http.HttpDecoderConfig;
import io.netty.handler.codec.http.HttpMessage;
import io.netty.handler.codec.http.HttpRequestDecoder;
import java.util.List;

/**
 * Netty's decoder, and a second look at the bytes of each head and at the framing of each chunked
 * body for what it would repair: obsolete line folding, a request line whose parts are not parted
 * by exactly one space, bytes that may not be there. What one reader repairs, the next may read
 * otherwise; so it is refused.
 */
final class RequestDecoder extends HttpRequestDecoder {

  /** Longest request line, in bytes; beyond it 414. */
  static final int MAX_LINE = 4096;

  /** Longest header section, in bytes; beyond it 431. */
  static final int MAX_HEADERS = 8192;

  private final SecondLook look = new SecondLook(HeadScan.ofRequests());

  RequestDecoder() {
    super(
        new HttpDecoderConfig()
            .setMaxInitialLineLength(MAX_LINE)
            .setMaxHeaderSize(MAX_HEADERS)
            .setMaxChunkSize(65536));
  }

  /** Whether some, but not all, of a head has arrived. */
  boolean midHead() {
    return look.midHead() || look.betweenBodies() && actualReadableBytes() > 0;
  }

  @Override
  protected void decode(ChannelHandlerContext ctx, ByteBuf in, List<Object> out) throws Exception {
    if (look.broken()) {
      in.skipBytes(in.readableBytes());
      return;
    }
    int before = out.size();
    int start = in.readerIndex();
    super.decode(ctx, in, out);
    look.at(in, start, out, before);
  }

  @Override
  protected void handleTransferEncodingChunkedWithContentLength(HttpMessage message) {
    throw new IllegalArgumentException("both Content-Length and Transfer-Encoding");
  }
}
