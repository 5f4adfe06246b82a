// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.schema.Schema;
import dev.weir.policy.schema.Schemas;
import dev.weir.policy.source.Diagnostics;
import dev.weir.policy.source.DocumentReader;
import dev.weir.policy.source.Node;
import dev.weir.policy.source.Node.Entry;
import dev.weir.policy.source.Node.Mapping;
import dev.weir.policy.source.Node.Scalar;
import dev.weir.policy.source.Node.Sequence;
import dev.weir.policy.source.Position;
import dev.weir.policy.source.SourceFile;
import dev.weir.policy.source.SourceTree;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Schemas and readers know the same fields, and schemas say only what is understood. */
class SchemaAgreementTest {

  private static final Set<String> ANNOTATIONS =
      Set.of("$schema", "$id", "title", "description", "default");

  private static final Set<String> ASSERTIONS =
      Set.of(
          "type",
          "properties",
          "additionalProperties",
          "required",
          "items",
          "enum",
          "const",
          "minimum",
          "maximum",
          "minLength",
          "maxLength",
          "minItems",
          "maxItems",
          "uniqueItems",
          "minProperties",
          "pattern",
          "anyOf",
          "oneOf");

  /** Fields that readers ask for only to say that they are not honoured. */
  private static final Set<String> REFUSED = Set.of("spec.node");

  private static final Position NOWHERE = new Position("", 0, 0);

  private static Mapping schema(String kind) {
    String text = Schemas.text(kind).orElseThrow();
    return (Mapping)
        DocumentReader.read(
                new SourceFile("s.json", text.getBytes(StandardCharsets.UTF_8)), new Diagnostics())
            .getFirst();
  }

  /** Paths of all fields that a schema knows, without those of metadata. */
  static void fields(Mapping schema, String path, Set<String> found) {
    schema
        .get("properties")
        .ifPresent(
            properties -> {
              for (Entry entry : ((Mapping) properties).entries()) {
                String key = path.isEmpty() ? entry.key().text() : path + "." + entry.key().text();
                found.add(key);
                if (!key.equals("metadata")) {
                  fields((Mapping) entry.value(), key, found);
                }
              }
            });
    schema.get("items").ifPresent(items -> fields((Mapping) items, path + "[]", found));
    schema
        .get("oneOf")
        .ifPresent(
            choices -> ((Sequence) choices).items().forEach(c -> fields((Mapping) c, path, found)));
  }

  /** A document with every field that a schema knows. */
  private static Node example(Mapping schema) {
    if (schema.get("oneOf").isPresent()) {
      return example((Mapping) ((Sequence) schema.get("oneOf").get()).items().getLast());
    }
    if (schema.get("enum").isPresent()) {
      return ((Sequence) schema.get("enum").get()).items().getFirst();
    }
    String type = schema.get("type").map(t -> ((Scalar) t).text()).orElse("string");
    return switch (type) {
      case "object" -> {
        List<Entry> entries = new ArrayList<>();
        schema
            .get("properties")
            .ifPresent(
                p ->
                    ((Mapping) p)
                        .entries()
                        .forEach(
                            e -> entries.add(new Entry(e.key(), example((Mapping) e.value())))));
        yield new Mapping(NOWHERE, entries);
      }
      case "array" ->
          new Sequence(NOWHERE, List.of(example((Mapping) schema.get("items").orElseThrow())));
      case "integer" -> schema.get("minimum").orElseThrow();
      case "boolean" -> new Scalar(NOWHERE, "true", Scalar.Type.BOOLEAN);
      default -> schema.get("default").orElse(new Scalar(NOWHERE, "a", Scalar.Type.STRING));
    };
  }

  private static void read(String kind, Fields fields) {
    Meta meta = new Meta("default", "a", Map.of(), Map.of(), "", NOWHERE);
    switch (kind) {
      case "Workload" -> NodeReader.workload(meta, fields);
      case "Mesh" -> NodeReader.mesh(meta, fields);
      case "TrafficPolicy" -> TrafficPolicyReader.read(meta, fields);
      default -> PolicyTestReader.read(meta, fields);
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"Workload", "Mesh", "TrafficPolicy", "PolicyTest"})
  void schemaAndReaderKnowTheSameFields(String kind) {
    Mapping schema = schema(kind);
    Set<String> known = new TreeSet<>();
    fields(schema, "", known);
    Set<String> asked = new TreeSet<>();
    read(kind, new Fields((Mapping) example(schema), "", new Diagnostics(), asked));
    Set<String> read = new TreeSet<>();
    asked.forEach(path -> read.add(path.replaceAll("\\[[0-9]+]", "[]")));
    read.removeAll(REFUSED);
    assertThat(read).isEqualTo(known);
  }

  @ParameterizedTest
  @ValueSource(strings = {"Workload", "Mesh", "TrafficPolicy", "PolicyTest"})
  void everyPartOfASchemaIsUnderstoodAndDescribed(String kind) {
    wellFormed(schema(kind), kind);
  }

  private static void wellFormed(Mapping schema, String path) {
    for (Entry entry : schema.entries()) {
      String keyword = entry.key().text();
      assertThat(ASSERTIONS.contains(keyword) || ANNOTATIONS.contains(keyword))
          .as(path + " " + keyword)
          .isTrue();
      switch (keyword) {
        case "properties" -> {
          for (Entry property : ((Mapping) entry.value()).entries()) {
            Mapping value = (Mapping) property.value();
            String at = path + "." + property.key().text();
            assertThat(value.get("description")).as(at + " is described").isPresent();
            wellFormed(value, at);
          }
        }
        case "items" -> wellFormed((Mapping) entry.value(), path + "[]");
        case "anyOf", "oneOf" ->
            ((Sequence) entry.value()).items().forEach(i -> wellFormed((Mapping) i, path));
        default -> {}
      }
    }
  }

  @ParameterizedTest(name = "{0}")
  @CsvSource(
      delimiter = '|',
      value = {
        "{type: string}                  | 1        | is the number 1, but must be of type string",
        "{minimum: 2}                    | 1        | must be at least 2",
        "{maximum: 2}                    | 3        | must be at most 2",
        "{enum: [a, b]}                  | c        | but must be one of [a, b]",
        "{const: a}                      | b        | must be \"a\"",
        "{pattern: '^a$'}                | b        | does not have the form ^a$",
        "{minLength: 2}                  | a        | is too short",
        "{maxLength: 1}                  | aa       | is longer than 1",
        "{minItems: 1}                   | []       | must have at least 1 items",
        "{maxItems: 1}                   | [a, b]   | must have at most 1 items",
        "{uniqueItems: true}             | [a, a]   | has an item twice",
        "{minProperties: 1}              | {}       | is empty",
        "{required: [a]}                 | {b: c}   | lacks a",
        "{items: {type: string}}         | [a, 1]   | [1]: is the number 1",
        "{properties: {a: {const: b}}}   | {a: c}   | a: must be \"b\"",
        "{additionalProperties: {const: b}} | {a: c} | a: must be \"b\"",
        "{anyOf: [{required: [a]}]}      | {b: c}   | fits none of what may be written",
        "{oneOf: [{const: a}, {const: b}]} | c      | fits none of what may be written"
      })
  void everyKeywordRefusesWhatItIsFor(String schema, String value, String message) {
    Diagnostics diagnostics = new Diagnostics();
    List<Node> both =
        DocumentReader.read(
            new SourceFile("f", (schema + "\n---\n" + value).getBytes(StandardCharsets.UTF_8)),
            diagnostics);
    new Schema(both.getFirst()).check(both.getLast(), diagnostics);
    assertThat(diagnostics.errors())
        .singleElement()
        .asString()
        .startsWith("f:3:")
        .contains(message);
  }

  /** What a reader accepts its schema accepts, in the example's files and in tests of readers. */
  @Test
  void theExampleFitsItsSchemas() {
    Diagnostics diagnostics = new Diagnostics();
    int checked = 0;
    for (SourceFile file : SourceTree.read(Path.of("..", "examples")).files()) {
      for (Node document : DocumentReader.read(file, diagnostics)) {
        Fields fields = new Fields((Mapping) document, "", diagnostics);
        if (fields.text("apiVersion", "").equals("weir.dev/v1alpha1")) {
          new Schemas().of(fields.text("kind", "")).orElseThrow().check(document, diagnostics);
          checked++;
        }
      }
    }
    assertThat(diagnostics.errors()).isEmpty();
    assertThat(checked).isGreaterThan(5);
  }
}
