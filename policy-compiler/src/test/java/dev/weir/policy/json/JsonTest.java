// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.json;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.PrintWriter;
import java.io.StringReader;
import java.io.StringWriter;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

final class JsonTest {

  @Test
  void everyKindOfValueIsWrittenOnALine() {
    Map<String, Object> object = new LinkedHashMap<>();
    object.put("n", 1L);
    object.put("d", 0.5);
    object.put("s", "a\"b\\c\n\u0001");
    object.put("b", true);
    object.put("l", List.of(1, "x", Optional.empty()));
    object.put("gone", Optional.empty());
    object.put("there", Optional.of(2));
    assertThat(Json.line(object))
        .isEqualTo(
            "{\"n\":1,\"d\":0.5,\"s\":\"a\\\"b\\\\c\\n\\u0001\",\"b\":true,"
                + "\"l\":[1,\"x\",null],\"there\":2}");
  }

  @Test
  void prettyIndentsByTwoSpacesAndKeepsEmptyOnesShort() {
    Map<String, Object> value = new LinkedHashMap<>();
    value.put("a\"b", List.of("\n\u0001\\", 1, true));
    value.put("none", List.of());
    value.put("nothing", Map.of());
    assertThat(Json.pretty(value))
        .isEqualTo(
            """
            {
              "a\\"b": [
                "\\n\\u0001\\\\",
                1,
                true
              ],
              "none": [],
              "nothing": {}
            }
            """);
  }

  @Test
  void rowsAreOneArray() {
    StringWriter out = new StringWriter();
    try (JsonRows rows = new JsonRows(new PrintWriter(out))) {
      rows.add(Map.of("a", 1));
      rows.add(Map.of("a", 2));
    }
    assertThat(out.toString().replaceAll("\\s", "")).isEqualTo("[{\"a\":1},{\"a\":2}]");
  }

  @Test
  void aLoneSurrogateDoesNotReachTheOutput() {
    assertThat(Json.line("a\ud800b\ud83d\ude00")).isEqualTo("\"a\ufffdb\ud83d\ude00\"");
  }

  @Test
  void whatIsNoJsonTypeIsRefused() {
    assertThatThrownBy(() -> Json.line(Double.NaN)).hasMessageContaining("finite");
    assertThatThrownBy(() -> Json.line(new Object())).hasMessageContaining("not a JSON type");
  }

  @Property
  void whatIsWrittenIsReadBack(@ForAll int number, @ForAll boolean bool, @ForAll long big) {
    Map<String, Object> object =
        Map.of("n", number, "b", bool, "l", List.of(number), "o", Map.of("x", "" + big));
    assertThat(JsonObject.parse(Json.line(object), "t").toMap()).isEqualTo(object);
    assertThat(JsonObject.parse(Json.pretty(object), "t").toMap()).isEqualTo(object);
  }

  @Test
  void linesAreReadOneAfterTheOtherWithTheirPlaces() throws Exception {
    List<String> found = new ArrayList<>();
    JsonObject.forEach(
        new StringReader("{\"a\":1}\n\n  {\"a\":2}\n"),
        "f.jsonl",
        o -> found.add(o.at() + " " + o.integer("a", 0, 9)));
    assertThat(found).containsExactly("f.jsonl:1:1 1", "f.jsonl:3:3 2");
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      value = {
        "[1]                        | f:1:1: not a JSON object",
        "{\"a\":                    | f:1:6: not JSON",
        "{\"a\": 1, \"a\": 2}       | not JSON: Duplicate field 'a'",
        "{\"x\": 1} {}              | one object must be there, not 2",
        "{\"o\": {\"n\": 70000}}    | f:1:13: o.n: is 70000, but must be a whole number from 1",
        "{\"o\": {\"n\": 1.0}}      | f:1:13: o.n: is 1.0, but must be a whole number",
        "{\"o\": {\"n\": \"1\"}}    | f:1:13: o.n: must be a whole number",
        "{\"o\": {\"n\": null}}     | f:1:7: o.n: is missing",
        "{\"o\": {\"n\": 1e999}}    | f:1:13: o.n: is"
      })
  void aMistakeNamesItsPlaceAndField(String text, String message) {
    assertThatThrownBy(() -> JsonObject.parse(text, "f").object("o").integer("n", 1, 65535))
        .isInstanceOf(JsonException.class)
        .hasMessageContaining(message);
  }

  @Test
  void nestingIsBounded() {
    assertThatThrownBy(() -> JsonObject.parse("{\"a\":".repeat(10_000), "f"))
        .isInstanceOf(JsonException.class);
  }

  @Test
  void anUnknownFieldIsNamedWithTheKnownOnes() {
    assertThatThrownBy(
            () -> JsonObject.parse("{\"prot\":1}", "f").allowOnly(java.util.Set.of("port")))
        .hasMessage("f:1:9: prot: is not a field here; known: port");
  }
}
