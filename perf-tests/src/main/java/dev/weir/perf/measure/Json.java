// SPDX-License-Identifier: Apache-2.0
package dev.weir.perf.measure;

import java.util.Map;

/** Writes JSON (RFC 8259) of maps, iterables, strings, finite numbers and booleans. */
final class Json {

  private Json() {}

  /** The text of a value, on one line. */
  static String of(Object value) {
    StringBuilder out = new StringBuilder();
    write(out, value);
    return out.toString();
  }

  private static void write(StringBuilder out, Object value) {
    switch (value) {
      case Map<?, ?> map -> {
        out.append('{');
        String comma = "";
        for (Map.Entry<?, ?> entry : map.entrySet()) {
          out.append(comma);
          quote(out, String.valueOf(entry.getKey()));
          out.append(':');
          write(out, entry.getValue());
          comma = ",";
        }
        out.append('}');
      }
      case Iterable<?> list -> {
        out.append('[');
        String comma = "";
        for (Object element : list) {
          out.append(comma);
          write(out, element);
          comma = ",";
        }
        out.append(']');
      }
      case Double number when !Double.isFinite(number) ->
          throw new IllegalArgumentException("number: " + number + " (expected: finite)");
      case Double number -> out.append(Math.round(number * 1e6) / 1e6);
      case Number number -> out.append(number);
      case Boolean truth -> out.append(truth);
      default -> quote(out, value.toString());
    }
  }

  private static void quote(StringBuilder out, String text) {
    out.append('"');
    for (int i = 0; i < text.length(); i++) {
      char c = text.charAt(i);
      switch (c) {
        case '"' -> out.append("\\\"");
        case '\\' -> out.append("\\\\");
        case '\n' -> out.append("\\n");
        default -> {
          if (c < 0x20) {
            out.append(String.format("\\u%04x", (int) c));
          } else {
            out.append(c);
          }
        }
      }
    }
    out.append('"');
  }
}
