// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.answer;

import java.util.List;

/**
 * One change to a policy file, as JSON Patch (RFC 6902) says it: the operation is always {@code
 * add}.
 *
 * @param kind of the object
 * @param namespace of the object; empty when its kind has none
 * @param name of the object
 * @param file where the object is; empty for one that is to be made
 * @param line of the clause or object; 0 for one that is to be made
 * @param path JSON Pointer within the object, as {@code /spec/ingress/0/from/-}; empty when the
 *     value is a new object
 * @param value what to add: maps, lists, text and numbers
 */
public record Change(
    String kind, String namespace, String name, String file, int line, String path, Object value) {

  /** Whether a new object is to be made. */
  public boolean creates() {
    return path.isEmpty();
  }

  /** Where to add it, as people write it: {@code spec.ingress[0].from}; empty for a new object. */
  public String field() {
    StringBuilder field = new StringBuilder();
    for (String part : path.isEmpty() ? List.<String>of() : List.of(path.substring(1).split("/"))) {
      if (part.equals("-")) {
        continue;
      }
      boolean index = part.chars().allMatch(c -> c >= '0' && c <= '9');
      field
          .append(index ? "[" : field.isEmpty() ? "" : ".")
          .append(part.replace("~1", "/").replace("~0", "~"))
          .append(index ? "]" : "");
    }
    return field.toString();
  }

  /** In a line, without the value: {@code add to NetworkPolicy a/b spec.ingress (f.yaml:3)}. */
  public String describe() {
    String object = kind + " " + (namespace.isEmpty() ? "" : namespace + "/") + name;
    return creates()
        ? "make a " + object
        : "add to "
            + object
            + " "
            + field()
            + (file.isEmpty() ? "" : " (" + file + ":" + line + ")");
  }

  /** The value as a piece of YAML, an item of a list where the path ends in one. */
  public String yaml() {
    return Yaml.of(path.endsWith("/-") ? List.of(value) : value);
  }
}
