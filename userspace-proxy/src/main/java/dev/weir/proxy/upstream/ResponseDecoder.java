// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.upstream;

import io.netty.handler.codec.http.HttpDecoderConfig;
import io.netty.handler.codec.http.HttpMessage;
import io.netty.handler.codec.http.HttpResponse;
import io.netty.handler.codec.http.HttpResponseDecoder;

/**
 * Decodes responses knowing whether the one request in flight is a HEAD. Netty's client codec keeps
 * a queue for that; one request at a time needs only a flag.
 */
final class ResponseDecoder extends HttpResponseDecoder {

  private boolean head;

  ResponseDecoder() {
    super(
        new HttpDecoderConfig()
            .setMaxInitialLineLength(4096)
            .setMaxHeaderSize(16384)
            .setMaxChunkSize(65536));
  }

  void expectHead(boolean isHead) {
    head = isHead;
  }

  /** Whether bytes have come that no message was made of yet. */
  boolean hasLeftover() {
    return actualReadableBytes() > 0;
  }

  @Override
  protected boolean isContentAlwaysEmpty(HttpMessage message) {
    if (message instanceof HttpResponse response && head && response.status().code() >= 200) {
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
