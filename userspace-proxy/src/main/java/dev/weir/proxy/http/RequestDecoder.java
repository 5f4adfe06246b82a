// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.http;

import dev.weir.proxy.wire.HeadScan;
import dev.weir.proxy.wire.SecondLook;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufUtil;
import io.netty.buffer.Unpooled;
import io.netty.channel.ChannelHandlerContext;
import io.netty.handler.codec.http.HttpDecoderConfig;
import io.netty.handler.codec.http.HttpMessage;
import io.netty.handler.codec.http.HttpRequestDecoder;
import java.nio.charset.StandardCharsets;
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

  /** What a client of HTTP/2 begins with (RFC 9113 3.4). */
  private static final ByteBuf PREFACE =
      Unpooled.unreleasableBuffer(
              Unpooled.copiedBuffer("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", StandardCharsets.US_ASCII))
          .asReadOnly();

  private final SecondLook look = new SecondLook(HeadScan.ofRequests());
  private final Runnable http2;
  // Whether nothing came yet that is not how HTTP/2 begins.
  private boolean perhapsHttp2;

  /**
   * One for a new connection.
   *
   * @param http2 called when a client begins with HTTP/2; it removes this from the pipeline, and
   *     whoever comes next gets what was read
   * @param priorKnowledge whether clients may begin with it
   */
  RequestDecoder(Runnable http2, boolean priorKnowledge) {
    super(
        new HttpDecoderConfig()
            .setMaxInitialLineLength(MAX_LINE)
            .setMaxHeaderSize(MAX_HEADERS)
            .setMaxChunkSize(65536));
    this.http2 = http2;
    this.perhapsHttp2 = priorKnowledge;
  }

  /** Whether some, but not all, of a head has arrived. */
  boolean midHead() {
    return perhapsHttp2 && actualReadableBytes() > 0
        || look.midHead()
        || look.betweenBodies() && actualReadableBytes() > 0;
  }

  @Override
  protected void decode(ChannelHandlerContext ctx, ByteBuf in, List<Object> out) throws Exception {
    if (perhapsHttp2) {
      int compared = Math.min(in.readableBytes(), PREFACE.readableBytes());
      if (ByteBufUtil.equals(in, in.readerIndex(), PREFACE, 0, compared)) {
        if (compared == PREFACE.readableBytes()) {
          http2.run();
        }
        return;
      }
      perhapsHttp2 = false;
    }
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
