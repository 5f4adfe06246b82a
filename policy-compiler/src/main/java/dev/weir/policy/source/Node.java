// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.source;

import java.util.List;
import java.util.Optional;

/** A part of a document. */
public sealed interface Node {

  /** Where it begins. */
  Position at();

  /** What it is, for people. */
  String describe();

  /**
   * Keys and values, in file order; no two keys are equal.
   *
   * @param at where it begins
   * @param entries in file order
   */
  record Mapping(Position at, List<Entry> entries) implements Node {
    /** Copies the list. */
    public Mapping {
      entries = List.copyOf(entries);
    }

    /** The value of a key. */
    public Optional<Node> get(String key) {
      for (Entry entry : entries) {
        if (entry.key().text().equals(key)) {
          return Optional.of(entry.value());
        }
      }
      return Optional.empty();
    }

    @Override
    public String describe() {
      return "a mapping";
    }
  }

  /** A key with its value. */
  record Entry(Scalar key, Node value) {}

  /**
   * A list.
   *
   * @param at where it begins
   * @param items in file order
   */
  record Sequence(Position at, List<Node> items) implements Node {
    /** Copies the list. */
    public Sequence {
      items = List.copyOf(items);
    }

    @Override
    public String describe() {
      return "a list";
    }
  }

  /**
   * A single value.
   *
   * @param at where it begins
   * @param text as written, without quotes
   * @param type what YAML's core schema makes of it
   */
  record Scalar(Position at, String text, Type type) implements Node {
    /** What a plain value is; a quoted one is always a string. */
    public enum Type {
      /** Text. */
      STRING,
      /** A whole number. */
      INTEGER,
      /** Another number. */
      FLOAT,
      /** {@code true} or {@code false}. */
      BOOLEAN,
      /** {@code null}, {@code ~} or nothing. */
      NULL
    }

    @Override
    public String describe() {
      return switch (type) {
        case STRING -> "the string \"" + shortened(text) + "\"";
        case INTEGER, FLOAT -> "the number " + shortened(text);
        case BOOLEAN -> text;
        case NULL -> "null";
      };
    }

    private static String shortened(String text) {
      return text.length() <= 60 ? text : text.substring(0, 57) + "...";
    }
  }
}
