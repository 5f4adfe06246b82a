// SPDX-License-Identifier: Apache-2.0
package dev.weir.perf.measure;

import dev.weir.policy.json.Json;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.OptionalDouble;

/**
 * Everything one run found.
 *
 * @param at when it began
 * @param commit what was measured
 * @param quick whether it was a short run, whose figures are only a hint
 * @param machine where
 * @param versions of the peers, by name
 * @param sections what was measured
 * @param failures what could not be measured: benchmark to reason
 * @param before what figures were in earlier runs, by id
 */
public record Report(
    Instant at,
    String commit,
    boolean quick,
    Machine machine,
    Map<String, String> versions,
    List<Section> sections,
    Map<String, String> failures,
    Map<String, Double> before) {

  /** Beyond this a figure is said to have changed; the machine's own noise is about as large. */
  private static final double CHANGE = 0.10;

  /** Copies the collections. */
  public Report {
    at = at.truncatedTo(ChronoUnit.SECONDS);
    sections = List.copyOf(sections);
  }

  /** All figures of all sections. */
  public List<Figure> figures() {
    return sections.stream().flatMap(section -> section.figures().stream()).toList();
  }

  /** Writes {@code report.md} and {@code report.json}. */
  public void write(Path directory) throws MeasureException {
    try {
      Files.createDirectories(directory);
      Files.writeString(directory.resolve("report.md"), markdown());
      Files.writeString(directory.resolve("report.json"), json() + "\n");
    } catch (IOException e) {
      throw new MeasureException("cannot write below " + directory + ": " + e.getMessage(), e);
    }
  }

  /** For people. */
  public String markdown() {
    StringBuilder out = new StringBuilder("# Weir: what it costs\n\n");
    out.append(at).append(", commit ").append(commit).append(quick ? ", **quick run**" : "");
    out.append("\n\n").append(machine.line()).append("\n\n");
    versions.forEach(
        (name, version) -> out.append("- ").append(name).append(": ").append(version).append('\n'));
    if (!versions.isEmpty()) {
      out.append('\n');
    }
    if (machine.load() > 0.5) {
      out.append(
          String.format(
              Locale.ROOT,
              "The machine was busy when this began (load %.2f): judge by ratios, not by"
                  + " absolutes.%n%n",
              machine.load()));
    }
    List<List<String>> aims = new ArrayList<>();
    for (Figure figure : figures()) {
      aims.add(aimRow(figure));
    }
    if (!aims.isEmpty()) {
      out.append("## Figures\n\nMedians; in brackets the quartiles.\n\n");
      table(out, List.of("figure", "measured", "quartiles", "at most", "", "before"), aims);
    }
    List<Figure> worse = worse();
    if (!worse.isEmpty()) {
      out.append("## Worse than before\n\n");
      for (Figure figure : worse) {
        out.append("- ")
            .append(figure.name())
            .append(": ")
            .append(number(figure.value(), figure.unit()))
            .append(", was ")
            .append(number(before.getOrDefault(figure.id(), 0.0), figure.unit()))
            .append('\n');
      }
      out.append('\n');
    }
    for (Section section : sections) {
      out.append("## ").append(section.title()).append("\n\n");
      out.append(section.how()).append("\n\n");
      table(out, section.columns(), section.rows());
      section.remarks().forEach(remark -> out.append("- ").append(remark).append('\n'));
      if (!section.remarks().isEmpty()) {
        out.append('\n');
      }
    }
    if (!failures.isEmpty()) {
      out.append("## Not measured\n\n");
      failures.forEach(
          (id, why) -> out.append("- **").append(id).append("**: ").append(why).append('\n'));
    }
    return out.toString();
  }

  /** Figures that are a tenth or more worse than they were in comparable runs before. */
  public List<Figure> worse() {
    return figures().stream()
        .filter(
            figure ->
                figure.value()
                    > before.getOrDefault(figure.id(), Double.POSITIVE_INFINITY) * (1 + CHANGE))
        .toList();
  }

  private List<String> aimRow(Figure figure) {
    OptionalDouble was =
        before.containsKey(figure.id())
            ? OptionalDouble.of(before.get(figure.id()))
            : OptionalDouble.empty();
    String verdict =
        figure.aim().isEmpty() ? "" : figure.beyond() ? "**beyond the aim**" : "reached";
    String change = "";
    if (was.isPresent()) {
      double times = figure.value() / was.getAsDouble();
      change = number(was.getAsDouble(), figure.unit());
      if (times > 1 + CHANGE) {
        change += " (**worse**)";
      } else if (times < 1 - CHANGE) {
        change += " (better)";
      }
    }
    return List.of(
        figure.name(),
        number(figure.value(), figure.unit()),
        figure.rounds() > 1
            ? number(figure.low(), figure.unit()) + " .. " + number(figure.high(), figure.unit())
            : "",
        figure.aim().isPresent() ? number(figure.aim().getAsDouble(), figure.unit()) : "",
        verdict,
        change);
  }

  /** A number with as many digits as it deserves, and its unit. */
  public static String number(double value, String unit) {
    double size = Math.abs(value);
    if (unit.isEmpty() && value == Math.rint(value)) {
      return String.format(Locale.ROOT, "%,.0f", value);
    }
    String digits = unit.equals("x") ? "%.3f" : size < 10 ? "%.2f" : size < 1000 ? "%.1f" : "%,.0f";
    return String.format(Locale.ROOT, digits, value)
        + (unit.equals("x") ? "x" : " " + unit).stripTrailing();
  }

  private static void table(StringBuilder out, List<String> columns, List<List<String>> rows) {
    int[] widths = new int[columns.size()];
    for (int i = 0; i < widths.length; i++) {
      widths[i] = columns.get(i).length();
      for (List<String> row : rows) {
        widths[i] = Math.max(widths[i], row.get(i).length());
      }
    }
    line(out, columns, widths);
    for (int i = 0; i < widths.length; i++) {
      out.append(i == 0 ? "|:" : "|").append("-".repeat(widths[i] + 1)).append(i == 0 ? "" : ":");
    }
    out.append("|\n");
    rows.forEach(row -> line(out, row, widths));
    out.append('\n');
  }

  private static void line(StringBuilder out, List<String> cells, int[] widths) {
    for (int i = 0; i < widths.length; i++) {
      String pad = " ".repeat(widths[i] - cells.get(i).length());
      out.append("| ").append(i == 0 ? cells.get(i) + pad : pad + cells.get(i)).append(' ');
    }
    out.append("|\n");
  }

  /** For programs. */
  public String json() {
    Map<String, Object> where = new LinkedHashMap<>();
    where.put("cpu", machine.cpu());
    where.put("processors", machine.processors());
    where.put("memory_mib", machine.memoryMib());
    where.put("kernel", machine.kernel());
    where.put("system", machine.system());
    where.put("jdk", machine.jdk());
    where.put("load", machine.load());
    Map<String, Object> all = new LinkedHashMap<>();
    all.put("format", 1);
    all.put("time", at.toString());
    all.put("commit", commit);
    all.put("quick", quick);
    all.put("machine", where);
    all.put("versions", versions);
    all.put("figures", figures().stream().map(this::figure).toList());
    all.put("sections", sections.stream().map(Report::section).toList());
    all.put("failures", failures);
    return Json.line(all);
  }

  private Map<String, Object> figure(Figure figure) {
    Map<String, Object> map = new LinkedHashMap<>();
    map.put("id", figure.id());
    map.put("name", figure.name());
    map.put("value", figure.value());
    map.put("low", figure.low());
    map.put("high", figure.high());
    map.put("rounds", figure.rounds());
    map.put("unit", figure.unit());
    figure.aim().ifPresent(aim -> map.put("at_most", aim));
    figure.aim().ifPresent(aim -> map.put("beyond", figure.beyond()));
    if (before.containsKey(figure.id())) {
      map.put("before", before.get(figure.id()));
    }
    return map;
  }

  private static Map<String, Object> section(Section section) {
    Map<String, Object> map = new LinkedHashMap<>();
    map.put("id", section.id());
    map.put("title", section.title());
    map.put("how", section.how());
    map.put("columns", section.columns());
    map.put("rows", section.rows());
    map.put("remarks", section.remarks());
    return map;
  }
}
