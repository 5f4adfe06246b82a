// SPDX-License-Identifier: Apache-2.0
package dev.weir.perf.measure;

import java.util.List;

/**
 * What one benchmark found.
 *
 * @param id the benchmark's name
 * @param title for people
 * @param how what was measured, in a sentence or two
 * @param columns headings of its table
 * @param rows its table, each as long as the headings
 * @param figures numbers to follow
 * @param remarks what a reader should know, one sentence each
 */
public record Section(
    String id,
    String title,
    String how,
    List<String> columns,
    List<List<String>> rows,
    List<Figure> figures,
    List<String> remarks) {

  /** Copies the lists. */
  public Section {
    columns = List.copyOf(columns);
    rows = rows.stream().map(List::copyOf).toList();
    figures = List.copyOf(figures);
    remarks = List.copyOf(remarks);
    for (List<String> row : rows) {
      if (row.size() != columns.size()) {
        throw new IllegalArgumentException(
            "row: " + row + " (expected: as long as " + columns + ")");
      }
    }
  }
}
