// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.wire;

import io.netty.buffer.ByteBuf;

/**
 * Follows the framing of one chunked body (RFC 9112 7.1), in as many pieces as it comes, without
 * looking at the data: a size of hexadecimal digits and nothing else, extensions without control
 * bytes, CRLF after each line and after the data, trailers that are not folded. Where it and the
 * decoder disagree about the end of the body, neither is believed.
 */
public final class ChunkScan {

  /** Bytes of chunk extensions in one body; nobody uses them, and they cost who reads them. */
  public static final int MAX_EXTENSIONS = 4096;

  /** Trailer fields of one body. */
  public static final int MAX_TRAILERS = 100;

  /** More cannot be the size of a chunk that anybody sends. */
  private static final int MAX_DIGITS = 15;

  private enum State {
    SIZE,
    EXTENSION,
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    TRAILER_START,
    TRAILER,
    END_LF,
    END,
    BROKEN
  }

  private State state = State.SIZE;
  private long size;
  private int digits;
  private int extensions;
  private int trailers;
  private boolean cr;
  private boolean named;
  private boolean quoted;
  private boolean escaped;

  /** Begins with the next body. */
  public void reset() {
    state = State.SIZE;
    size = 0;
    digits = 0;
    extensions = 0;
    trailers = 0;
    cr = false;
    named = false;
    quoted = false;
    escaped = false;
  }

  /** Whether something was wrong: nothing after it can be trusted. */
  public boolean broken() {
    return state == State.BROKEN;
  }

  /** Whether the last byte looked at was the body's last. */
  public boolean ended() {
    return state == State.END;
  }

  /** Looks at the bytes from one index to before another. */
  public void look(ByteBuf in, int from, int to) {
    int at = from;
    while (at < to) {
      switch (state) {
        case DATA -> {
          int here = (int) Math.min(size, to - at);
          size -= here;
          at += here;
          if (size == 0) {
            state = State.DATA_CR;
          }
        }
        case TRAILER -> at = trailer(in, at, to);
        case BROKEN -> at = to;
        default -> state = next(in.getByte(at++));
      }
    }
  }

  private State next(int b) {
    return switch (state) {
      case SIZE -> size(b);
      case EXTENSION -> extension(b);
      case SIZE_LF -> b != '\n' ? State.BROKEN : size == 0 ? State.TRAILER_START : State.DATA;
      case DATA_CR -> b == '\r' ? State.DATA_LF : State.BROKEN;
      case DATA_LF -> {
        digits = 0;
        yield b == '\n' ? State.SIZE : State.BROKEN;
      }
      case TRAILER_START -> {
        cr = false;
        yield b == '\r'
            ? State.END_LF
            : b == ' ' || b == '\t' || b == '\n' || ++trailers > MAX_TRAILERS
                ? State.BROKEN
                : State.TRAILER;
      }
      case END_LF -> b == '\n' ? State.END : State.BROKEN;
      case DATA, TRAILER, END, BROKEN -> State.BROKEN;
    };
  }

  private State size(int b) {
    int digit =
        b >= '0' && b <= '9'
            ? b - '0'
            : b >= 'a' && b <= 'f' ? b - 'a' + 10 : b >= 'A' && b <= 'F' ? b - 'A' + 10 : -1;
    if (digit >= 0) {
      size = size * 16 + digit;
      return ++digits > MAX_DIGITS ? State.BROKEN : State.SIZE;
    }
    if (digits == 0) {
      return State.BROKEN;
    }
    if (b == ';') {
      named = false;
      return State.EXTENSION;
    }
    return b == '\r' ? State.SIZE_LF : State.BROKEN;
  }

  /** A byte of an extension: it has a name, and a quoted value ends before the line does. */
  private State extension(int b) {
    if (b == '\r') {
      return named && !quoted ? State.SIZE_LF : State.BROKEN;
    }
    boolean control = b >= 0 && b < ' ' && b != '\t' || b == 0x7f;
    if (control || ++extensions > MAX_EXTENSIONS) {
      return State.BROKEN;
    }
    if (escaped) {
      escaped = false;
    } else if (quoted && b == '\\') {
      escaped = true;
    } else if (b == '"') {
      quoted = !quoted;
    } else if (!quoted) {
      named = b != ';' && (named || b != ' ' && b != '\t');
    }
    return State.EXTENSION;
  }

  private int trailer(ByteBuf in, int from, int to) {
    for (int at = from; at < to; at++) {
      int b = in.getByte(at);
      if (b == '\n') {
        state = cr ? State.TRAILER_START : State.BROKEN;
        return at + 1;
      }
      if (cr) {
        state = State.BROKEN;
        return to;
      }
      cr = b == '\r';
    }
    return to;
  }
}
