// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.io.Writer;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.snakeyaml.engine.v2.api.Load;
import org.snakeyaml.engine.v2.api.LoadSettings;

/** Connections that a running {@code hold} keeps open (bpf-programs/src/test/c/prober/hold.c). */
final class Held implements AutoCloseable {

  private final Process process;
  private final BufferedReader output;
  private final Writer input;
  private final Map<String, Object> begun;

  private Held(Process process) {
    this.process = process;
    this.output = process.inputReader(StandardCharsets.UTF_8);
    this.input = process.outputWriter(StandardCharsets.UTF_8);
    this.begun = next();
  }

  static Held start(List<String> command) {
    try {
      return new Held(
          new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start());
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /**
   * What became of them.
   *
   * @param alive how many go on
   * @param ended how many do not
   * @param lastNanos when the last one ended, by {@link System#nanoTime}
   * @param outcomes how often each way to end was met: an errno's name, or eof
   * @param rounds numbers that came back
   * @param wrong numbers that came back otherwise than they were sent
   * @param named of how many that go on getpeername tells the address that was asked for
   */
  record Status(
      long alive,
      long ended,
      long lastNanos,
      Map<String, Long> outcomes,
      long rounds,
      long wrong,
      long named) {}

  /** How many were opened. */
  long held() {
    return number(begun, "held");
  }

  Map<String, Long> refused() {
    return outcomes(begun);
  }

  Status status() {
    try {
      input.write("?\n");
      input.flush();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return read();
  }

  private Status read() {
    Map<String, Object> line = next();
    return new Status(
        number(line, "alive"),
        number(line, "ended"),
        number(line, "last_ns"),
        outcomes(line),
        number(line, "rounds"),
        number(line, "wrong"),
        number(line, "named"));
  }

  /** Has them closed in order, and says what they were until then. */
  Status stop() {
    try {
      input.write("stop\n");
      input.flush();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    Status last = read();
    close();
    return last;
  }

  private static long number(Map<String, Object> line, String field) {
    return Long.parseLong(String.valueOf(line.get(field)));
  }

  private static Map<String, Long> outcomes(Map<String, Object> line) {
    Map<String, Long> outcomes = new TreeMap<>();
    if (line.get("outcomes") instanceof Map<?, ?> counts) {
      counts.forEach(
          (name, count) -> outcomes.put(name.toString(), Long.parseLong(count.toString())));
    }
    return outcomes;
  }

  private Map<String, Object> next() {
    try {
      String line = output.readLine();
      if (line != null
          // JSON is YAML 1.2.
          && new Load(LoadSettings.builder().build()).loadFromString(line)
              instanceof Map<?, ?> object) {
        Map<String, Object> fields = new TreeMap<>();
        object.forEach((key, value) -> fields.put(key.toString(), value));
        return fields;
      }
      throw new IllegalStateException("hold: ended with " + line);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

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
