// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.answer;

import dev.weir.policy.json.Json;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;

/** Writes small values as people write YAML: blocks, and quotes only where they are needed. */
final class Yaml {

  private static final Pattern PLAIN = Pattern.compile("[A-Za-z/][A-Za-z0-9._/-]*");
  private static final List<String> WORDS =
      List.of("true", "false", "null", "yes", "no", "on", "off", "y", "n");

  private Yaml() {}

  /** Lines of a map, a list or a single value; the last one ends. */
  static String of(Object value) {
    StringBuilder out = new StringBuilder();
    block(out, value, 0, false);
    return out.toString();
  }

  private static void block(StringBuilder out, Object value, int indent, boolean inline) {
    boolean first = inline;
    switch (value) {
      case Map<?, ?> map when !map.isEmpty() -> {
        for (Map.Entry<?, ?> entry : map.entrySet()) {
          out.append(" ".repeat(first ? 0 : indent));
          first = false;
          out.append(scalar(String.valueOf(entry.getKey()))).append(':');
          boolean nested =
              entry.getValue() instanceof Map<?, ?> m && !m.isEmpty()
                  || entry.getValue() instanceof List<?> l && !l.isEmpty();
          out.append(nested ? "\n" : " ");
          block(out, entry.getValue(), indent + 2, !nested);
        }
      }
      case List<?> list when !list.isEmpty() -> {
        for (Object item : list) {
          out.append(" ".repeat(first ? 0 : indent)).append("- ");
          first = false;
          block(out, item, indent + 2, true);
        }
      }
      default -> out.append(scalar(value)).append('\n');
    }
  }

  private static String scalar(Object value) {
    return value instanceof String text
            && PLAIN.matcher(text).matches()
            && WORDS.stream().noneMatch(text::equalsIgnoreCase)
        ? text
        : Json.line(value);
  }
}
