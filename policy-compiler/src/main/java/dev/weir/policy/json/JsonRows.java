// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.json;

import com.fasterxml.jackson.core.JsonGenerator;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.util.Map;

/** Writes a JSON array one row at a time, so that its length does not matter. */
public final class JsonRows implements AutoCloseable {

  private final PrintWriter out;
  private final JsonGenerator generator;

  /** Begins the array. */
  public JsonRows(PrintWriter out) {
    this.out = out;
    try {
      generator = Json.generator(out, true);
      generator.writeStartArray();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** Adds a row. */
  public void add(Map<String, ?> row) {
    try {
      Json.write(generator, row);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** Ends the array; the writer stays open. */
  @Override
  public void close() {
    try {
      generator.writeEndArray();
      generator.close();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    out.println();
    out.flush();
  }
}
