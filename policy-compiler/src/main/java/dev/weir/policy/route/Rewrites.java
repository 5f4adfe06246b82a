// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.route;

import dev.weir.policy.plan.ProxyPlan.Filter;
import dev.weir.policy.plan.ProxyPlan.PathEdit;
import java.util.Optional;

/** New paths and redirect locations, as HTTPPathModifier and HTTPRequestRedirectFilter say. */
public final class Rewrites {

  private Rewrites() {}

  /** The target after a path edit; the query stays unless the new path brings its own. */
  public static RequestTarget rewrite(RequestTarget target, PathEdit edit, RouteMatch match) {
    return switch (edit) {
      case PathEdit.Full(String path) -> target.withPath(rooted(path));
      case PathEdit.Prefix(String path) -> {
        String rest = target.path().substring(match.matchedPrefix().length());
        String start = RouteTable.withoutTrailingSlash(path);
        String joined = rest.isEmpty() || rest.startsWith("/") ? start + rest : start + "/" + rest;
        yield target.withPath(rooted(joined));
      }
    };
  }

  /** A new path is written without its first slash by some, and without anything for the root. */
  private static String rooted(String path) {
    return path.startsWith("/") ? path : "/" + path;
  }

  /**
   * The Location of a redirect.
   *
   * @param scheme of the request
   * @param host of the request, without port
   * @param listenerPort on which the request came in
   */
  public static Location location(
      Filter.Redirect redirect,
      String scheme,
      String host,
      int listenerPort,
      RequestTarget target,
      RouteMatch match) {
    String newScheme = redirect.scheme().orElse(scheme);
    String newHost = redirect.hostname().orElse(host);
    // A new scheme brings its well-known port, else the listener's port stays (Gateway API,
    // HTTPRequestRedirectFilter.port).
    int port =
        redirect
            .port()
            .orElseGet(() -> redirect.scheme().isPresent() ? wellKnown(newScheme) : listenerPort);
    Optional<RequestTarget> edited = redirect.path().map(edit -> rewrite(target, edit, match));
    return new Location(
        newScheme, newHost, port == wellKnown(newScheme) ? 0 : port, edited.orElse(target));
  }

  private static int wellKnown(String scheme) {
    return switch (scheme) {
      case "http" -> 80;
      case "https" -> 443;
      default -> 0;
    };
  }
}
