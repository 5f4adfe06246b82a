// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.route;

import com.google.re2j.Pattern;
import com.google.re2j.PatternSyntaxException;
import java.util.ArrayDeque;
import java.util.Deque;

/**
 * Regular expressions of routes, in RE2 syntax: matching takes time linear in the text, whatever
 * the pattern, since whoever writes requests must not be able to hold up the proxy. So there are no
 * back-references and no look-around.
 */
public final class RegularExpression {

  /** Longest pattern, characters. */
  public static final int MAX_LENGTH = 1024;

  /** Most elements a pattern may have when its counted repetitions are written out. */
  public static final int MAX_SIZE = 2000;

  private final String pattern;
  private int at;

  private RegularExpression(String pattern) {
    this.pattern = pattern;
  }

  /**
   * Compiles a pattern.
   *
   * @throws PatternSyntaxException when it is not one, or too large
   */
  public static Pattern compile(String pattern) {
    if (pattern.length() > MAX_LENGTH) {
      throw new PatternSyntaxException(
          "longer than " + MAX_LENGTH + " characters", pattern.substring(0, 20));
    }
    // Before it is compiled: a{1000} nested three times would need more memory than there is.
    if (new RegularExpression(pattern).size() > MAX_SIZE) {
      throw new PatternSyntaxException(
          "its repetitions written out are more than " + MAX_SIZE + " elements", pattern);
    }
    return Pattern.compile(pattern);
  }

  /** At least the number of elements, counted repetitions written out. */
  private long size() {
    Deque<Long> outer = new ArrayDeque<>();
    long sum = 0;
    long last = 0;
    while (at < pattern.length()) {
      char c = pattern.charAt(at);
      switch (c) {
        case '(' -> {
          outer.push(sum);
          sum = 0;
          last = 0;
          at++;
        }
        case ')' -> {
          last = Math.max(1, sum);
          sum = last + (outer.isEmpty() ? 0 : outer.pop());
          at++;
        }
        case '{' -> {
          long times = count();
          sum = Math.min(sum + last * (times - 1), Integer.MAX_VALUE);
          last = Math.min(last * times, Integer.MAX_VALUE);
        }
        default -> {
          skip(c);
          last = 1;
          sum++;
        }
      }
    }
    while (!outer.isEmpty()) {
      sum += outer.pop();
    }
    return sum;
  }

  /** The larger number of <code>{n,m}</code>; 1 for braces that count nothing. */
  private long count() {
    long largest = 0;
    long number = 0;
    at++;
    while (at < pattern.length()) {
      char c = pattern.charAt(at);
      if (c >= '0' && c <= '9') {
        number = Math.min(number * 10 + c - '0', Integer.MAX_VALUE);
        largest = Math.max(largest, number);
      } else if (c == ',') {
        number = 0;
      } else {
        at += c == '}' ? 1 : 0;
        break;
      }
      at++;
    }
    return Math.max(1, largest);
  }

  /** Goes behind one element that is not a group. */
  private void skip(char c) {
    at++;
    if (c == '[') {
      // A bracket right behind the opening one, or behind its ^, stands for itself.
      at += at < pattern.length() && pattern.charAt(at) == '^' ? 1 : 0;
      at += at < pattern.length() && pattern.charAt(at) == ']' ? 1 : 0;
      while (at < pattern.length() && pattern.charAt(at) != ']') {
        if (pattern.startsWith("[:", at) && pattern.indexOf(":]", at + 2) > 0) {
          at = pattern.indexOf(":]", at + 2) + 1;
        }
        at += pattern.charAt(at) == '\\' ? 2 : 1;
      }
      at++;
    } else if (c == '\\' && at < pattern.length()) {
      char escaped = pattern.charAt(at++);
      if ((escaped == 'p' || escaped == 'P' || escaped == 'x')
          && pattern.startsWith("{", at)
          && pattern.indexOf('}', at) > 0) {
        at = pattern.indexOf('}', at) + 1;
      }
    }
  }
}
