// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.route;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Optional;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.CharRange;
import net.jqwik.api.constraints.Chars;
import net.jqwik.api.constraints.StringLength;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

final class RequestTargetTest {

  @ParameterizedTest
  @CsvSource({
    "/, /",
    "/a/b, /a/b",
    "/a//b, /a//b",
    "/a/./b, /a/b",
    "/a/../b, /b",
    "/a/b/.., /a/",
    "/a/b/., /a/b/",
    "/../../a, /a",
    "/.., /",
    "/%2e%2e/a, /a",
    "/a/%2E%2e/b, /b",
    "/%61%7e, /a~",
    "/a%2fb, /a%2Fb",
    "/..%2fa, /..%2Fa",
    "/a/...., /a/....",
    "/.a, /.a",
    "/a/..?x=/../y, /?x=/../y",
    "/a?b?c, /a?b?c",
    "/a?, /a?"
  })
  void isNormalised(String target, String normal) {
    assertThat(RequestTarget.parse(target).map(RequestTarget::text)).contains(normal);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "",
        "a",
        "*",
        "http://h/",
        "/a#b",
        "/a b",
        "/a\\b",
        "/%",
        "/%4",
        "/%zz",
        "/%00",
        "/a\tb",
        "/é",
        "/a?b#c",
        "/<",
        "/a?\u0080"
      })
  void isRefused(String target) {
    assertThat(RequestTarget.parse(target)).isEmpty();
  }

  @Property
  void normalisingTwiceChangesNothing(
      @ForAll
          @Chars({'/', '.', '%', '2', 'e', 'f', '5', 'a'})
          @CharRange(from = 'b', to = 'c')
          @StringLength(max = 24)
          String rest) {
    Optional<RequestTarget> once = RequestTarget.parse("/" + rest);
    // %25 stays encoded, so a second pass never decodes what the first one left.
    once.ifPresent(
        target -> {
          assertThat(RequestTarget.parse(target.text())).contains(target);
          assertThat(target.path().split("/", -1)).doesNotContain(".", "..");
        });
  }
}
