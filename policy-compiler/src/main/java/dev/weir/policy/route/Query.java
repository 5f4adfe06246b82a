// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.route;

import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import org.jspecify.annotations.Nullable;

/**
 * Query strings as {@code name=value&name=value} (WHATWG URL, application/x-www-form-urlencoded).
 */
final class Query {

  private Query() {}

  /**
   * The decoded value of the first parameter of a name; the Gateway API leaves open which of
   * several counts.
   *
   * @return null when there is none
   */
  static @Nullable String first(String query, String name) {
    int at = 0;
    while (at <= query.length() && !query.isEmpty()) {
      int end = query.indexOf('&', at);
      end = end < 0 ? query.length() : end;
      int equals = query.indexOf('=', at);
      int nameEnd = equals < 0 || equals > end ? end : equals;
      if (decode(query.substring(at, nameEnd)).equals(name)) {
        return nameEnd == end ? "" : decode(query.substring(nameEnd + 1, end));
      }
      at = end + 1;
    }
    return null;
  }

  private static String decode(String text) {
    if (text.indexOf('%') < 0 && text.indexOf('+') < 0) {
      return text;
    }
    try {
      return URLDecoder.decode(text, StandardCharsets.UTF_8);
    } catch (IllegalArgumentException brokenEncoding) {
      // Compared as it was sent: it equals no value that a policy would name.
      return text;
    }
  }
}
