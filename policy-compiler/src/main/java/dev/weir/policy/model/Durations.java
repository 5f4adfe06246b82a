// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import java.util.Optional;
import java.util.OptionalLong;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Durations as the Gateway API writes them (GEP-2257), in milliseconds. */
final class Durations {

  private static final int DAY_MILLIS = 86_400_000;

  private static final Pattern WHOLE = Pattern.compile("([0-9]{1,5}(h|m|s|ms)){1,4}");

  private static final Pattern PART = Pattern.compile("([0-9]{1,5})(ms|h|m|s)");

  private static final String REMEDY = "as 500ms, 10s or 1m30s";

  private Durations() {}

  /** A duration; 0 when there is none. */
  static long read(Fields fields, String key) {
    Optional<Located<String>> text = fields.string(key);
    if (text.isEmpty()) {
      return 0;
    }
    OptionalLong millis = parse(text.get().value());
    if (millis.isEmpty()) {
      fields.error(key, "\"" + text.get().value() + "\" is no duration", REMEDY);
    }
    return millis.orElse(0);
  }

  /** A duration of more than 0 and at most a day; {@code otherwise} when there is none. */
  static int withinADay(Fields fields, String key, int otherwise) {
    Optional<Located<String>> text = fields.string(key);
    if (text.isEmpty()) {
      return otherwise;
    }
    long millis = parse(text.get().value()).orElse(0);
    if (millis <= 0 || millis > DAY_MILLIS) {
      fields.error(
          key,
          "\"" + text.get().value() + "\" is no duration of more than 0 and at most 24h",
          REMEDY);
      return otherwise;
    }
    return (int) millis;
  }

  private static OptionalLong parse(String text) {
    if (!WHOLE.matcher(text).matches()) {
      return OptionalLong.empty();
    }
    long millis = 0;
    Matcher part = PART.matcher(text);
    while (part.find()) {
      long unit =
          switch (part.group(2)) {
            case "h" -> 3_600_000;
            case "m" -> 60_000;
            case "s" -> 1000;
            default -> 1;
          };
      millis += Long.parseLong(part.group(1)) * unit;
    }
    return OptionalLong.of(millis);
  }
}
