// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.agent;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import org.junit.jupiter.api.Test;

final class JsonTest {

  @Test
  void everyKindOfValueIsWritten() {
    Map<String, Object> object = new LinkedHashMap<>();
    object.put("n", 1L);
    object.put("s", "a\"b\\c\n\u0001");
    object.put("b", true);
    object.put("l", List.of(1, "x"));
    object.put("gone", Optional.empty());
    object.put("there", Optional.of(2));
    assertThat(Json.write(object))
        .isEqualTo(
            "{\"n\":1,\"s\":\"a\\\"b\\\\c\\n\\u0001\",\"b\":true,\"l\":[1,\"x\"],\"there\":2}");
  }

  @Property
  void whatIsWrittenIsReadBack(@ForAll int number, @ForAll boolean bool) {
    Map<String, Object> object = Map.of("n", number, "b", bool, "l", List.of(number));
    assertThat(Json.readObject(Json.write(object))).isEqualTo(object);
  }

  @Test
  void whatIsNoObjectIsRefused() {
    assertThatThrownBy(() -> Json.readObject("[1]")).hasMessageContaining("not a JSON object");
    assertThatThrownBy(() -> Json.readObject("{\"a\":")).hasMessageContaining("not JSON");
  }
}
