// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.rbac;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * A verified token of a request (RFC 7519).
 *
 * @param issuer claim {@code iss}
 * @param subject claim {@code sub}
 * @param claims by name; a claim is text, a list, or a map of further claims. What is neither text
 *     nor a list of text matches nothing
 */
public record Token(String issuer, String subject, Map<String, Object> claims) {

  /** No token. */
  public static final Token NONE = new Token("", "", Map.of());

  private static final Set<String> SPACE_DELIMITED = Set.of("scope", "permission");

  /** Copies the map. */
  public Token {
    claims = Map.copyOf(claims);
  }

  /**
   * The token with these claims.
   *
   * @param principal {@code issuer/subject}, for what the claims do not say
   * @param claims as in its payload
   * @param spaceDelimited names of claims that are lists written as one text, beside {@code scope}
   *     and {@code permission} (RFC 8693 4.2)
   */
  public static Token of(String principal, Map<String, Object> claims, Set<String> spaceDelimited) {
    int slash = principal.lastIndexOf('/');
    String issuer =
        claims.get("iss") instanceof String iss ? iss : principal.substring(0, Math.max(0, slash));
    String subject = claims.get("sub") instanceof String sub ? sub : principal.substring(slash + 1);
    Map<String, Object> all = new HashMap<>(claims);
    if (!issuer.isEmpty()) {
      all.putIfAbsent("iss", issuer);
    }
    if (!subject.isEmpty()) {
      all.putIfAbsent("sub", subject);
    }
    all.replaceAll(
        (name, value) ->
            value instanceof String text
                    && (SPACE_DELIMITED.contains(name) || spaceDelimited.contains(name))
                ? words(text)
                : value);
    return new Token(issuer, subject, all);
  }

  private static List<String> words(String text) {
    List<String> words = new ArrayList<>();
    for (String word : text.split(" ", -1)) {
      if (!word.isEmpty()) {
        words.add(word);
      }
    }
    return words;
  }

  /** Whether the claim of this name, or a claim within it by the further names, matches. */
  boolean matches(String[] names, StringMatch match) {
    Object value = claims;
    for (String name : names) {
      Object inner = value instanceof Map<?, ?> map ? map.get(name) : null;
      if (inner == null) {
        return false;
      }
      value = inner;
    }
    if (value instanceof String text) {
      return match.matches(text);
    }
    if (value instanceof List<?> list) {
      for (Object item : list) {
        if (item instanceof String text && match.matches(text)) {
          return true;
        }
      }
    }
    return false;
  }
}
