// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import dev.weir.policy.source.Diagnostics;
import dev.weir.policy.source.Lint;
import dev.weir.policy.source.Node;
import dev.weir.policy.source.Node.Entry;
import dev.weir.policy.source.Node.Mapping;
import dev.weir.policy.source.Node.Scalar;
import dev.weir.policy.source.Node.Sequence;
import dev.weir.policy.source.Position;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Reads the fields of one mapping. Whatever is not as it must be is noted with its place; whatever
 * was never asked for is an unknown field and a warning ({@link #finish}).
 */
final class Fields {

  private static final int NO_INDEX = -1;

  private final Mapping mapping;
  private final Diagnostics diagnostics;

  /** Whose field it is; its path is put together only when something is said about it. */
  private final @Nullable Fields parent;

  private final String key;
  private final int index;
  private @Nullable String path;

  /** What was asked for; few enough to be searched. */
  private String[] known = new String[8];

  private int knownCount;

  /** Paths of all fields that were asked for, for who compares a reader with a schema. */
  private final @Nullable Set<String> asked;

  Fields(Mapping mapping, String path, Diagnostics diagnostics) {
    this(mapping, path, diagnostics, null);
  }

  Fields(Mapping mapping, String path, Diagnostics diagnostics, @Nullable Set<String> asked) {
    this.mapping = mapping;
    this.path = path;
    this.diagnostics = diagnostics;
    this.asked = asked;
    this.parent = null;
    this.key = "";
    this.index = NO_INDEX;
  }

  private Fields(Mapping mapping, Fields parent, String key, int index) {
    this.mapping = mapping;
    this.diagnostics = parent.diagnostics;
    this.asked = parent.asked;
    this.parent = parent;
    this.key = key;
    this.index = index;
  }

  Position at() {
    return mapping.at();
  }

  String path() {
    String found = path;
    if (found == null) {
      found = parent == null ? "" : parent.path(key);
      if (index != NO_INDEX) {
        found += "[" + index + "]";
      }
      path = found;
    }
    return found;
  }

  String path(String key) {
    return path().isEmpty() ? key : path() + "." + key;
  }

  /** Where a field is written, or where its mapping begins. */
  Position at(String key) {
    return mapping.get(key).map(Node::at).orElse(mapping.at());
  }

  void error(String key, String message, String remedy) {
    diagnostics.error(at(key), path(key), message, remedy);
  }

  void warning(String key, String message, String remedy) {
    diagnostics.warning(at(key), path(key), message, remedy);
  }

  /** Notes what is well said and probably not meant. */
  void lint(Lint lint, Meta about, String key, String message, String remedy) {
    diagnostics.lint(lint, about.annotations(), at(key), path(key), message, remedy);
  }

  /** Notes an error about this mapping as a whole. */
  void error(String message, String remedy) {
    diagnostics.error(mapping.at(), path(), message, remedy);
  }

  /** Notes an error about a value that was read. */
  void error(Located<?> value, String message, String remedy) {
    diagnostics.error(value.at(), value.field(), message, remedy);
  }

  /** Notes a warning about this mapping as a whole. */
  void warning(String message, String remedy) {
    diagnostics.warning(mapping.at(), path(), message, remedy);
  }

  /** Notes something well said that this version does not serve yet. */
  void unserved(String key, String message) {
    diagnostics.unserved(at(key), path(key), message);
  }

  /** Whether the field is there and not null. */
  boolean has(String key) {
    return node(key).isPresent();
  }

  Optional<Node> node(String key) {
    know(key);
    Optional<Node> node = mapping.get(key);
    return node.isPresent()
            && node.get() instanceof Scalar scalar
            && scalar.type() == Scalar.Type.NULL
        ? Optional.empty()
        : node;
  }

  private void know(String key) {
    if (asked != null) {
      asked.add(path(key));
    }
    if (knownCount == known.length) {
      known = Arrays.copyOf(known, knownCount * 2);
    }
    known[knownCount++] = key;
  }

  private boolean knows(String key) {
    for (int i = 0; i < knownCount; i++) {
      if (known[i].equals(key)) {
        return true;
      }
    }
    return false;
  }

  private void mismatch(Node found, String path, String expected) {
    diagnostics.error(found.at(), path, "is " + found.describe() + ", but must be " + expected, "");
  }

  Optional<Located<String>> string(String key) {
    return node(key).flatMap(n -> string(n, path(key)));
  }

  private Optional<Located<String>> string(Node node, String at) {
    if (node instanceof Scalar scalar) {
      if (scalar.type() == Scalar.Type.STRING) {
        return Optional.of(new Located<>(scalar.text(), scalar.at(), at));
      }
      diagnostics.error(
          node.at(), at, "is " + node.describe() + ", but must be a string", "write it in quotes");
      return Optional.empty();
    }
    mismatch(node, at, "a string");
    return Optional.empty();
  }

  String text(String key, String otherwise) {
    Optional<Node> node = node(key);
    if (node.isPresent()
        && node.get() instanceof Scalar scalar
        && scalar.type() == Scalar.Type.STRING) {
      return scalar.text();
    }
    return string(key).map(Located::value).orElse(otherwise);
  }

  /** A string that must be there; empty, and an error noted, when it is not or holds nothing. */
  Located<String> required(String key) {
    if (!has(key)) {
      diagnostics.error(mapping.at(), path(key), "is missing", "");
    }
    Optional<Located<String>> text = string(key);
    if (text.isPresent() && text.get().value().isEmpty()) {
      error(key, "is empty", "");
    }
    return text.orElse(new Located<>("", at(key), path(key)));
  }

  Optional<Located<Integer>> integer(String key, int min, int max) {
    return node(key).flatMap(n -> integer(n, path(key), min, max));
  }

  /** An integer whose place is not needed. */
  Optional<Integer> number(String key, int min, int max) {
    Optional<Node> node = node(key);
    if (node.isPresent()
        && node.get() instanceof Scalar scalar
        && scalar.type() == Scalar.Type.INTEGER
        && scalar.text().length() < 10
        && Character.isDigit(scalar.text().charAt(0))
        && scalar.text().chars().allMatch(Character::isDigit)) {
      int value = Integer.parseInt(scalar.text());
      if (value >= min && value <= max) {
        return Optional.of(value);
      }
    }
    return integer(key, min, max).map(Located::value);
  }

  Optional<Located<Integer>> integer(Node node, String at, int min, int max) {
    if (node instanceof Scalar scalar && scalar.type() == Scalar.Type.INTEGER) {
      try {
        int value = Integer.parseInt(scalar.text());
        if (value >= min && value <= max) {
          return Optional.of(new Located<>(value, scalar.at(), at));
        }
      } catch (NumberFormatException e) {
        // Said below: too long a number is out of range, 0x and 0o are no numbers of Kubernetes.
      }
      diagnostics.error(
          node.at(), at, "is " + scalar.text() + ", but must be from " + min + " to " + max, "");
      return Optional.empty();
    }
    mismatch(node, at, "a number from " + min + " to " + max);
    return Optional.empty();
  }

  /** Warns of a list that an API server refuses for its length. */
  void atMost(String key, int most) {
    if (mapping.get(key).orElse(mapping) instanceof Sequence list && list.items().size() > most) {
      warning(
          key,
          "has " + list.items().size() + " items, and an API server refuses more than " + most,
          "split it");
    }
  }

  /** A list of numbers. */
  List<Located<Integer>> integers(String key, int min, int max) {
    List<Located<Integer>> result = new ArrayList<>();
    List<Node> items = items(key);
    for (int i = 0; i < items.size(); i++) {
      integer(items.get(i), path(key) + "[" + i + "]", min, max).ifPresent(result::add);
    }
    return result;
  }

  boolean bool(String key, boolean otherwise) {
    Optional<Node> node = node(key);
    if (node.isEmpty()) {
      return otherwise;
    }
    if (node.get() instanceof Scalar scalar && scalar.type() == Scalar.Type.BOOLEAN) {
      return scalar.text().equalsIgnoreCase("true");
    }
    mismatch(node.get(), path(key), "true or false");
    return otherwise;
  }

  /** One of a few words. */
  <T> Optional<T> choice(String key, Map<String, T> choices) {
    if (node(key).isEmpty()) {
      return Optional.empty();
    }
    Optional<Located<String>> word = string(key);
    if (word.isPresent() && !choices.containsKey(word.get().value())) {
      error(
          key,
          "is \"" + word.get().value() + "\"",
          "one of: " + String.join(", ", choices.keySet().stream().sorted().toList()));
      return Optional.empty();
    }
    return word.map(w -> choices.get(w.value()));
  }

  Optional<Fields> mapping(String key) {
    Optional<Node> node = node(key);
    if (node.isEmpty()) {
      return Optional.empty();
    }
    if (node.get() instanceof Mapping found) {
      return Optional.of(new Fields(found, this, key, NO_INDEX));
    }
    mismatch(node.get(), path(key), "a mapping");
    return Optional.empty();
  }

  private List<Node> items(String key) {
    Optional<Node> node = node(key);
    if (node.isEmpty()) {
      return List.of();
    }
    if (node.get() instanceof Sequence sequence) {
      return sequence.items();
    }
    mismatch(node.get(), path(key), "a list");
    return List.of();
  }

  List<Fields> mappings(String key) {
    List<Node> items = items(key);
    List<Fields> result = new ArrayList<>(items.size());
    for (int i = 0; i < items.size(); i++) {
      if (items.get(i) instanceof Mapping found) {
        result.add(new Fields(found, this, key, i));
      } else {
        mismatch(items.get(i), path(key) + "[" + i + "]", "a mapping");
      }
    }
    return result;
  }

  List<Located<String>> strings(String key) {
    List<Located<String>> result = new ArrayList<>();
    List<Node> items = items(key);
    for (int i = 0; i < items.size(); i++) {
      string(items.get(i), path(key) + "[" + i + "]").ifPresent(result::add);
    }
    return result;
  }

  Map<String, String> map(String key) {
    Map<String, String> result = new LinkedHashMap<>();
    Optional<Node> node = node(key);
    if (node.isEmpty()) {
      return result;
    }
    if (!(node.get() instanceof Mapping found)) {
      mismatch(node.get(), path(key), "a mapping");
      return result;
    }
    for (Entry entry : found.entries()) {
      if (entry.value() instanceof Scalar scalar && scalar.type() == Scalar.Type.STRING) {
        result.put(entry.key().text(), scalar.text());
      } else {
        // Says what is wrong with it.
        string(entry.value(), path(key) + "." + entry.key().text());
      }
    }
    return result;
  }

  /** Stands for a mapping that is not there: every field of it has its default. */
  Fields empty(String key) {
    return new Fields(new Mapping(mapping.at(), List.of()), this, key, NO_INDEX);
  }

  /** Fields of the kind that make no difference here. */
  void ignore(String... keys) {
    for (String ignored : keys) {
      know(ignored);
    }
  }

  /** A field that would make a difference, which this version cannot make. */
  void unsupported(String key, String remedy) {
    if (has(key)) {
      error(key, "is not honoured yet", remedy);
    }
  }

  /** Warns of every field that was not asked for. */
  void finish() {
    for (Entry entry : mapping.entries()) {
      if (!knows(entry.key().text())) {
        diagnostics.warning(
            entry.key().at(),
            path(entry.key().text()),
            "is not a field of this kind",
            Spelling.nearest(entry.key().text(), Arrays.asList(known).subList(0, knownCount))
                .map(name -> "did you mean " + name + "?")
                .orElse(""));
      }
    }
  }

  /**
   * Warns of fields that look like a mistyped one of these, for mappings whose other fields make no
   * difference here and are too many to be known.
   */
  void warnOfLookalikes(String... names) {
    for (Entry entry : mapping.entries()) {
      String key = entry.key().text();
      if (!knows(key) && !List.of(names).contains(key)) {
        Spelling.nearest(key, List.of(names))
            .ifPresent(
                name ->
                    diagnostics.warning(
                        entry.key().at(),
                        path(key),
                        "is not a field of this kind",
                        "did you mean " + name + "?"));
      }
    }
  }
}
