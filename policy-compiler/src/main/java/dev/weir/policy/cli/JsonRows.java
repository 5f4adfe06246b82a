// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.cli;

import java.io.PrintWriter;
import java.util.Map;

/** Writes a JSON array one row at a time, so that its length does not matter. */
final class JsonRows implements AutoCloseable {

  private final PrintWriter out;
  private boolean empty = true;

  JsonRows(PrintWriter out) {
    this.out = out;
  }

  void add(Map<String, Object> row) {
    out.print(empty ? "[\n" : ",\n");
    out.print(JsonWriter.write(row).stripTrailing());
    empty = false;
  }

  /** Ends the array; the writer stays open. */
  @Override
  public void close() {
    out.println(empty ? "[]" : "\n]");
  }
}
