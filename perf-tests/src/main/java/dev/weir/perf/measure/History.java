// SPDX-License-Identifier: Apache-2.0
package dev.weir.perf.measure;

import dev.weir.policy.json.Json;
import dev.weir.policy.json.JsonException;
import dev.weir.policy.json.JsonObject;
import java.io.IOException;
import java.io.Reader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Instant;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalDouble;

/**
 * Figures of earlier runs on this machine, one JSON line per run.
 *
 * @param file where they are kept
 */
public record History(Path file) {

  /** As many earlier runs as a figure is compared with. */
  private static final int COMPARED = 5;

  /**
   * What a figure was: the median of the last runs that are comparable (same machine, same length).
   *
   * @return empty when there is none
   */
  public OptionalDouble before(Figure figure, Machine machine, boolean quick)
      throws MeasureException {
    List<Double> values =
        lines().stream()
            .filter(run -> machine.key().equals(run.get("machine")))
            .filter(run -> Boolean.valueOf(quick).equals(run.get("quick")))
            .map(run -> run.get("figures") instanceof Map<?, ?> f ? f.get(figure.id()) : null)
            .filter(Number.class::isInstance)
            .map(value -> ((Number) value).doubleValue())
            .toList();
    if (values.isEmpty()) {
      return OptionalDouble.empty();
    }
    List<Double> last = values.subList(Math.max(0, values.size() - COMPARED), values.size());
    return OptionalDouble.of(new Samples(last).median());
  }

  /** Adds this run. */
  public void add(List<Figure> figures, Machine machine, boolean quick, String commit, Instant at)
      throws MeasureException {
    if (figures.isEmpty()) {
      return;
    }
    Map<String, Object> values = new LinkedHashMap<>();
    figures.forEach(figure -> values.put(figure.id(), figure.value()));
    Map<String, Object> run = new LinkedHashMap<>();
    run.put("time", at.toString());
    run.put("commit", commit);
    run.put("machine", machine.key());
    run.put("quick", quick);
    run.put("figures", values);
    try {
      Files.writeString(
          file, Json.line(run) + "\n", StandardOpenOption.CREATE, StandardOpenOption.APPEND);
    } catch (IOException e) {
      throw new MeasureException("cannot write " + file + ": " + e.getMessage(), e);
    }
  }

  private List<Map<?, ?>> lines() throws MeasureException {
    if (!Files.exists(file)) {
      return List.of();
    }
    try (Reader in = Files.newBufferedReader(file)) {
      List<Map<?, ?>> lines = new ArrayList<>();
      JsonObject.forEach(in, file.toString(), line -> lines.add(line.toMap()));
      return lines;
    } catch (IOException | JsonException e) {
      throw new MeasureException(
          "cannot read " + file + ": " + e.getMessage() + "; remove it to begin a new history", e);
    }
  }
}
