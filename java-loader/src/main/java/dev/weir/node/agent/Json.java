// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.agent;

import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import org.snakeyaml.engine.v2.api.Load;
import org.snakeyaml.engine.v2.api.LoadSettings;
import org.snakeyaml.engine.v2.exceptions.YamlEngineException;

/** JSON (RFC 8259) of maps, iterables, strings, numbers, booleans and {@link Optional}s. */
public final class Json {

  private Json() {}

  /** One line of JSON. Members whose value is an empty {@link Optional} are left out. */
  public static String write(Object value) {
    StringBuilder out = new StringBuilder();
    write(out, value);
    return out.toString();
  }

  private static void write(StringBuilder out, Object value) {
    switch (value) {
      case Map<?, ?> map -> writeMap(out, map);
      case Iterable<?> list -> {
        out.append('[');
        for (Iterator<?> i = list.iterator(); i.hasNext(); ) {
          write(out, i.next());
          out.append(i.hasNext() ? "," : "");
        }
        out.append(']');
      }
      case Optional<?> optional ->
          optional.ifPresentOrElse(v -> write(out, v), () -> out.append("null"));
      case Double d when !Double.isFinite(d) -> out.append("null");
      case Number number -> out.append(number);
      case Boolean bool -> out.append(bool);
      default -> writeString(out, value.toString());
    }
  }

  private static void writeMap(StringBuilder out, Map<?, ?> map) {
    out.append('{');
    boolean first = true;
    for (Map.Entry<?, ?> entry : map.entrySet()) {
      if (entry.getValue() instanceof Optional<?> optional && optional.isEmpty()) {
        continue;
      }
      if (!first) {
        out.append(',');
      }
      first = false;
      writeString(out, entry.getKey().toString());
      out.append(':');
      write(out, entry.getValue());
    }
    out.append('}');
  }

  private static void writeString(StringBuilder out, String string) {
    out.append('"');
    for (int i = 0; i < string.length(); i++) {
      char c = string.charAt(i);
      switch (c) {
        case '"' -> out.append("\\\"");
        case '\\' -> out.append("\\\\");
        case '\n' -> out.append("\\n");
        case '\r' -> out.append("\\r");
        case '\t' -> out.append("\\t");
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

  /**
   * An object from its JSON text.
   *
   * <p>Read as YAML 1.2, of which JSON is a part: the compiler's reader is there already.
   *
   * @throws IllegalArgumentException when it is no JSON object
   */
  public static Map<String, Object> readObject(String text) {
    Object value;
    try {
      value =
          new Load(
                  LoadSettings.builder()
                      .setMaxAliasesForCollections(0)
                      .setAllowDuplicateKeys(false)
                      .build())
              .loadFromString(text);
    } catch (YamlEngineException e) {
      throw new IllegalArgumentException("not JSON: " + e.getMessage(), e);
    }
    if (!(value instanceof Map<?, ?> map)) {
      throw new IllegalArgumentException("not a JSON object");
    }
    Map<String, Object> object = new LinkedHashMap<>();
    map.forEach((key, member) -> object.put(String.valueOf(key), member == null ? "" : member));
    return object;
  }
}
