// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.source;

/**
 * A place in a file.
 *
 * @param file path as given to the compiler
 * @param line from 1; 0 when the whole file is meant
 * @param column from 1; 0 when the whole line or file is meant
 */
public record Position(String file, int line, int column) implements Comparable<Position> {

  /** {@code file:line:column}, without the parts that are 0. */
  @Override
  public String toString() {
    return line == 0 ? file : column == 0 ? file + ":" + line : file + ":" + line + ":" + column;
  }

  @Override
  public int compareTo(Position other) {
    int byFile = file.compareTo(other.file);
    if (byFile != 0) {
      return byFile;
    }
    int byLine = Integer.compare(line, other.line);
    return byLine != 0 ? byLine : Integer.compare(column, other.column);
  }
}
