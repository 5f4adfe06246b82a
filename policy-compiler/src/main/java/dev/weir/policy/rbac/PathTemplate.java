// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.rbac;

/**
 * A path template: {@code {*}} is one segment that is not empty, {@code {**}} is any number of
 * characters, slashes too; after it only text follows. Both take only what RFC 3986 calls pchar,
 * without the asterisk.
 *
 * <p>Source: Istio, Authorization Policy reference, "path templates"; Envoy, URI template matcher.
 */
final class PathTemplate {

  private static final boolean[] PCHAR = pchar();

  /** Text, {@code {*}} and {@code {**}} in turn. */
  private final String[] parts;

  private PathTemplate(String[] parts) {
    this.parts = parts;
  }

  static boolean isTemplate(String pattern) {
    return pattern.contains("{*}") || pattern.contains("{**}");
  }

  static PathTemplate of(String pattern) {
    return new PathTemplate(pattern.split("(?<=\\{\\*{1,2}})|(?=\\{\\*{1,2}})", -1));
  }

  private static boolean[] pchar() {
    boolean[] set = new boolean[128];
    for (char c = 0; c < 128; c++) {
      set[c] =
          c >= '0' && c <= '9'
              || c >= 'A' && c <= 'Z'
              || c >= 'a' && c <= 'z'
              || "-._~%!$&'()+,;:@=".indexOf(c) >= 0;
    }
    return set;
  }

  boolean matches(String path) {
    int at = 0;
    for (int i = 0; i < parts.length; i++) {
      String part = parts[i];
      if (part.equals("{**}")) {
        String rest = i + 1 < parts.length ? parts[i + 1] : "";
        int end = path.length() - rest.length();
        return end >= at && path.endsWith(rest) && within(path, at, end);
      }
      if (part.equals("{*}")) {
        int end = path.indexOf('/', at);
        end = end < 0 ? path.length() : end;
        if (end == at || !within(path, at, end)) {
          return false;
        }
        at = end;
      } else {
        if (!path.startsWith(part, at)) {
          return false;
        }
        at += part.length();
      }
    }
    return at == path.length();
  }

  /** The segment between has no slash in it where there must be none: the caller cut it so. */
  private static boolean within(String path, int from, int to) {
    for (int i = from; i < to; i++) {
      char c = path.charAt(i);
      if (c >= 128 || c != '/' && !PCHAR[c]) {
        return false;
      }
    }
    return true;
  }
}
