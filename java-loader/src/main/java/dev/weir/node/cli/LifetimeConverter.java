// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.cli;

import java.time.Duration;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/** {@code 30m}, {@code 24h}, {@code 3650d}: what certificates live, in whole minutes. */
final class LifetimeConverter implements ITypeConverter<Duration> {

  private static final Pattern TEXT = Pattern.compile("([0-9]{1,6})([mhd])");
  private static final Duration LONGEST = Duration.ofDays(36500);

  @Override
  public Duration convert(String value) {
    Matcher matcher = TEXT.matcher(value);
    if (matcher.matches()) {
      long number = Long.parseLong(matcher.group(1));
      Duration duration =
          switch (matcher.group(2)) {
            case "m" -> Duration.ofMinutes(number);
            case "h" -> Duration.ofHours(number);
            default -> Duration.ofDays(number);
          };
      if (duration.compareTo(LONGEST) <= 0) {
        return duration;
      }
    }
    throw new TypeConversionException(
        "'" + value + "' is not a life of a certificate (expected: 30m, 24h, 3650d)");
  }
}
