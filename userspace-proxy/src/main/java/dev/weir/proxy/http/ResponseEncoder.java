// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.http;

import io.netty.handler.codec.http.HttpResponse;
import io.netty.handler.codec.http.HttpResponseEncoder;

/** Encodes responses knowing whether the one request in flight is a HEAD. */
final class ResponseEncoder extends HttpResponseEncoder {

  private boolean head;

  /** Says whether the next response answers a HEAD. */
  void expectHead(boolean isHead) {
    head = isHead;
  }

  @Override
  protected boolean isContentAlwaysEmpty(HttpResponse response) {
    return head || super.isContentAlwaysEmpty(response);
  }

  @Override
  protected void sanitizeHeadersBeforeEncode(HttpResponse response, boolean alwaysEmpty) {
    // A HEAD's response keeps the headers that describe the body it does not have.
    if (!head) {
      super.sanitizeHeadersBeforeEncode(response, alwaysEmpty);
    }
  }
}
