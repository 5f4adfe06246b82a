// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.wire;

import io.netty.buffer.ByteBuf;
import java.nio.charset.StandardCharsets;

/**
 * Looks at the bytes of one head, in as many pieces as they come (RFC 9112 2.2, 2.3, 3, 4, 5.2).
 */
public final class HeadScan {

  /** The first thing found wrong. */
  public enum Defect {
    /** Nothing. */
    NONE(""),
    /** More or fewer than two spaces, or no CRLF. */
    REQUEST_LINE("the request line is not METHOD SP TARGET SP VERSION CRLF"),
    /** A control byte, or one beyond ASCII. */
    REQUEST_LINE_BYTE("the request line has a byte that it may not have"),
    /** Of other characters than registered methods have. */
    METHOD("the method is not of capitals, '-' and '_'"),
    /** Neither of the two. */
    VERSION("the version is not HTTP/1.1 or HTTP/1.0"),
    /** Not a version, a status of three digits and perhaps a reason. */
    STATUS_LINE("the status line is not VERSION SP STATUS SP REASON CRLF"),
    /** CR or LF alone, also before the request line. */
    LINE_END("a line does not end in CRLF"),
    /** Space that not everybody takes for some. */
    TAB("there is a tab around Host, Content-Length or Transfer-Encoding"),
    /** A line that goes on in the next one. */
    FOLDED("a header line is folded");

    private final String text;

    Defect(String text) {
      this.text = text;
    }

    /** For the client and the log. */
    public String text() {
      return text;
    }
  }

  private enum State {
    START,
    LINE,
    HEADER
  }

  /** What both versions begin with; they end in 0 or 1. */
  private static final String VERSION = "HTTP/1.";

  private final boolean response;
  private State state = State.START;
  private Defect defect = Defect.NONE;
  private int spaces;
  private int length;
  private int previous;
  private boolean atLineStart;
  private int lineStart;

  private HeadScan(boolean response) {
    this.response = response;
  }

  /** For the heads of requests. */
  public static HeadScan ofRequests() {
    return new HeadScan(false);
  }

  /** For the heads of responses. */
  public static HeadScan ofResponses() {
    return new HeadScan(true);
  }

  /** Begins with the next head. */
  public void reset() {
    state = State.START;
    defect = Defect.NONE;
    spaces = 0;
    length = 0;
    previous = 0;
  }

  /** Whether the first line has begun. */
  public boolean begun() {
    return state != State.START;
  }

  /** What was found so far. */
  public Defect defect() {
    return defect;
  }

  /** Looks at the bytes from one index to before another. */
  public void look(ByteBuf in, int from, int to) {
    lineStart = -1;
    int at = from;
    while (at < to) {
      at =
          switch (state) {
            case START -> start(in, at);
            case LINE -> response ? statusLine(in, at, to) : requestLine(in, at, to);
            case HEADER -> header(in, at, to);
          };
    }
  }

  /**
   * An empty line or two before a request is let pass, as RFC 9112 2.2 asks; half of one is not.
   */
  private int start(ByteBuf in, int at) {
    int b = in.getByte(at);
    if (response) {
      state = State.LINE;
      return at;
    }
    if (previous == '\r' ? b != '\n' : b == '\n') {
      found(Defect.LINE_END);
    }
    if (b == '\r' || b == '\n') {
      previous = b;
      return at + 1;
    }
    previous = 0;
    state = State.LINE;
    return at;
  }

  private int requestLine(ByteBuf in, int from, int to) {
    for (int at = from; at < to; at++) {
      int b = in.getByte(at);
      if (b > ' ' && b < 0x7f) {
        if (previous == '\r') {
          found(Defect.REQUEST_LINE_BYTE);
        } else if (spaces == 0) {
          // Methods are case-sensitive: a backend that is not would do what no rule was asked
          // about.
          if ((b < 'A' || b > 'Z') && b != '-' && b != '_') {
            found(Defect.METHOD);
          }
        } else if (spaces == 2) {
          version(b);
        }
      } else if (b == ' ') {
        if (previous == ' ' || previous == 0) {
          found(Defect.REQUEST_LINE);
        }
        spaces++;
      } else if (b == '\n') {
        if (spaces != 2 || previous != '\r') {
          found(Defect.REQUEST_LINE);
        } else if (length <= VERSION.length()) {
          found(Defect.VERSION);
        }
        state = State.HEADER;
        atLineStart = true;
        previous = 0;
        return at + 1;
      } else if (b != '\r' || previous == '\r') {
        found(Defect.REQUEST_LINE_BYTE);
      }
      previous = b;
    }
    return to;
  }

  /** One more byte of the version: it is case-sensitive, and a digit on each side of the dot. */
  private void version(int b) {
    int at = length++;
    boolean good =
        at < VERSION.length()
            ? b == VERSION.charAt(at)
            : at == VERSION.length() && (b == '0' || b == '1');
    if (!good) {
      found(Defect.VERSION);
    }
  }

  private int statusLine(ByteBuf in, int from, int to) {
    for (int at = from; at < to; at++) {
      int b = in.getByte(at);
      if (b == '\n') {
        if (previous != '\r') {
          found(Defect.STATUS_LINE);
        }
        state = State.HEADER;
        atLineStart = true;
        previous = 0;
        return at + 1;
      }
      if (previous == '\r' || !inStatusLine(length++, b)) {
        found(Defect.STATUS_LINE);
      }
      previous = b;
    }
    return to;
  }

  /**
   * Whether a byte may be there: the space behind the status is often forgotten with the reason.
   */
  private static boolean inStatusLine(int at, int b) {
    return switch (at) {
      case 0, 1, 2, 3, 4, 5, 6 -> b == VERSION.charAt(at);
      case 7 -> b == '0' || b == '1';
      case 8 -> b == ' ';
      case 9 -> b >= '1' && b <= '9';
      case 10, 11 -> b >= '0' && b <= '9';
      case 12 -> b == ' ' || b == '\r';
      default -> b < 0 || b >= ' ' && b < 0x7f || b == '\t' || b == '\r';
    };
  }

  /**
   * From one control byte of the header lines to the next: what is between them is the decoder's.
   */
  private int header(ByteBuf in, int from, int to) {
    if (atLineStart) {
      int b = in.getByte(from);
      if (b == ' ' || b == '\t') {
        found(Defect.FOLDED);
      }
      atLineStart = false;
      lineStart = from;
    }
    int at = control(in, from, to);
    int b = at < to ? in.getByte(at) : 0;
    if (previous == '\r' ? at > from || b != '\n' : b == '\n') {
      found(Defect.LINE_END);
    }
    if (b == '\n') {
      atLineStart = true;
    } else if (b == '\t' && framing(in, lineStart, at)) {
      found(Defect.TAB);
    }
    previous = b;
    return Math.min(at + 1, to);
  }

  /** Where the next byte below 0x20 is; the end if nowhere. Eight bytes at a time. */
  private static int control(ByteBuf in, int from, int to) {
    int at = from;
    for (; at + Long.BYTES <= to; at += Long.BYTES) {
      long bytes = in.getLongLE(at);
      // The lowest bit that is set is that of the first such byte.
      long below = (bytes - 0x2020202020202020L) & ~bytes & 0x8080808080808080L;
      if (below != 0) {
        return at + Long.numberOfTrailingZeros(below) / Byte.SIZE;
      }
    }
    while (at < to && (in.getByte(at) & 0xff) >= ' ') {
      at++;
    }
    return at;
  }

  /** Whether a line's name is one of those; it is taken for one if it came in an earlier piece. */
  private static boolean framing(ByteBuf in, int from, int to) {
    if (from < 0) {
      return true;
    }
    int colon = in.indexOf(from, to, (byte) ':');
    if (colon < 0) {
      return false;
    }
    String name = in.toString(from, colon - from, StandardCharsets.ISO_8859_1);
    return name.equalsIgnoreCase("host")
        || name.equalsIgnoreCase("content-length")
        || name.equalsIgnoreCase("transfer-encoding");
  }

  private void found(Defect what) {
    if (defect == Defect.NONE) {
      defect = what;
    }
  }
}
