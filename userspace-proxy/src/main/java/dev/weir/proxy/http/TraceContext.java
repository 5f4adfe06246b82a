// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.http;

import dev.weir.policy.plan.Telemetry.Tracing;
import io.netty.handler.codec.http.HttpHeaders;
import io.netty.util.AsciiString;
import java.nio.charset.StandardCharsets;
import java.util.Iterator;
import java.util.List;
import java.util.SplittableRandom;

/**
 * The headers of W3C Trace Context (level 2): {@code traceparent} and {@code tracestate}. A hop
 * that takes part goes on with the trace under a span-id of its own, and begins a trace where there
 * is none that can be read.
 */
final class TraceContext {

  static final AsciiString TRACEPARENT = AsciiString.cached("traceparent");
  static final AsciiString TRACESTATE = AsciiString.cached("tracestate");

  /** Of version 00: {@code 00-}, 32 digits of trace-id, 16 of parent-id, 2 of flags. */
  private static final int LENGTH = 55;

  private static final int TRACE_ID = 3;
  private static final int PARENT_ID = 36;
  private static final int FLAGS = 53;

  /** The flags that are known: the second one since level 2. */
  private static final int SAMPLED = 0x01;

  private static final int RANDOM = 0x02;

  private static final int MOST_MEMBERS = 32;
  private static final int LONGEST_KEY = 256;
  private static final int LONGEST_VALUE = 256;

  private static final byte[] HEX = "0123456789abcdef".getBytes(StandardCharsets.US_ASCII);

  private TraceContext() {}

  /** Makes of what a client sent what the backend gets. */
  static void pass(HttpHeaders headers, Tracing rules, SplittableRandom random) {
    Iterator<? extends CharSequence> sent = headers.valueCharSequenceIterator(TRACEPARENT);
    CharSequence parent = sent.hasNext() ? sent.next() : "";
    if (valid(parent) && !sent.hasNext()) {
      headers.set(TRACEPARENT, continued(parent, random));
      if (headers.contains(TRACESTATE)) {
        passState(headers);
      }
    } else {
      // One that cannot be read has to go in any case, so that nobody else reads it either.
      if (rules.begin() || headers.contains(TRACEPARENT)) {
        headers.set(TRACEPARENT, begun(rules, random));
      }
      // Of a trace that cannot be read, or of none (3.3.1).
      headers.remove(TRACESTATE);
    }
  }

  private static void passState(HttpHeaders headers) {
    List<String> lines = headers.getAll(TRACESTATE);
    String all = lines.size() == 1 ? lines.getFirst() : String.join(",", lines);
    if (!validState(all)) {
      headers.remove(TRACESTATE);
    } else if (lines.size() > 1) {
      headers.set(TRACESTATE, all);
    }
  }

  /**
   * Whether a {@code traceparent} can be read: that of version 00, or the same part of a later one.
   */
  static boolean valid(CharSequence parent) {
    int length = parent.length();
    if (length < LENGTH
        || parent.charAt(2) != '-'
        || parent.charAt(PARENT_ID - 1) != '-'
        || parent.charAt(FLAGS - 1) != '-'
        || !hex(parent, 0, 2)
        || !hex(parent, TRACE_ID, PARENT_ID - 1)
        || !hex(parent, PARENT_ID, FLAGS - 1)
        || !hex(parent, FLAGS, LENGTH)
        || zero(parent, TRACE_ID, PARENT_ID - 1)
        || zero(parent, PARENT_ID, FLAGS - 1)) {
      return false;
    }
    if (parent.charAt(0) == '0' && parent.charAt(1) == '0') {
      return length == LENGTH;
    }
    boolean forbidden = parent.charAt(0) == 'f' && parent.charAt(1) == 'f';
    return !forbidden && (length == LENGTH || parent.charAt(LENGTH) == '-');
  }

  /**
   * Whether a {@code tracestate} can be read, its lines joined with commas: at most 32 members, of
   * keys and values by the grammar of level 2. A key that occurs twice is let pass: whose it is
   * knows what to make of it.
   */
  static boolean validState(CharSequence state) {
    int members = 0;
    int at = 0;
    int length = state.length();
    while (at <= length) {
      int end = at;
      while (end < length && state.charAt(end) != ',') {
        end++;
      }
      int from = at;
      int to = end;
      while (from < to && blank(state.charAt(from))) {
        from++;
      }
      while (to > from && blank(state.charAt(to - 1))) {
        to--;
      }
      // Empty members are allowed, and say nothing.
      if (from < to && (!validMember(state, from, to) || ++members > MOST_MEMBERS)) {
        return false;
      }
      at = end + 1;
    }
    return members > 0;
  }

  private static boolean validMember(CharSequence state, int from, int to) {
    int at = from;
    if (!letterOrDigit(state.charAt(at))) {
      return false;
    }
    while (at < to && keyCharacter(state.charAt(at))) {
      at++;
    }
    if (at - from > LONGEST_KEY || at == to || state.charAt(at) != '=') {
      return false;
    }
    int value = at + 1;
    if (value == to || to - value > LONGEST_VALUE) {
      return false;
    }
    for (int i = value; i < to; i++) {
      char c = state.charAt(i);
      // Commas ended the member before.
      if (c < ' ' || c > '~' || c == '=') {
        return false;
      }
    }
    return true;
  }

  private static boolean blank(char c) {
    return c == ' ' || c == '\t';
  }

  private static boolean letterOrDigit(char c) {
    return c >= 'a' && c <= 'z' || c >= '0' && c <= '9';
  }

  private static boolean keyCharacter(char c) {
    return letterOrDigit(c) || c == '_' || c == '-' || c == '*' || c == '/' || c == '@';
  }

  private static boolean hex(CharSequence text, int from, int to) {
    for (int i = from; i < to; i++) {
      char c = text.charAt(i);
      if (!(c >= '0' && c <= '9' || c >= 'a' && c <= 'f')) {
        return false;
      }
    }
    return true;
  }

  private static boolean zero(CharSequence text, int from, int to) {
    for (int i = from; i < to; i++) {
      if (text.charAt(i) != '0') {
        return false;
      }
    }
    return true;
  }

  /** The same trace under a span-id of our own, in the highest version that we know: 00. */
  static AsciiString continued(CharSequence parent, SplittableRandom random) {
    byte[] text = empty();
    for (int i = TRACE_ID; i < PARENT_ID - 1; i++) {
      text[i] = (byte) parent.charAt(i);
    }
    write(text, PARENT_ID, notZero(random));
    int flags = Character.digit(parent.charAt(FLAGS + 1), 16) & (SAMPLED | RANDOM);
    text[FLAGS + 1] = HEX[flags];
    return new AsciiString(text, false);
  }

  /** A new trace. */
  static AsciiString begun(Tracing rules, SplittableRandom random) {
    byte[] text = empty();
    write(text, TRACE_ID, random.nextLong());
    write(text, TRACE_ID + 16, notZero(random));
    write(text, PARENT_ID, notZero(random));
    int percent = rules.sampledPercent();
    boolean sampled = percent == 100 || percent > 0 && random.nextInt(100) < percent;
    text[FLAGS + 1] = HEX[sampled ? SAMPLED | RANDOM : RANDOM];
    return new AsciiString(text, false);
  }

  private static byte[] empty() {
    byte[] text = new byte[LENGTH];
    text[0] = '0';
    text[1] = '0';
    text[2] = '-';
    text[PARENT_ID - 1] = '-';
    text[FLAGS - 1] = '-';
    text[FLAGS] = '0';
    return text;
  }

  private static long notZero(SplittableRandom random) {
    long number = random.nextLong();
    return number == 0 ? 1 : number;
  }

  private static void write(byte[] text, int at, long number) {
    for (int i = 0; i < 16; i++) {
      text[at + i] = HEX[(int) (number >>> 60 - 4 * i) & 15];
    }
  }
}
