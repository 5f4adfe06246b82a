// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.route;

import java.util.Optional;

/**
 * The path and query of a request target, with the path in one normal form.
 *
 * <p>The normal form is RFC 3986 6.2.2: percent-encoded unreserved characters are decoded, other
 * percent-encodings get upper-case digits, dot segments are removed. What is normalised is also
 * what is forwarded, so the backend sees the path the rules were applied to. Not merged: double
 * slashes, and {@code %2F}, which RFC 3986 keeps apart from a slash. Refused: characters that no
 * URI may contain (controls, space, quotes, angle brackets, backslash, braces, bar, caret, grave,
 * anything beyond ASCII), a fragment, a broken percent-encoding, an encoded NUL.
 *
 * @param path begins with a slash
 * @param query as sent, without the question mark; empty when there is none
 * @param hasQuery whether there was a question mark
 */
public record RequestTarget(String path, String query, boolean hasQuery) {

  private static final boolean[] ALLOWED = allowed();

  private static boolean[] allowed() {
    boolean[] allowed = new boolean[128];
    for (char c = 0x21; c < 0x7f; c++) {
      allowed[c] = "\"#<>\\^`{|}".indexOf(c) < 0;
    }
    return allowed;
  }

  /**
   * Splits and normalises an origin-form target (RFC 9112 3.2.1).
   *
   * @return empty when the target is not one that may be forwarded
   */
  public static Optional<RequestTarget> parse(String target) {
    if (target.isEmpty() || target.charAt(0) != '/') {
      return Optional.empty();
    }
    int question = -1;
    boolean plain = true;
    for (int i = 0; i < target.length(); i++) {
      char c = target.charAt(i);
      if (c == '?' && question < 0) {
        question = i;
      } else if (c >= 128 || !ALLOWED[c] && !(question >= 0 && lenientInQuery(c))) {
        return Optional.empty();
      } else if (question < 0 && (c == '%' || c == '.' && target.charAt(i - 1) == '/')) {
        plain = false;
      }
    }
    String path = question < 0 ? target : target.substring(0, question);
    String query = question < 0 ? "" : target.substring(question + 1);
    if (!plain) {
      String decoded = decodeUnreserved(path);
      if (decoded.isEmpty()) {
        return Optional.empty();
      }
      path = removeDotSegments(decoded);
    }
    return Optional.of(new RequestTarget(path, query, question >= 0));
  }

  /**
   * Browsers and common libraries send these unencoded in queries; routing never depends on them.
   */
  private static boolean lenientInQuery(char c) {
    return c == '"' || c == '\\' || c == '^' || c == '`' || c == '{' || c == '|' || c == '}';
  }

  /** As it goes on the wire. */
  public String text() {
    return hasQuery ? path + "?" + query : path;
  }

  /** This target with another path, which is taken as it is. */
  public RequestTarget withPath(String newPath) {
    return new RequestTarget(newPath, query, hasQuery);
  }

  private static String decodeUnreserved(String path) {
    StringBuilder text = new StringBuilder(path.length());
    for (int i = 0; i < path.length(); i++) {
      char c = path.charAt(i);
      if (c != '%') {
        text.append(c);
        continue;
      }
      if (i + 2 >= path.length()) {
        return "";
      }
      int high = Character.digit(path.charAt(i + 1), 16);
      int low = Character.digit(path.charAt(i + 2), 16);
      int decoded = high * 16 + low;
      if (high < 0 || low < 0 || decoded == 0) {
        return "";
      }
      if (unreserved((char) decoded)) {
        text.append((char) decoded);
      } else {
        text.append('%')
            .append(Character.toUpperCase(path.charAt(i + 1)))
            .append(Character.toUpperCase(path.charAt(i + 2)));
      }
      i += 2;
    }
    return text.toString();
  }

  private static boolean unreserved(char c) {
    return c >= 'a' && c <= 'z'
        || c >= 'A' && c <= 'Z'
        || c >= '0' && c <= '9'
        || c == '-'
        || c == '.'
        || c == '_'
        || c == '~';
  }

  /** RFC 3986 5.2.4, for a path that begins with a slash. */
  private static String removeDotSegments(String path) {
    StringBuilder out = new StringBuilder(path.length());
    int at = 0;
    while (at < path.length()) {
      int next = path.indexOf('/', at + 1);
      int end = next < 0 ? path.length() : next;
      boolean last = next < 0;
      int length = end - at - 1;
      if (length == 1 && path.charAt(at + 1) == '.') {
        if (last) {
          out.append('/');
        }
      } else if (length == 2 && path.charAt(at + 1) == '.' && path.charAt(at + 2) == '.') {
        out.setLength(Math.max(0, out.lastIndexOf("/")));
        if (last) {
          out.append('/');
        }
      } else {
        out.append(path, at, end);
      }
      at = end;
    }
    return out.isEmpty() ? "/" : out.toString();
  }
}
