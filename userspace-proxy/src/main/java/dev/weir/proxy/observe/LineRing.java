// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.observe;

import java.io.IOException;
import java.io.OutputStream;
import java.util.concurrent.atomic.AtomicLong;

/**
 * Whole lines from one thread to another, in bounded memory and without a lock: what does not fit
 * is not taken.
 */
final class LineRing {

  private final byte[] bytes;
  // Positions since the beginning; each is written by one side only.
  private final AtomicLong written = new AtomicLong();
  private final AtomicLong read = new AtomicLong();

  /**
   * An empty one.
   *
   * @param capacity in bytes
   */
  LineRing(int capacity) {
    this.bytes = new byte[capacity];
  }

  /** Takes a line, if there is room. For the thread that writes. */
  boolean offer(byte[] line, int length) {
    long to = written.getPlain();
    if (length > bytes.length - (to - read.getAcquire())) {
      return false;
    }
    int at = (int) (to % bytes.length);
    int before = Math.min(length, bytes.length - at);
    System.arraycopy(line, 0, bytes, at, before);
    System.arraycopy(line, before, bytes, 0, length - before);
    written.setRelease(to + length);
    return true;
  }

  /** Whether more than half is taken. */
  boolean isHalfFull() {
    return written.getPlain() - read.getAcquire() > bytes.length / 2;
  }

  /**
   * Hands on what is there. For the thread that reads.
   *
   * @return how many bytes that was
   * @throws IOException of the stream; what was there still is
   */
  int drainTo(OutputStream out) throws IOException {
    long from = read.getPlain();
    long to = written.getAcquire();
    int length = (int) (to - from);
    if (length == 0) {
      return 0;
    }
    int at = (int) (from % bytes.length);
    int before = Math.min(length, bytes.length - at);
    out.write(bytes, at, before);
    if (length > before) {
      out.write(bytes, 0, length - before);
    }
    read.setRelease(to);
    return length;
  }

  /**
   * Throws away what is there. For the thread that reads.
   *
   * @return how many lines that was
   */
  int discard() {
    int lines = 0;
    long to = written.getAcquire();
    for (long i = read.getPlain(); i < to; i++) {
      if (bytes[(int) (i % bytes.length)] == '\n') {
        lines++;
      }
    }
    read.setRelease(to);
    return lines;
  }
}
