// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.steer;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class HostnamesTest {

  @ParameterizedTest
  @CsvSource({
    "'', '', ''",
    "'', a.example, a.example",
    "a.example, '', a.example",
    "a.example, a.example, a.example",
    "a.example, b.example, -",
    "*.example, a.example, a.example",
    "*.example, a.b.example, a.b.example",
    "*.example, example, -",
    "*.example, aexample, -",
    "a.example, *.example, a.example",
    "*.b.example, *.example, *.b.example",
    "*.example, *.b.example, *.b.example",
    "*.example, a.example b.test c.example, a.example c.example",
  })
  void aRouteServesWhatItsListenerAdmits(String listener, String route, String expected) {
    Optional<List<String>> wanted =
        expected.equals("-") ? Optional.empty() : Optional.of(names(expected));
    assertThat(Hostnames.cut(listener, names(route))).isEqualTo(wanted);
  }

  private static List<String> names(String text) {
    return text.isEmpty() ? List.of() : Arrays.asList(text.split(" "));
  }
}
