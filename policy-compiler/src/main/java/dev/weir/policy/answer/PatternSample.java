// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.answer;

import com.google.re2j.Pattern;
import com.google.re2j.PatternSyntaxException;
import dev.weir.policy.route.RegularExpression;
import java.util.Optional;

/**
 * One text that a regular expression matches. What it finds is checked against the expression, so
 * that it is right or absent; absent for the few that are not built of the usual parts.
 */
final class PatternSample {

  private static final String ORDINARY = "x1A-_/. ";
  private static final int MOST_REPEATED = 64;

  private final String pattern;
  private int at;

  private PatternSample(String pattern) {
    this.pattern = pattern;
  }

  /** A part that is none of the usual ones. */
  private static final class UnusualException extends Exception {
    UnusualException() {
      super("", null, false, false);
    }
  }

  static Optional<String> of(String pattern) {
    PatternSample sample = new PatternSample(pattern);
    try {
      String text = sample.alternatives();
      boolean whole = sample.at == pattern.length();
      return Optional.of(text).filter(t -> whole && RegularExpression.compile(pattern).matches(t));
    } catch (UnusualException | PatternSyntaxException e) {
      return Optional.empty();
    }
  }

  private boolean more() {
    return at < pattern.length();
  }

  private char next() throws UnusualException {
    if (!more()) {
      throw new UnusualException();
    }
    return pattern.charAt(at++);
  }

  /** The first alternative; the others are read past. */
  private String alternatives() throws UnusualException {
    String first = sequence();
    while (more() && pattern.charAt(at) == '|') {
      at++;
      sequence();
    }
    return first;
  }

  private String sequence() throws UnusualException {
    StringBuilder text = new StringBuilder();
    while (more() && pattern.charAt(at) != '|' && pattern.charAt(at) != ')') {
      String part = part();
      text.repeat(part, repetitions());
    }
    return text.toString();
  }

  private String part() throws UnusualException {
    char c = next();
    return switch (c) {
      case '^', '$' -> "";
      case '.' -> "x";
      case '[' -> set();
      case '\\' -> escape(next());
      case '(' -> {
        if (more() && pattern.charAt(at) == '?') {
          at++;
          if (next() != ':') {
            throw new UnusualException();
          }
        }
        String inner = alternatives();
        if (next() != ')') {
          throw new UnusualException();
        }
        yield inner;
      }
      case '*', '+', '?', '{' -> throw new UnusualException();
      default -> String.valueOf(c);
    };
  }

  private static String escape(char c) throws UnusualException {
    return switch (c) {
      case 'd' -> "1";
      case 'w', 'D', 'S' -> "x";
      case 's', 'W' -> " ";
      default -> {
        if (Character.isLetterOrDigit(c)) {
          throw new UnusualException();
        }
        yield String.valueOf(c);
      }
    };
  }

  /** A character that the set holds, found by asking the set. */
  private String set() throws UnusualException {
    int begin = at - 1;
    if (more() && pattern.charAt(at) == '^') {
      at++;
    }
    if (more() && pattern.charAt(at) == ']') {
      at++;
    }
    while (next() != ']') {
      if (pattern.charAt(at - 1) == '\\') {
        next();
      }
    }
    String set = pattern.substring(begin, at);
    Pattern expression = RegularExpression.compile(set);
    for (int c = -ORDINARY.length(); c < 127; c++) {
      String one = String.valueOf(c < 0 ? ORDINARY.charAt(-c - 1) : (char) c);
      if ((c < 0 || c > ' ') && expression.matches(one)) {
        return one;
      }
    }
    throw new UnusualException();
  }

  private int repetitions() throws UnusualException {
    if (!more()) {
      return 1;
    }
    int count =
        switch (pattern.charAt(at)) {
          case '*', '?' -> 0;
          case '+' -> 1;
          case '{' -> -1;
          default -> 2;
        };
    if (count == 2) {
      return 1;
    }
    at++;
    if (count < 0) {
      int end = pattern.indexOf('}', at);
      int comma = pattern.indexOf(',', at);
      if (end < 0) {
        throw new UnusualException();
      }
      String least = pattern.substring(at, comma >= 0 && comma < end ? comma : end);
      at = end + 1;
      try {
        count = Integer.parseInt(least);
      } catch (NumberFormatException e) {
        throw new UnusualException();
      }
      if (count > MOST_REPEATED) {
        throw new UnusualException();
      }
    }
    if (more() && pattern.charAt(at) == '?') {
      at++;
    }
    return count;
  }
}
