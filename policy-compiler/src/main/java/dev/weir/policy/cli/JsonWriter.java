// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.cli;

import java.util.Map;

/**
 * Writes JSON: maps, iterables, text, numbers, booleans and null, indented by two spaces. Numbers
 * that are not finite and objects of other types are refused.
 */
public final class JsonWriter {

  private final StringBuilder out = new StringBuilder();

  private JsonWriter() {}

  /** The JSON text of a value, with a final line break. */
  public static String write(Object value) {
    JsonWriter writer = new JsonWriter();
    writer.value(value, 0);
    return writer.out.append('\n').toString();
  }

  private void value(Object value, int depth) {
    switch (value) {
      case String text -> text(text);
      case Boolean flag -> out.append(flag);
      case Integer number -> out.append(number);
      case Long number -> out.append(number);
      case Map<?, ?> map -> map(map, depth);
      case Iterable<?> list -> list(list, depth);
      default ->
          throw new IllegalArgumentException("value: " + value.getClass() + " (not a JSON type)");
    }
  }

  private void map(Map<?, ?> map, int depth) {
    if (map.isEmpty()) {
      out.append("{}");
      return;
    }
    char separator = '{';
    for (Map.Entry<?, ?> entry : map.entrySet()) {
      out.append(separator);
      line(depth + 1);
      text(String.valueOf(entry.getKey()));
      out.append(": ");
      value(entry.getValue(), depth + 1);
      separator = ',';
    }
    line(depth);
    out.append('}');
  }

  private void list(Iterable<?> list, int depth) {
    char separator = '[';
    for (Object item : list) {
      out.append(separator);
      line(depth + 1);
      value(item, depth + 1);
      separator = ',';
    }
    if (separator == '[') {
      out.append("[]");
    } else {
      line(depth);
      out.append(']');
    }
  }

  private void line(int depth) {
    out.append('\n').repeat("  ", depth);
  }

  private void text(String text) {
    out.append('"');
    for (int i = 0; i < text.length(); i++) {
      char c = text.charAt(i);
      switch (c) {
        case '"' -> out.append("\\\"");
        case '\\' -> out.append("\\\\");
        case '\n' -> out.append("\\n");
        case '\r' -> out.append("\\r");
        case '\t' -> out.append("\\t");
        default -> {
          // A lone surrogate is no character: escaped, it cannot break the encoding of the output.
          if (c < ' ' || c == 0x7f || Character.isSurrogate(c) && !paired(text, i)) {
            out.append(String.format("\\u%04x", (int) c));
          } else {
            out.append(c);
          }
        }
      }
    }
    out.append('"');
  }

  private static boolean paired(String text, int i) {
    char c = text.charAt(i);
    return Character.isHighSurrogate(c)
        ? i + 1 < text.length() && Character.isLowSurrogate(text.charAt(i + 1))
        : i > 0 && Character.isHighSurrogate(text.charAt(i - 1));
  }
}
