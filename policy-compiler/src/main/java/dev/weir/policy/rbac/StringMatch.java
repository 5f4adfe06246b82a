// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.rbac;

/**
 * How AuthorizationPolicy compares text: {@code abc} is that text, {@code abc*} and {@code *abc}
 * begin or end with it, {@code *} is anything that is not empty.
 *
 * <p>Source: Istio, Authorization Policy reference, "exact match", "prefix match", "suffix match",
 * "presence match".
 *
 * @param kind how
 * @param text without the asterisk
 */
public record StringMatch(Kind kind, String text) {

  /** How a text is compared. */
  public enum Kind {
    /** The whole text. */
    EXACT,
    /** Begins with it. */
    PREFIX,
    /** Ends with it. */
    SUFFIX,
    /** Anything but nothing. */
    PRESENCE
  }

  /** Reads a pattern; every text is one. */
  public static StringMatch of(String pattern) {
    if (pattern.equals("*")) {
      return new StringMatch(Kind.PRESENCE, "");
    }
    if (pattern.startsWith("*")) {
      // First, as Istio has it: "*a*" ends with "a*".
      return new StringMatch(Kind.SUFFIX, pattern.substring(1));
    }
    return pattern.endsWith("*")
        ? new StringMatch(Kind.PREFIX, pattern.substring(0, pattern.length() - 1))
        : new StringMatch(Kind.EXACT, pattern);
  }

  /** Whether it matches; what is absent is to be given as the empty text. */
  public boolean matches(String value) {
    return switch (kind) {
      case EXACT -> value.equals(text);
      case PREFIX -> value.startsWith(text);
      case SUFFIX -> value.endsWith(text);
      case PRESENCE -> !value.isEmpty();
    };
  }
}
