// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import org.snakeyaml.engine.v2.api.Load;
import org.snakeyaml.engine.v2.api.LoadSettings;

/**
 * A running {@code prober} (bpf-programs/src/test/c/prober), which prints a JSON object per line.
 */
public final class Prober implements AutoCloseable {

  private static final Duration PATIENCE = Duration.ofSeconds(60);

  private final Process process;
  private final BufferedReader output;
  private final String command;

  private Prober(Process process, String command) {
    this.process = process;
    this.command = command;
    this.output = process.inputReader(StandardCharsets.UTF_8);
  }

  /**
   * One line of output.
   *
   * @param fields of the object
   */
  public record Line(Map<String, Object> fields) {
    boolean has(String field) {
      return fields.containsKey(field);
    }

    /** A field as it was written. */
    public String text(String field) {
      Object value = fields.get(field);
      if (value == null) {
        throw new IllegalStateException("no " + field + " in " + fields);
      }
      return value.toString();
    }

    /** A field that is a number. */
    public long number(String field) {
      return Long.parseLong(text(field));
    }

    /** How often each outcome was met. */
    Map<String, Long> outcomes() {
      Map<String, Long> outcomes = new TreeMap<>();
      if (fields.get("outcomes") instanceof Map<?, ?> counts) {
        counts.forEach(
            (name, count) -> outcomes.put(name.toString(), Long.parseLong(count.toString())));
      }
      return outcomes;
    }
  }

  static Prober start(List<String> command) {
    try {
      return new Prober(
          new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start(),
          String.join(" ", command));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  static Line run(List<String> command) {
    try (Prober prober = start(command)) {
      Line line = prober.next();
      prober.waitFor();
      return line;
    }
  }

  /** The next line; waits for it. */
  public Line next() {
    try {
      String line = output.readLine();
      if (line == null) {
        throw new IllegalStateException(command + ": ended without an answer");
      }
      return parse(line);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static Line parse(String json) {
    // JSON is YAML 1.2.
    if (new Load(LoadSettings.builder().build()).loadFromString(json) instanceof Map<?, ?> object) {
      Map<String, Object> fields = new TreeMap<>();
      object.forEach((key, value) -> fields.put(key.toString(), value == null ? "" : value));
      return new Line(fields);
    }
    throw new IllegalStateException("not an object: " + json);
  }

  /** A line on its standard input; then its answer. */
  public Line tell(String line) {
    try {
      process.getOutputStream().write((line + "\n").getBytes(StandardCharsets.UTF_8));
      process.getOutputStream().flush();
      return next();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** Waits for its end. */
  void waitFor() {
    try {
      if (!process.waitFor(PATIENCE.toSeconds(), TimeUnit.SECONDS)) {
        throw new IllegalStateException(command + ": does not end");
      }
      if (process.exitValue() != 0) {
        throw new IllegalStateException(command + ": exit status " + process.exitValue());
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IllegalStateException(e);
    }
  }

  /** Kills it and waits. */
  @Override
  public void close() {
    process.destroyForcibly();
    try {
      process.waitFor();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }
}
