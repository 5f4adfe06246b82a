// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import com.google.re2j.PatternSyntaxException;
import dev.weir.policy.plan.ProxyPlan.ValueMatch;
import dev.weir.policy.route.RegularExpression;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.regex.Pattern;

/** Names and values of headers and query parameters, and regular expressions. */
final class HttpNames {

  static final Set<String> METHODS =
      Set.of("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH");

  /** Headers, or query parameters, of a match by the API's schema. */
  private static final int MAX_MATCHES = 16;

  private static final Pattern TOKEN = Pattern.compile("[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}");

  private HttpNames() {}

  /** Whether a text is a token of RFC 9110 5.6.2 of at most 256 characters. */
  static boolean token(String text) {
    return TOKEN.matcher(text).matches();
  }

  /** A pattern as it is; an error is noted, and the pattern empty, when it is none. */
  static String regex(Fields fields, String key, String pattern) {
    try {
      return RegularExpression.compile(pattern).pattern();
    } catch (PatternSyntaxException e) {
      fields.error(
          key,
          "is no regular expression: " + e.getDescription() + ": " + e.getPattern(),
          "RE2 syntax: no back-references, no look-around, at most "
              + RegularExpression.MAX_LENGTH
              + " characters");
      return "";
    }
  }

  /**
   * Header or query parameter matches.
   *
   * @param header whether names are without regard to case
   */
  static List<ValueMatch> matches(Fields fields, String key, boolean header) {
    List<ValueMatch> values = new ArrayList<>();
    Set<String> names = new HashSet<>();
    fields.atMost(key, MAX_MATCHES);
    for (Fields item : fields.mappings(key)) {
      String type = item.text("type", "Exact");
      Located<String> name = item.required("name");
      Located<String> value = item.required("value");
      if (!token(name.value())) {
        item.error("name", "\"" + name.value() + "\" is no name", "a token of RFC 9110");
      }
      boolean regex = type.equals("RegularExpression");
      if (!regex && !type.equals("Exact")) {
        item.error("type", "is \"" + type + "\"", "one of: Exact, RegularExpression");
      }
      int longest = header ? 4096 : 1024;
      if (value.value().isEmpty() || value.value().length() > longest) {
        item.error(
            "value",
            "has " + value.value().length() + " characters",
            "1 to " + longest + "; the API has no match for what is absent or empty");
      }
      String text = regex ? regex(item, "value", value.value()) : value.value();
      String canonical = header ? name.value().toLowerCase(Locale.ROOT) : name.value();
      // Of several entries with one name, the API lets only the first count.
      if (names.add(canonical)) {
        values.add(new ValueMatch(canonical, text, regex));
      } else {
        item.warning("name", "\"" + name.value() + "\" occurs twice; only the first counts", "");
      }
      item.finish();
    }
    return values;
  }
}
