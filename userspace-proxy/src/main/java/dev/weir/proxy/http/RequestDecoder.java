// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.http;

import io.netty.buffer.ByteBuf;
import io.netty.channel.ChannelHandlerContext;
import io.netty.handler.codec.DecoderResult;
import io.netty.handler.codec.http.HttpDecoderConfig;
import io.netty.handler.codec.http.HttpMessage;
import io.netty.handler.codec.http.HttpRequest;
import io.netty.handler.codec.http.HttpRequestDecoder;
import io.netty.handler.codec.http.LastHttpContent;
import java.util.List;

/**
 * Netty's decoder, and a second look at the bytes of each head for what it would repair: obsolete
 * line folding, a request line whose parts are not parted by exactly one space, bytes in it that no
 * request line may have. What one reader repairs, the next may read otherwise; so it is refused.
 */
final class RequestDecoder extends HttpRequestDecoder {

  /** Longest request line, in bytes; beyond it 414. */
  static final int MAX_LINE = 4096;

  /** Longest header section, in bytes; beyond it 431. */
  static final int MAX_HEADERS = 8192;

  private boolean inHead = true;
  private final HeadScan scan = new HeadScan();

  RequestDecoder() {
    super(
        new HttpDecoderConfig()
            .setMaxInitialLineLength(MAX_LINE)
            .setMaxHeaderSize(MAX_HEADERS)
            .setMaxChunkSize(65536));
  }

  /** Whether some, but not all, of a head has arrived. */
  boolean midHead() {
    return inHead && (scan.begun() || actualReadableBytes() > 0);
  }

  @Override
  protected void decode(ChannelHandlerContext ctx, ByteBuf in, List<Object> out) throws Exception {
    int before = out.size();
    int start = in.readerIndex();
    super.decode(ctx, in, out);
    if (inHead) {
      scan.look(in, start, in.readerIndex());
    }
    for (int i = before; i < out.size(); i++) {
      Object message = out.get(i);
      if (message instanceof HttpRequest request) {
        if (scan.defect() != HeadScan.Defect.NONE && !request.decoderResult().isFailure()) {
          request.setDecoderResult(DecoderResult.failure(new MalformedHead(scan.defect().text())));
        }
        inHead = false;
        scan.reset();
      }
      if (message instanceof LastHttpContent) {
        inHead = true;
      }
    }
  }

  @Override
  protected void handleTransferEncodingChunkedWithContentLength(HttpMessage message) {
    throw new IllegalArgumentException("both Content-Length and Transfer-Encoding");
  }

  /** Why a head is refused. */
  static final class MalformedHead extends RuntimeException {
    MalformedHead(String message) {
      super(message, null, false, false);
    }
  }
}
