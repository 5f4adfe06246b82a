// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.answer;

import dev.weir.policy.route.HeaderEditor;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** Header fields of a message that nobody sends, for edits to be tried on. */
final class HeaderFields {

  private final Map<String, Field> byName = new LinkedHashMap<>();

  private record Field(String name, List<String> values) {}

  /** Changes them. */
  static final HeaderEditor<HeaderFields> EDITOR =
      new HeaderEditor<>() {
        @Override
        public void set(HeaderFields headers, String name, String value) {
          headers.byName.put(key(name), new Field(name, new ArrayList<>(List.of(value))));
        }

        @Override
        public void add(HeaderFields headers, String name, String value) {
          headers
              .byName
              .computeIfAbsent(key(name), k -> new Field(name, new ArrayList<>()))
              .values()
              .add(value);
        }

        @Override
        public void remove(HeaderFields headers, String name) {
          headers.byName.remove(key(name));
        }
      };

  HeaderFields(Map<String, String> headers) {
    headers.forEach((name, value) -> EDITOR.add(this, name, value));
  }

  private static String key(String name) {
    return name.toLowerCase(Locale.ROOT);
  }

  /** Takes one out and says what it was; empty when it is not there. */
  String take(String name) {
    Field field = byName.remove(key(name));
    return field == null ? "" : String.join(",", field.values());
  }

  /** Values by name, several of one name joined with a comma. */
  Map<String, String> joined() {
    Map<String, String> result = new LinkedHashMap<>();
    byName.values().forEach(f -> result.put(f.name(), String.join(",", f.values())));
    return result;
  }
}
