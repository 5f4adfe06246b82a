// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.telemetry;

import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Reads the text format 0.0.4 and forgives nothing: what {@code promtool check metrics} and a
 * scraper would find fault with is an error. A family has HELP, then TYPE, then all its samples,
 * and none of another in between; no series stands twice; counters end in {@code _total} and are
 * not negative; a histogram's buckets rise, have rising bounds, and end with +Inf, which is its
 * count.
 */
public final class StrictExposition {

  private static final Pattern SAMPLE =
      Pattern.compile("([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\\{(.*)})? ([^ ]+)");
  private static final Pattern LABEL =
      Pattern.compile("([a-zA-Z_][a-zA-Z0-9_]*)=\"((?:[^\"\\\\]|\\\\[\"\\\\n])*)\",?");

  private final Map<String, String> types = new LinkedHashMap<>();
  private final Map<String, Map<Map<String, String>, Double>> samples = new LinkedHashMap<>();

  private StrictExposition() {}

  /** Reads an exposition, or fails with the line that is wrong. */
  public static StrictExposition read(String text) {
    StrictExposition read = new StrictExposition();
    Set<String> finished = new HashSet<>();
    String family = "";
    String help = "";
    for (String line : text.split("\n", -1)) {
      if (line.startsWith("# HELP ")) {
        String[] parts = line.split(" ", 4);
        require(parts.length == 4 && !parts[3].isBlank(), "no help text", line);
        help = parts[2];
      } else if (line.startsWith("# TYPE ")) {
        String[] parts = line.split(" ", -1);
        require(parts.length == 4 && parts[2].equals(help), "TYPE without its HELP", line);
        require(
            Set.of("counter", "gauge", "histogram", "summary", "untyped").contains(parts[3]),
            "unknown type",
            line);
        finished.add(family);
        family = parts[2];
        require(!finished.contains(family), "a family in two pieces", line);
        require(
            !parts[3].equals("counter") || family.endsWith("_total"),
            "a counter that does not end in _total",
            line);
        read.types.put(family, parts[3]);
      } else if (!line.isEmpty()) {
        read.sample(family, line);
      }
    }
    require(text.endsWith("\n"), "no newline at the end", text);
    read.checkHistograms();
    return read;
  }

  private void sample(String family, String line) {
    Matcher matcher = SAMPLE.matcher(line);
    require(matcher.matches(), "no sample", line);
    String name = matcher.group(1);
    List<String> suffixes =
        switch (types.getOrDefault(family, "none")) {
          case "histogram" -> List.of("_bucket", "_sum", "_count");
          case "summary" -> List.of("", "_sum", "_count");
          case "none" -> List.of();
          default -> List.of("");
        };
    require(
        suffixes.stream().anyMatch(suffix -> name.equals(family + suffix)),
        "a sample outside of its family",
        line);
    Map<String, String> labels = new TreeMap<>();
    String rest = matcher.group(2) == null ? "" : matcher.group(2);
    Matcher label = LABEL.matcher(rest);
    int end = 0;
    while (label.lookingAt()) {
      require(labels.put(label.group(1), label.group(2)) == null, "a label twice", line);
      end = label.end();
      label.region(end, rest.length());
    }
    require(end == rest.length(), "labels that are none", line);
    double value =
        matcher.group(3).equals("+Inf")
            ? Double.POSITIVE_INFINITY
            : Double.parseDouble(matcher.group(3));
    require(value >= 0 || !types.getOrDefault(family, "").equals("counter"), "negative", line);
    require(
        samples.computeIfAbsent(name, key -> new LinkedHashMap<>()).put(labels, value) == null,
        "a series twice",
        line);
  }

  private void checkHistograms() {
    types.forEach(
        (family, type) -> {
          if (type.equals("histogram")) {
            Map<Map<String, String>, double[]> last = new LinkedHashMap<>();
            series(family + "_bucket").forEach((labels, value) -> bucket(last, labels, value));
            Map<Map<String, String>, Double> counts = series(family + "_count");
            require(counts.keySet().equals(last.keySet()), "buckets without count", family);
            last.forEach(
                (labels, end) ->
                    require(
                        end[0] == Double.POSITIVE_INFINITY
                            && counts.getOrDefault(labels, -1.0).equals(end[1]),
                        "+Inf is not the count",
                        family + labels));
          }
        });
  }

  private static void bucket(
      Map<Map<String, String>, double[]> last, Map<String, String> labels, double value) {
    Map<String, String> plain = new TreeMap<>(labels);
    String le = String.valueOf(plain.remove("le"));
    double bound = le.equals("+Inf") ? Double.POSITIVE_INFINITY : Double.parseDouble(le);
    double[] before = last.put(plain, new double[] {bound, value});
    require(
        before == null || (before[0] < bound && before[1] <= value), "falling buckets", le + plain);
  }

  private static void require(boolean condition, String what, String line) {
    if (!condition) {
      throw new AssertionError(what + ": " + line);
    }
  }

  /** The type of a family; empty when there is none of that name. */
  public String type(String family) {
    return types.getOrDefault(family, "");
  }

  /** All series of a name, by labels. */
  public Map<Map<String, String>, Double> series(String name) {
    return samples.getOrDefault(name, Map.of());
  }

  /** The value of the one series that has these labels (and maybe others). */
  public double value(String name, Map<String, String> labels) {
    List<Double> found =
        series(name).entrySet().stream()
            .filter(entry -> entry.getKey().entrySet().containsAll(labels.entrySet()))
            .map(Map.Entry::getValue)
            .toList();
    require(found.size() == 1, found.size() + " series with " + labels, name + series(name));
    return found.getFirst();
  }

  /** The sum of all series of a name. */
  public double sum(String name) {
    return series(name).values().stream().mapToDouble(Double::doubleValue).sum();
  }

  /** Everything that must never fall, by name and labels. */
  public Map<String, Double> counters() {
    Map<String, Double> counters = new TreeMap<>();
    samples.forEach(
        (name, series) -> {
          if (!types.getOrDefault(name, "").equals("gauge")) {
            series.forEach((labels, value) -> counters.put(name + labels, value));
          }
        });
    return counters;
  }
}
