// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.telemetry;

import io.prometheus.client.Collector.MetricFamilySamples;
import io.prometheus.client.exporter.common.TextFormat;
import java.io.IOException;
import java.io.StringWriter;
import java.io.UncheckedIOException;
import java.util.Collections;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Metrics in Prometheus' text format 0.0.4: one exposition out of those of several processes.
 *
 * <p>The format allows a family's header once and a series once. A family that several of them have
 * becomes one, with the first one's help text; of a series that several of them have the first
 * one's value is kept.
 */
public final class Exposition {

  /** The media type of the text. */
  public static final String CONTENT_TYPE = TextFormat.CONTENT_TYPE_004;

  private static final class Family {
    private String help = "";
    private String type = "";
    private final Map<String, String> lines = new LinkedHashMap<>();
  }

  private final Map<String, Family> families = new LinkedHashMap<>();

  /** The text of these families. */
  public static String text(List<MetricFamilySamples> families) {
    StringWriter out = new StringWriter();
    try {
      TextFormat.write004(out, Collections.enumeration(families));
    } catch (IOException e) {
      throw new UncheckedIOException(e); // a StringWriter has nothing to fail at
    }
    return out.toString();
  }

  /** Adds an exposition. */
  public Exposition add(String text) {
    Set<String> suffixed = new HashSet<>();
    String current = "";
    for (String line : text.lines().toList()) {
      if (line.startsWith("# HELP ") || line.startsWith("# TYPE ")) {
        String[] parts = line.split(" ", 4);
        current = parts[2];
        Family family = families.computeIfAbsent(current, name -> new Family());
        if (line.startsWith("# HELP ") && family.help.isEmpty()) {
          family.help = line;
        } else if (line.startsWith("# TYPE ") && family.type.isEmpty()) {
          family.type = line;
        }
        suffixed.clear();
        suffixed.addAll(
            List.of(current, current + "_bucket", current + "_sum", current + "_count"));
      } else if (!line.isBlank() && !line.startsWith("#")) {
        String series = series(line);
        String name = series.substring(0, nameEnd(series));
        // A sample that is not of the family above it stands for itself, without a type.
        String owner = suffixed.contains(name) ? current : name;
        families.computeIfAbsent(owner, key -> new Family()).lines.putIfAbsent(series, line);
      }
    }
    return this;
  }

  /** Name and labels of a sample line: what comes before the value. */
  private static String series(String line) {
    boolean quoted = false;
    for (int i = 0; i < line.length(); i++) {
      char c = line.charAt(i);
      if (quoted && c == '\\') {
        i++;
      } else if (c == '"') {
        quoted = !quoted;
      } else if (!quoted && c == '}') {
        return line.substring(0, i + 1);
      } else if (!quoted && c == ' ' && line.indexOf('{') < 0) {
        return line.substring(0, i);
      }
    }
    return line;
  }

  private static int nameEnd(String series) {
    int brace = series.indexOf('{');
    return brace < 0 ? series.length() : brace;
  }

  /** All of it. */
  public String text() {
    StringBuilder out = new StringBuilder();
    for (Family family : families.values()) {
      for (String header : List.of(family.help, family.type)) {
        if (!header.isEmpty()) {
          out.append(header).append('\n');
        }
      }
      family.lines.values().forEach(line -> out.append(line).append('\n'));
    }
    return out.toString();
  }
}
