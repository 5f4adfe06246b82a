// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.route;

import dev.weir.policy.plan.ProxyPlan.PathMatch;
import dev.weir.policy.plan.ProxyPlan.RouteRule;
import dev.weir.policy.plan.ProxyPlan.SessionPersistence;
import dev.weir.policy.route.SessionKey.Session;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.zip.CRC32;

/**
 * How the requests of a rule stay with a backend (Gateway API SessionPersistence, GEP-1619): where
 * a token is read and written, and when a session is over.
 */
public final class SessionRule {

  private final SessionPersistence persistence;
  private final String scope;
  private final String name;
  private final String headerName;

  /**
   * Of a rule.
   *
   * @param route {@code namespace/name}
   * @param ruleIndex in file order; a rule without a name is known by it
   */
  public SessionRule(SessionPersistence persistence, String route, RouteRule rule, int ruleIndex) {
    this.persistence = persistence;
    this.scope = scope(route, rule, ruleIndex);
    this.name =
        persistence.name().isEmpty() ? ownName(persistence.type(), scope) : persistence.name();
    this.headerName = name.toLowerCase(Locale.ROOT);
  }

  /** What tells a rule from others as long as it is called the same. */
  static String scope(String route, RouteRule rule, int ruleIndex) {
    return route + (rule.name().isEmpty() ? " " + ruleIndex : "/" + rule.name());
  }

  /** Two rules without names of their own must not take each other's tokens for theirs. */
  private static String ownName(SessionPersistence.Type type, String scope) {
    CRC32 sum = new CRC32();
    sum.update(scope.getBytes(StandardCharsets.UTF_8));
    String prefix = type == SessionPersistence.Type.COOKIE ? "weir-session-" : "x-weir-session-";
    return prefix + String.format(Locale.ROOT, "%08x", sum.getValue());
  }

  /** Where its sessions belong, for {@link SessionKey}. */
  public String scope() {
    return scope;
  }

  /** Of the cookie or header. */
  public String name() {
    return name;
  }

  /**
   * The session that a request is of.
   *
   * @param nowMillis since 1970
   * @return empty when it is of none, or of one that is over
   */
  public Optional<Session> of(RequestView request, SessionKey key, long nowMillis) {
    for (String token : tokens(request)) {
      Optional<Session> session = key.open(scope, token);
      if (session.isPresent() && lives(session.get(), nowMillis)) {
        return session;
      }
    }
    return Optional.empty();
  }

  private boolean lives(Session session, long nowMillis) {
    return (persistence.absoluteTimeoutMillis() == 0
            || nowMillis - session.begunMillis() < persistence.absoluteTimeoutMillis())
        && (persistence.idleTimeoutMillis() == 0
            || nowMillis - session.usedMillis() < persistence.idleTimeoutMillis());
  }

  /** Whether a token has to be written although the session goes on: it says when it was used. */
  public boolean renews() {
    return persistence.idleTimeoutMillis() > 0;
  }

  private List<String> tokens(RequestView request) {
    if (persistence.type() == SessionPersistence.Type.HEADER) {
      String value = request.header(headerName);
      return value == null ? List.of() : List.of(value.strip());
    }
    String cookies = request.header("cookie");
    return cookies == null ? List.of() : cookies(cookies, name);
  }

  /** Values of the cookies of one name: a browser sends those of several paths (RFC 6265 5.4). */
  static List<String> cookies(String header, String name) {
    List<String> values = new ArrayList<>(1);
    int at = 0;
    while (at < header.length()) {
      int end = at;
      // A comma joins several header lines here; in a line it is part of no token of ours.
      while (end < header.length() && header.charAt(end) != ';' && header.charAt(end) != ',') {
        end++;
      }
      int equals = header.indexOf('=', at);
      if (equals > 0 && equals < end && header.substring(at, equals).strip().equals(name)) {
        values.add(header.substring(equals + 1, end).strip());
      }
      at = end + 1;
    }
    return values;
  }

  /**
   * Writes a session's token into a response.
   *
   * @param match that the request met
   * @param secure whether the client came by TLS
   * @param nowMillis since 1970
   */
  public <H> void write(
      H headers,
      HeaderEditor<H> editor,
      SessionKey key,
      Session session,
      RouteMatch match,
      boolean secure,
      long nowMillis) {
    String token = key.token(scope, session);
    if (persistence.type() == SessionPersistence.Type.HEADER) {
      editor.set(headers, name, token);
      return;
    }
    StringBuilder cookie = new StringBuilder(128);
    cookie.append(name).append('=').append(token).append("; Path=").append(path(match));
    if (persistence.permanent()) {
      long left = session.begunMillis() + persistence.absoluteTimeoutMillis() - nowMillis;
      cookie.append("; Max-Age=").append(Math.max(0, Math.ceilDiv(left, 1000)));
    }
    if (secure) {
      cookie.append("; Secure");
    }
    cookie.append("; HttpOnly; SameSite=Strict");
    editor.add(headers, "Set-Cookie", cookie.toString());
  }

  /**
   * The part of the site that a match is for: of a regular expression, what comes before anything
   * that is not plain text, by elements.
   */
  static String path(RouteMatch match) {
    String path =
        switch (match.match().path()) {
          case PathMatch.Exact(String text) -> text;
          case PathMatch.Prefix(String text) -> text;
          case PathMatch.Regex(String pattern) -> plain(pattern);
          case PathMatch.Grpc grpc -> "/";
        };
    int semicolon = path.indexOf(';');
    if (semicolon >= 0) {
      // It would end the attribute.
      path = path.substring(0, Math.max(0, path.lastIndexOf('/', semicolon)));
    }
    return path.isEmpty() ? "/" : path;
  }

  private static String plain(String pattern) {
    String text = pattern.startsWith("^") ? pattern.substring(1) : pattern;
    if (text.indexOf('|') >= 0) {
      return "/";
    }
    int end = 0;
    while (end < text.length() && "\\.[](){}*+?^$".indexOf(text.charAt(end)) < 0) {
      end++;
    }
    return end == text.length()
        ? text
        : text.substring(0, Math.max(0, text.lastIndexOf('/', end - 1)));
  }
}
