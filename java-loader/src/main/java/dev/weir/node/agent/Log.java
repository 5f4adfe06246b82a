// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.agent;

import dev.weir.policy.json.Json;
import java.io.PrintStream;
import java.time.Clock;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Log lines for people or, as JSON objects with the fields {@code time}, {@code level}, {@code
 * message} and what belongs to the message, for programs. One line each. Safe for use by several
 * threads.
 */
public final class Log {

  private final PrintStream out;
  private final boolean json;
  private final boolean verbose;
  private final Clock clock;

  /**
   * A log.
   *
   * @param out receives the lines
   * @param json whether as JSON
   * @param verbose whether with what only helps to find mistakes in Weir itself
   * @param clock of the time stamps
   */
  public Log(PrintStream out, boolean json, boolean verbose, Clock clock) {
    this.out = out;
    this.json = json;
    this.verbose = verbose;
    this.clock = clock;
  }

  /** Something happened. */
  public void info(String message) {
    write("info", message, Map.of());
  }

  /** Something happened, with fields for programs that the message tells people already. */
  public void info(String message, Map<String, ?> fields) {
    write("info", message, fields);
  }

  /** As {@link #warn(String)}, with fields for programs. */
  public void warn(String message, Map<String, ?> fields) {
    write("warning", message, fields);
  }

  /** Somebody should look at this, but everything goes on as it should. */
  public void warn(String message) {
    write("warning", message, Map.of());
  }

  /** Something is not as it should be. */
  public void error(String message) {
    write("error", message, Map.of());
  }

  /** What only helps to find mistakes in Weir itself. */
  public void debug(String message) {
    if (verbose) {
      write("debug", message, Map.of());
    }
  }

  private void write(String level, String message, Map<String, ?> fields) {
    Instant now = clock.instant().truncatedTo(ChronoUnit.MILLIS);
    if (json) {
      Map<String, Object> line = new LinkedHashMap<>();
      line.put("time", now.toString());
      line.put("level", level);
      line.put("message", message);
      line.putAll(fields);
      out.println(Json.line(line));
    } else {
      String mark = level.equals("info") ? "" : level + ": ";
      out.println(now + " weir: " + mark + message.strip().replace("\n", "\n    "));
    }
  }
}
