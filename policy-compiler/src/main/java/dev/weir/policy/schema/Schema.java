// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.schema;

import dev.weir.policy.source.Diagnostics;
import dev.weir.policy.source.Node;
import dev.weir.policy.source.Node.Entry;
import dev.weir.policy.source.Node.Mapping;
import dev.weir.policy.source.Node.Scalar;
import dev.weir.policy.source.Node.Sequence;
import java.math.BigInteger;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Pattern;

/**
 * Compares documents with a JSON Schema, by the keywords that ours use. Fields that the schema does
 * not know are not mentioned: the readers of the kinds warn of them.
 *
 * <p>Source: JSON Schema, draft 2020-12, Core and Validation.
 */
public final class Schema {

  private final Node root;
  private final Map<String, Pattern> patterns = new HashMap<>();

  /** A schema that was read from JSON or YAML. */
  public Schema(Node root) {
    this.root = root;
  }

  /** Notes an error for whatever the schema does not allow. */
  public void check(Node document, Diagnostics diagnostics) {
    check(root, document, "", diagnostics);
  }

  private void check(Node schema, Node value, String path, Diagnostics diagnostics) {
    if (!(schema instanceof Mapping keywords)) {
      return;
    }
    // An absent field and one that is null are the same to Kubernetes.
    if (value instanceof Scalar scalar && scalar.type() == Scalar.Type.NULL) {
      return;
    }
    for (Entry keyword : keywords.entries()) {
      String wrong = wrong(keyword.key().text(), keyword.value(), value, path);
      if (!wrong.isEmpty()) {
        diagnostics.error(
            value.at(),
            path,
            wrong,
            text(keywords, "description").map(d -> "meant is: " + d).orElse(""));
      }
    }
    if (value instanceof Mapping mapping) {
      fields(keywords, mapping, path, diagnostics);
    } else if (value instanceof Sequence sequence) {
      Optional<Node> items = keywords.get("items");
      for (int i = 0; i < sequence.items().size() && items.isPresent(); i++) {
        check(items.get(), sequence.items().get(i), path + "[" + i + "]", diagnostics);
      }
    }
  }

  private void fields(Mapping keywords, Mapping value, String path, Diagnostics diagnostics) {
    Optional<Node> properties = keywords.get("properties");
    Optional<Node> others = keywords.get("additionalProperties").filter(Mapping.class::isInstance);
    for (Entry entry : value.entries()) {
      String key = entry.key().text();
      Optional<Node> schema =
          properties
              .filter(Mapping.class::isInstance)
              .flatMap(p -> ((Mapping) p).get(key))
              .or(() -> others);
      schema.ifPresent(
          s -> check(s, entry.value(), path.isEmpty() ? key : path + "." + key, diagnostics));
    }
  }

  /** What is wrong with a value by one keyword; empty when nothing is. */
  private String wrong(String keyword, Node expected, Node value, String path) {
    String text = value instanceof Scalar scalar ? scalar.text() : "";
    boolean string = value instanceof Scalar scalar && scalar.type() == Scalar.Type.STRING;
    return switch (keyword) {
      case "type" ->
          isOf(value, scalar(expected))
              ? ""
              : "is " + value.describe() + ", but must be of type " + scalar(expected);
      case "required" -> missing(expected, value);
      case "enum" ->
          texts(expected).contains(text)
              ? ""
              : "is " + value.describe() + ", but must be one of " + texts(expected);
      case "const" -> scalar(expected).equals(text) ? "" : "must be \"" + scalar(expected) + "\"";
      case "minimum" ->
          number(value).filter(n -> n.compareTo(big(expected)) < 0).isPresent()
              ? "must be at least " + scalar(expected)
              : "";
      case "maximum" ->
          number(value).filter(n -> n.compareTo(big(expected)) > 0).isPresent()
              ? "must be at most " + scalar(expected)
              : "";
      case "minLength" ->
          string && text.codePointCount(0, text.length()) < integer(expected) ? "is too short" : "";
      case "maxLength" ->
          string && text.codePointCount(0, text.length()) > integer(expected)
              ? "is longer than " + scalar(expected)
              : "";
      case "minItems" ->
          value instanceof Sequence s && s.items().size() < integer(expected)
              ? "must have at least " + scalar(expected) + " items"
              : "";
      case "maxItems" ->
          value instanceof Sequence s && s.items().size() > integer(expected)
              ? "must have at most " + scalar(expected) + " items"
              : "";
      case "uniqueItems" ->
          value instanceof Sequence s && new HashSet<>(texts(value)).size() < s.items().size()
              ? "has an item twice"
              : "";
      case "minProperties" ->
          value instanceof Mapping m && m.entries().size() < integer(expected) ? "is empty" : "";
      case "pattern" ->
          !string || pattern(scalar(expected)).matcher(text).find()
              ? ""
              : "\"" + text + "\" does not have the form " + scalar(expected);
      case "anyOf" -> choices(expected, value, path) >= 1 ? "" : "fits none of what may be written";
      case "oneOf" -> choices(expected, value, path) == 1 ? "" : "fits none of what may be written";
      default -> "";
    };
  }

  private int choices(Node alternatives, Node value, String path) {
    int fitting = 0;
    if (alternatives instanceof Sequence sequence) {
      for (Node alternative : sequence.items()) {
        Diagnostics found = new Diagnostics();
        check(alternative, value, path, found);
        fitting += found.failed() ? 0 : 1;
      }
    }
    return fitting;
  }

  private static String missing(Node names, Node value) {
    if (!(value instanceof Mapping mapping)) {
      return "";
    }
    List<String> missing = new ArrayList<>();
    for (String name : texts(names)) {
      if (mapping.get(name).isEmpty()) {
        missing.add(name);
      }
    }
    return missing.isEmpty() ? "" : "lacks " + String.join(", ", missing);
  }

  private static boolean isOf(Node value, String type) {
    return switch (type) {
      case "object" -> value instanceof Mapping;
      case "array" -> value instanceof Sequence;
      case "string" -> value instanceof Scalar s && s.type() == Scalar.Type.STRING;
      case "integer" -> value instanceof Scalar s && s.type() == Scalar.Type.INTEGER;
      case "boolean" -> value instanceof Scalar s && s.type() == Scalar.Type.BOOLEAN;
      default -> throw new IllegalStateException("type " + type);
    };
  }

  private static Optional<BigInteger> number(Node value) {
    return value instanceof Scalar s && s.type() == Scalar.Type.INTEGER && s.text().length() < 40
        ? decimal(s.text())
        : Optional.empty();
  }

  private static Optional<BigInteger> decimal(String text) {
    try {
      return Optional.of(new BigInteger(text));
    } catch (NumberFormatException e) {
      // 0x and 0o are no numbers of Kubernetes, which the readers say.
      return Optional.empty();
    }
  }

  private static BigInteger big(Node node) {
    return new BigInteger(scalar(node));
  }

  private static int integer(Node node) {
    return Integer.parseInt(scalar(node));
  }

  private Pattern pattern(String text) {
    return patterns.computeIfAbsent(text, Pattern::compile);
  }

  private static Optional<String> text(Mapping mapping, String key) {
    return mapping.get(key).map(Schema::scalar);
  }

  private static String scalar(Node node) {
    return node instanceof Scalar scalar ? scalar.text() : "";
  }

  private static List<String> texts(Node node) {
    return node instanceof Sequence sequence
        ? sequence.items().stream().map(Schema::scalar).toList()
        : List.of();
  }
}
