// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.cli;

import java.time.Duration;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/** {@code 30s}, {@code 5m}, {@code 1h}: from one second to one day. */
class DurationConverter implements ITypeConverter<Duration> {

  private static final Pattern TEXT = Pattern.compile("([0-9]{1,6})([smhd])");

  private final String units;
  private final Duration shortest;
  private final Duration longest;
  private final String expected;

  DurationConverter() {
    this(
        "smh",
        Duration.ofSeconds(1),
        Duration.ofDays(1),
        "is not a time from 1s to 24h (expected: 30s, 5m, 1h)");
  }

  /** What certificates live: {@code 30m}, {@code 24h}, {@code 3650d}, in whole minutes. */
  static final class Lifetime extends DurationConverter {
    Lifetime() {
      super(
          "mhd",
          Duration.ZERO,
          Duration.ofDays(36500),
          "is not a life of a certificate (expected: 30m, 24h, 3650d)");
    }
  }

  private DurationConverter(String units, Duration shortest, Duration longest, String expected) {
    this.units = units;
    this.shortest = shortest;
    this.longest = longest;
    this.expected = expected;
  }

  @Override
  public final Duration convert(String value) {
    Matcher matcher = TEXT.matcher(value);
    if (matcher.matches() && units.contains(matcher.group(2))) {
      long number = Long.parseLong(matcher.group(1));
      Duration duration =
          switch (matcher.group(2)) {
            case "s" -> Duration.ofSeconds(number);
            case "m" -> Duration.ofMinutes(number);
            case "h" -> Duration.ofHours(number);
            default -> Duration.ofDays(number);
          };
      if (duration.compareTo(shortest) >= 0 && duration.compareTo(longest) <= 0) {
        return duration;
      }
    }
    throw new TypeConversionException("'" + value + "' " + expected);
  }
}
