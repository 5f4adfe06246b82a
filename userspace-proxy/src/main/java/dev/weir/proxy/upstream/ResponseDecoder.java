// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.upstream;

import dev.weir.proxy.wire.HeadScan;
import dev.weir.proxy.wire.SecondLook;
import io.netty.buffer.ByteBuf;
import io.netty.channel.ChannelHandlerContext;
import io.netty.handler.codec.http.HttpDecoderConfig;
import io.netty.handler.codec.http.HttpMessage;
import io.netty.handler.codec.http.HttpResponse;
import io.netty.handler.codec.http.HttpResponseDecoder;
import java.util.List;

/**
 * Decodes responses knowing whether the one request in flight is a HEAD. Netty's client codec keeps
 * a queue for that; one request at a time needs only a flag. Bytes get a second look as those of
 * requests do: a backend may belong to somebody else, and its answers must not become another's.
 */
final class ResponseDecoder extends HttpResponseDecoder {

  /** Longest header section, in bytes. */
  static final int MAX_HEADERS = 16384;

  private final SecondLook look = new SecondLook(HeadScan.ofResponses());
  private boolean head;

  ResponseDecoder() {
    super(
        new HttpDecoderConfig()
            .setMaxInitialLineLength(4096)
            .setMaxHeaderSize(MAX_HEADERS)
            .setMaxChunkSize(65536));
  }

  void expectHead(boolean isHead) {
    head = isHead;
  }

  /** Whether bytes have come that no message was made of yet. */
  boolean hasLeftover() {
    return actualReadableBytes() > 0 || look.midHead();
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
  protected boolean isContentAlwaysEmpty(HttpMessage message) {
    if (message instanceof HttpResponse response
        && (head && response.status().code() >= 200 || response.status().code() == 101)) {
      // The library would read a body of a 101 for the WebSockets of drafts of long ago.
      return true;
    }
    return super.isContentAlwaysEmpty(message);
  }

  @Override
  protected void handleTransferEncodingChunkedWithContentLength(HttpMessage message) {
    // RFC 9112 6.3: such a response may be an attempt at smuggling; it is refused, not repaired.
    throw new IllegalArgumentException("both Content-Length and Transfer-Encoding");
  }
}
