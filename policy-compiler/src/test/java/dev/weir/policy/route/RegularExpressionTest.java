// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.route;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.re2j.PatternSyntaxException;
import java.time.Duration;
import org.junit.jupiter.api.Assertions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class RegularExpressionTest {

  @Test
  void whatBacktracksForeverElsewhereTakesLinearTime() {
    String text = "/" + "a".repeat(8000) + "!";
    Assertions.assertTimeoutPreemptively(
        Duration.ofSeconds(5),
        () ->
            assertThat(RegularExpression.compile("/(a+)+(a|aa)*(.*a){5}").matcher(text).matches())
                .isFalse());
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "((a{1000}){1000}){1000}",
        "a{1000}b{1000}c",
        "([^]a]{50}){50}",
        "(\\p{L}{100}){100}",
        "(\\x{41}{100}){100}",
        "([[:alpha:]\\]]{50}){50}",
        "((a|b{40}){60})",
        "(a)\\1",
        "(?=a)b",
        "(?<!a)b",
        "(",
        "a**"
      })
  void whatIsTooLargeOrCannotBeMatchedInLinearTimeIsRefused(String pattern) {
    assertThatThrownBy(() -> RegularExpression.compile(pattern))
        .isInstanceOf(PatternSyntaxException.class);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        "/(?i)cart(/.*)?",
        "/v[12]/[^/]+",
        "/\\Qa.b\\E",
        "/\\{id\\}",
        "[]a]{3}",
        "/(?P<name>x{3}){2,10}"
      })
  void whatPeopleWriteIsAccepted(String pattern) {
    assertThat(RegularExpression.compile(pattern).pattern()).isEqualTo(pattern);
  }
}
