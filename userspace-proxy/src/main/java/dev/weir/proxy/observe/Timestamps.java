// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.observe;

import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.Locale;

/** Times as Envoy's access log has them: {@code 2026-11-21T20:15:07.310Z}. */
final class Timestamps {

  private static final DateTimeFormatter FORM =
      DateTimeFormatter.ofPattern("uuuu-MM-dd'T'HH:mm:ss.SSS'Z'", Locale.ROOT)
          .withZone(ZoneOffset.UTC);

  private Timestamps() {}

  static String text(long epochMillis) {
    return FORM.format(Instant.ofEpochMilli(epochMillis));
  }
}
