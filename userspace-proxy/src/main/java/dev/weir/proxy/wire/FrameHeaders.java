// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.wire;

import io.netty.buffer.ByteBuf;

/**
 * Looks at the headers of frames of HTTP/2 that go by (RFC 9113 4.1), for what the library keeps to
 * itself: whether a header section has begun that is not at its end, and what an error is about.
 */
public final class FrameHeaders {

  private static final int PREFACE = 24;
  private static final int HEADER = 9;
  private static final int DATA = 0;
  private static final int HEADERS = 1;
  private static final int CONTINUATION = 9;
  private static final int END_HEADERS = 4;

  // Bytes of the frame, or of the preface, that have yet to go by.
  private int rest;
  private boolean open;
  private int last = -1;

  private FrameHeaders(int rest) {
    this.rest = rest;
  }

  /** What a client sends, from its preface on. */
  public static FrameHeaders ofClient() {
    return new FrameHeaders(PREFACE);
  }

  /** Looks at what was taken out of a buffer, which is never part of a frame's header. */
  public void look(ByteBuf in, int from, int to) {
    int at = from;
    while (at < to) {
      if (rest > 0) {
        int passed = Math.min(rest, to - at);
        rest -= passed;
        at += passed;
      } else if (to - at < HEADER) {
        return;
      } else {
        int type = in.getByte(at + 3);
        last = type;
        if (type == HEADERS || type == CONTINUATION) {
          open = (in.getByte(at + 4) & END_HEADERS) == 0;
        }
        rest = in.getUnsignedMedium(at);
        at += HEADER;
      }
    }
  }

  /** Whether the frame that went by last is a part of a request. */
  public boolean lastOfRequest() {
    return last == DATA || last == HEADERS || last == CONTINUATION;
  }

  /** Whether a header section has begun that is not at its end. */
  public boolean midSection() {
    return open;
  }
}
