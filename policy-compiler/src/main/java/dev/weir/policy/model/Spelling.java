// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import java.util.Collection;
import java.util.Comparator;
import java.util.Locale;
import java.util.Optional;

/** Guesses what a mistyped word was to be. */
final class Spelling {

  /** Longer words are not guessed at: they are no names of fields. */
  private static final int MAX_LENGTH = 64;

  private Spelling() {}

  /**
   * The word that is at most two letters off: put in, left out, another one, or two exchanged. Of
   * short words, one letter, since every short word resembles another. Of equally near ones the
   * first by alphabet.
   */
  static Optional<String> nearest(String word, Collection<String> words) {
    if (word.length() > MAX_LENGTH) {
      return Optional.empty();
    }
    int allowed = word.length() <= 5 ? 1 : 2;
    String lower = word.toLowerCase(Locale.ROOT);
    return words.stream()
        .filter(w -> Math.abs(w.length() - word.length()) <= allowed)
        .filter(w -> distance(lower, w.toLowerCase(Locale.ROOT)) <= allowed)
        .min(
            Comparator.comparingInt((String w) -> distance(lower, w.toLowerCase(Locale.ROOT)))
                .thenComparing(Comparator.naturalOrder()));
  }

  /** Optimal string alignment: Levenshtein with exchanges of neighbours. */
  private static int distance(String a, String b) {
    int[][] d = new int[a.length() + 1][b.length() + 1];
    for (int i = 0; i <= a.length(); i++) {
      d[i][0] = i;
    }
    for (int j = 0; j <= b.length(); j++) {
      d[0][j] = j;
    }
    for (int i = 1; i <= a.length(); i++) {
      for (int j = 1; j <= b.length(); j++) {
        int change = a.charAt(i - 1) == b.charAt(j - 1) ? 0 : 1;
        d[i][j] = Math.min(Math.min(d[i - 1][j] + 1, d[i][j - 1] + 1), d[i - 1][j - 1] + change);
        if (i > 1
            && j > 1
            && a.charAt(i - 1) == b.charAt(j - 2)
            && a.charAt(i - 2) == b.charAt(j - 1)) {
          d[i][j] = Math.min(d[i][j], d[i - 2][j - 2] + 1);
        }
      }
    }
    return d[a.length()][b.length()];
  }
}
