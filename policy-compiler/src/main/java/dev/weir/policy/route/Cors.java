// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.route;

import dev.weir.policy.plan.ProxyPlan.Filter;
import java.util.List;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/**
 * What browsers are told about requests from pages of another origin (WHATWG Fetch, CORS protocol;
 * Gateway API HTTPCORSFilter). Nothing is refused by it: a browser that is told nothing refuses by
 * itself.
 */
public final class Cors {

  /** Of the answer to a preflight: nothing follows. */
  public static final int PREFLIGHT_STATUS = 204;

  private final Filter.Cors filter;
  private final List<Origin> origins;

  private record Origin(String scheme, String host, String port) {

    static Origin of(String text) {
      int slashes = text.indexOf("://");
      if (slashes < 0) {
        return new Origin("", text, "");
      }
      String scheme = text.substring(0, slashes);
      String rest = text.substring(slashes + 3);
      int colon = rest.lastIndexOf(':');
      boolean port = colon > rest.lastIndexOf(']');
      return new Origin(
          scheme,
          port ? rest.substring(0, colon) : rest,
          port
              ? rest.substring(colon + 1)
              : switch (scheme) {
                case "http" -> "80";
                case "https" -> "443";
                default -> "";
              });
    }

    boolean covers(Origin other) {
      if (scheme.isEmpty()) {
        return host.equals("*") || host.equals(other.host) && other.scheme.isEmpty();
      }
      return scheme.equals(other.scheme)
          && port.equals(other.port)
          && (host.equals("*")
              || host.equals(other.host)
              || host.startsWith("*.")
                  && other.host.length() > host.length() - 1
                  && other.host.endsWith(host.substring(1)));
    }
  }

  /** Of a filter. */
  public Cors(Filter.Cors filter) {
    this.filter = filter;
    this.origins = filter.allowOrigins().stream().map(Origin::of).toList();
  }

  /** Whether a browser asks what it may send (Fetch, CORS-preflight request). */
  public static boolean isPreflight(RequestView request) {
    return request.method().equals("OPTIONS")
        && request.header("origin") != null
        && request.header("access-control-request-method") != null;
  }

  private boolean allows(@Nullable String origin) {
    if (origin == null) {
      return false;
    }
    Origin asked = Origin.of(origin.toLowerCase(Locale.ROOT));
    return origins.stream().anyMatch(o -> o.covers(asked));
  }

  /**
   * Makes the answer to a preflight; it stays without headers for an origin that is not allowed.
   */
  public <H> void answerPreflight(RequestView request, H headers, HeaderEditor<H> editor) {
    String origin = request.header("origin");
    if (!allows(origin)) {
      return;
    }
    allowOrigin(origin, headers, editor);
    list(
        headers,
        editor,
        "Access-Control-Allow-Methods",
        filter.allowMethods(),
        request.header("access-control-request-method"));
    list(
        headers,
        editor,
        "Access-Control-Allow-Headers",
        filter.allowHeaders(),
        request.header("access-control-request-headers"));
    editor.set(headers, "Access-Control-Max-Age", Integer.toString(filter.maxAgeSeconds()));
  }

  /**
   * Changes the answer to a request that a page may have sent. What the backend said of CORS is
   * replaced, and taken away where this says nothing: the backend cannot allow an origin that the
   * route does not.
   *
   * @param origin of the page, as the request had it; null when it names none
   */
  public <H> void editResponse(@Nullable String origin, H headers, HeaderEditor<H> editor) {
    editor.remove(headers, "Access-Control-Allow-Origin");
    editor.remove(headers, "Access-Control-Allow-Credentials");
    editor.remove(headers, "Access-Control-Expose-Headers");
    if (!allows(origin)) {
      return;
    }
    allowOrigin(origin, headers, editor);
    list(headers, editor, "Access-Control-Expose-Headers", filter.exposeHeaders(), null);
  }

  private <H> void allowOrigin(@Nullable String origin, H headers, HeaderEditor<H> editor) {
    // A star is of no use with credentials, and only then does the answer not depend on who asked.
    boolean star = filter.allowOrigins().contains("*") && !filter.allowCredentials();
    if (star || origin == null) {
      editor.set(headers, "Access-Control-Allow-Origin", "*");
    } else {
      editor.set(headers, "Access-Control-Allow-Origin", origin);
      editor.add(headers, "Vary", "Origin");
    }
    if (filter.allowCredentials()) {
      editor.set(headers, "Access-Control-Allow-Credentials", "true");
    }
  }

  /** With credentials browsers take a star for a name: what was asked for stands in its place. */
  private <H> void list(
      H headers, HeaderEditor<H> editor, String name, List<String> values, @Nullable String asked) {
    if (values.isEmpty()) {
      return;
    }
    if (!values.contains("*") || !filter.allowCredentials()) {
      editor.set(headers, name, String.join(", ", values));
    } else if (asked != null) {
      editor.set(headers, name, asked);
    }
  }
}
