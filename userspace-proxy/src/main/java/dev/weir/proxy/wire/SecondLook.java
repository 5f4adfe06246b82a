// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.wire;

import io.netty.buffer.ByteBuf;
import io.netty.handler.codec.DecoderResult;
import io.netty.handler.codec.http.DefaultLastHttpContent;
import io.netty.handler.codec.http.HttpMessage;
import io.netty.handler.codec.http.HttpUtil;
import io.netty.handler.codec.http.LastHttpContent;
import io.netty.util.ReferenceCountUtil;
import java.util.List;

/**
 * Looks at what a decoder has just consumed, and makes failures of messages that it ought not to
 * have taken: of a head, or of a chunked body. Nothing behind such a failure may be decoded.
 */
public final class SecondLook {

  private final HeadScan head;
  private final ChunkScan chunks = new ChunkScan();
  private boolean inHead = true;
  private boolean chunked;
  private boolean broken;

  /** For a connection whose messages have such heads. */
  public SecondLook(HeadScan head) {
    this.head = head;
  }

  /** Whether some of a head was consumed that is not complete. */
  public boolean midHead() {
    return inHead && head.begun();
  }

  /** Whether the next byte is the first of a head, or of nothing. */
  public boolean betweenBodies() {
    return inHead;
  }

  /** Whether a failure was found: where the next message would begin is not known. */
  public boolean broken() {
    return broken;
  }

  /**
   * Looks at one step of the decoder.
   *
   * @param in what it reads, consumed from {@code start} on
   * @param out what it has decoded, since {@code before} in this step
   */
  public void at(ByteBuf in, int start, List<Object> out, int before) {
    if (inHead) {
      head.look(in, start, in.readerIndex());
    } else if (chunked) {
      chunks.look(in, start, in.readerIndex());
      if (chunks.broken() || chunks.ended() != ended(out, before)) {
        breakOff(out, before);
      }
    }
    for (int i = before; i < out.size(); i++) {
      Object decoded = out.get(i);
      if (decoded instanceof HttpMessage message) {
        if (head.defect() != HeadScan.Defect.NONE && !message.decoderResult().isFailure()) {
          message.setDecoderResult(DecoderResult.failure(new Malformed(head.defect().text())));
          broken = true;
        }
        inHead = false;
        head.reset();
        chunked = HttpUtil.isTransferEncodingChunked(message);
        chunks.reset();
      }
      if (decoded instanceof LastHttpContent) {
        inHead = true;
      }
    }
  }

  private static boolean ended(List<Object> out, int before) {
    return out.size() > before && out.getLast() instanceof LastHttpContent;
  }

  /** Puts the failure of the body in the place of what was decoded in this step. */
  private void breakOff(List<Object> out, int before) {
    broken = true;
    while (out.size() > before) {
      ReferenceCountUtil.release(out.removeLast());
    }
    LastHttpContent failure = new DefaultLastHttpContent();
    failure.setDecoderResult(DecoderResult.failure(new Malformed("the chunks are malformed")));
    out.add(failure);
  }

  /** Why a message is refused: made to be told, so without a stack trace. */
  public static final class Malformed extends RuntimeException {
    Malformed(String message) {
      super(message, null, false, false);
    }
  }
}
