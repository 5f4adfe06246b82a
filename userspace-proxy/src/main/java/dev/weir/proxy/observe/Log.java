// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.observe;

import java.io.PrintStream;

/**
 * Lines on standard error, {@code LEVEL message}; the agent gives them their time. What a client
 * can cause is limited to 20 lines a second, with a line that says how many were left out.
 */
public final class Log {

  private static final int PER_SECOND = 20;

  private final PrintStream out;
  private long second;
  private int inSecond;
  private long suppressed;

  /** A log on this stream. */
  public Log(PrintStream out) {
    this.out = out;
  }

  /** What an operator wants to know. */
  public void info(String message) {
    line("INFO " + message);
  }

  /** What an operator should look at. */
  public void warn(String message) {
    line("WARN " + message);
  }

  /** What a client or backend caused: limited. */
  public synchronized void refused(String message) {
    long now = System.nanoTime() / 1_000_000_000;
    if (now != second) {
      second = now;
      inSecond = 0;
      if (suppressed > 0) {
        out.println("WARN " + suppressed + " refusals were not logged: more than 20 a second");
        suppressed = 0;
      }
    }
    if (inSecond < PER_SECOND) {
      inSecond++;
      out.println("WARN " + message);
    } else {
      suppressed++;
    }
  }

  private synchronized void line(String line) {
    out.println(line);
  }
}
