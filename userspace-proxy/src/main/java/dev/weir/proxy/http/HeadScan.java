// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.http;

import io.netty.buffer.ByteBuf;

/** Looks at the bytes of one head, in as many pieces as they come (RFC 9112 2.2, 3, 5.2). */
final class HeadScan {

  /** The first thing found wrong. */
  enum Defect {
    NONE(""),
    REQUEST_LINE("the request line is not METHOD SP TARGET SP VERSION"),
    REQUEST_LINE_BYTE("the request line has a byte that it may not have"),
    FOLDED("a header line is folded");

    private final String text;

    Defect(String text) {
      this.text = text;
    }

    String text() {
      return text;
    }
  }

  private enum State {
    START,
    LINE,
    LINE_START,
    HEADER
  }

  private State state = State.START;
  private Defect defect = Defect.NONE;
  private int spaces;
  private int previous;

  void reset() {
    state = State.START;
    defect = Defect.NONE;
    spaces = 0;
    previous = 0;
  }

  boolean begun() {
    return state != State.START;
  }

  Defect defect() {
    return defect;
  }

  void look(ByteBuf in, int from, int to) {
    int at = from;
    while (at < to) {
      switch (state) {
        case START -> {
          // An empty line or two before a request is let pass, as RFC 9112 2.2 asks.
          int b = in.getByte(at);
          if (b == '\r' || b == '\n') {
            at++;
          } else {
            state = State.LINE;
          }
        }
        case LINE -> at = line(in, at, to);
        case LINE_START -> {
          int b = in.getByte(at);
          if (b == ' ' || b == '\t') {
            found(Defect.FOLDED);
          }
          state = State.HEADER;
        }
        case HEADER -> {
          int end = in.indexOf(at, to, (byte) '\n');
          if (end < 0) {
            return;
          }
          at = end + 1;
          state = State.LINE_START;
        }
      }
    }
  }

  private int line(ByteBuf in, int from, int to) {
    for (int at = from; at < to; at++) {
      int b = in.getByte(at);
      if (b > ' ' && b < 0x7f) {
        if (previous == '\r') {
          found(Defect.REQUEST_LINE_BYTE);
        } else if (spaces == 2 && b >= 'a') {
          // The version is case-sensitive (RFC 9112 2.3); Netty reads it in capitals.
          found(Defect.REQUEST_LINE);
        }
      } else if (b == ' ') {
        if (previous == ' ' || previous == 0) {
          found(Defect.REQUEST_LINE);
        }
        spaces++;
      } else if (b == '\n') {
        if (spaces != 2 || previous != '\r') {
          found(Defect.REQUEST_LINE);
        }
        state = State.LINE_START;
        return at + 1;
      } else if (b != '\r') {
        found(Defect.REQUEST_LINE_BYTE);
      }
      previous = b;
    }
    return to;
  }

  private void found(Defect what) {
    if (defect == Defect.NONE) {
      defect = what;
    }
  }
}
