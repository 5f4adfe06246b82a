// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.http;

import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpHeaderValues;
import io.netty.handler.codec.http.HttpHeaders;
import io.netty.handler.codec.http.HttpMethod;
import io.netty.handler.codec.http.HttpRequest;
import io.netty.handler.codec.http.HttpVersion;
import io.netty.util.AsciiString;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Pattern;

/** What belongs to one hop only (RFC 9110 7.6.1), and what may follow a body (RFC 9110 6.5). */
final class Hops {

  /** A token without a version, and none of HTTP or TLS: those would be led past every rule. */
  private static final Pattern UPGRADABLE =
      Pattern.compile("(?!(?i:http|tls|h2c?)$)[A-Za-z0-9!#$%&'*+.^_`|~-]{1,32}");

  private static final AsciiString KEEP_ALIVE = AsciiString.cached("keep-alive");
  private static final AsciiString HTTP2_SETTINGS = AsciiString.cached("http2-settings");
  private static final AsciiString PROXY_CONNECTION = AsciiString.cached("proxy-connection");

  /** What nobody may name in Connection to have it removed: framing, routing, our own. */
  private static final Set<String> NOT_NOMINATED =
      Set.of(
          "host",
          "content-length",
          "transfer-encoding",
          "trailer",
          "x-forwarded-for",
          "x-forwarded-proto",
          "x-forwarded-client-cert",
          "x-request-id",
          "traceparent",
          "tracestate",
          "");

  /**
   * What a trailer may not be (RFC 9110 6.5.1): framing, routing, request modifiers,
   * authentication.
   */
  private static final Set<String> NOT_IN_TRAILERS =
      Set.of(
          "host",
          "content-length",
          "content-type",
          "content-encoding",
          "content-range",
          "transfer-encoding",
          "trailer",
          "te",
          "connection",
          "keep-alive",
          "proxy-connection",
          "upgrade",
          "expect",
          "max-forwards",
          "range",
          "cache-control",
          "authorization",
          "proxy-authorization",
          "www-authenticate",
          "proxy-authenticate",
          "cookie",
          "set-cookie",
          "age",
          "date",
          "expires",
          "location",
          "retry-after",
          "vary",
          "warning",
          "forwarded",
          "x-forwarded-for",
          "x-forwarded-proto",
          "x-forwarded-client-cert",
          "x-request-id");

  private Hops() {}

  /**
   * Removes what was meant for this hop. Transfer-Encoding stays: it tells our encoder to go on
   * chunking.
   */
  static void strip(HttpHeaders headers) {
    if (headers.contains(HttpHeaderNames.CONNECTION)) {
      for (String value : headers.getAll(HttpHeaderNames.CONNECTION)) {
        for (String name : value.split(",", -1)) {
          String nominated = name.trim().toLowerCase(Locale.ROOT);
          if (!NOT_NOMINATED.contains(nominated)) {
            headers.remove(nominated);
          }
        }
      }
      headers.remove(HttpHeaderNames.CONNECTION);
    }
    headers.remove(KEEP_ALIVE);
    headers.remove(PROXY_CONNECTION);
    headers.remove(HttpHeaderNames.UPGRADE);
  }

  /**
   * The protocol that a request asks to switch to (RFC 9110 7.8): a WebSocket, or another one that
   * is not HTTP. Not of HTTP/1.0, not with content, and not more than one.
   */
  static Optional<String> upgrade(HttpRequest request) {
    HttpHeaders headers = request.headers();
    if (!headers.contains(HttpHeaderNames.UPGRADE)
        || !request.protocolVersion().equals(HttpVersion.HTTP_1_1)
        || !request.method().equals(HttpMethod.GET)
        || !headers.containsValue(HttpHeaderNames.CONNECTION, HttpHeaderValues.UPGRADE, true)) {
      return Optional.empty();
    }
    List<String> wanted = headers.getAll(HttpHeaderNames.UPGRADE);
    String first = wanted.getFirst();
    // A list leaves the choice to the backend, and h2c is still HTTP, which would go by unread.
    return wanted.size() == 1 && UPGRADABLE.matcher(first).matches()
        ? Optional.of(first)
        : Optional.empty();
  }

  /** Says again what was taken away by {@link #strip}. */
  static void upgrade(HttpHeaders headers, String to) {
    headers.set(HttpHeaderNames.CONNECTION, HttpHeaderValues.UPGRADE);
    headers.set(HttpHeaderNames.UPGRADE, to);
  }

  /** The same for requests: TE says only whether trailers are welcome, which we pass on. */
  static void stripRequest(HttpHeaders headers) {
    boolean trailers = headers.containsValue(HttpHeaderNames.TE, "trailers", true);
    strip(headers);
    headers.remove(HttpHeaderNames.TE);
    if (trailers) {
      headers.set(HttpHeaderNames.TE, "trailers");
    }
    headers.remove(HttpHeaderNames.PROXY_AUTHORIZATION);
    // Goes with Upgrade: h2c (RFC 7540 3.2.1), whoever forgot to name it in Connection.
    headers.remove(HTTP2_SETTINGS);
  }

  /**
   * Keeps of the trailers only those announced in Trailer and {@code grpc-*}.
   *
   * @param all whether also those that nobody announced: in HTTP/2, where they are fields as good
   *     as any, it is hardly done
   */
  static void sieveTrailers(HttpHeaders trailers, List<String> announced, boolean all) {
    if (trailers.isEmpty()) {
      return;
    }
    Set<String> allowed = new java.util.HashSet<>();
    for (String value : announced) {
      for (String name : value.split(",", -1)) {
        allowed.add(name.trim().toLowerCase(Locale.ROOT));
      }
    }
    for (Map.Entry<String, String> trailer : trailers.entries()) {
      String name = trailer.getKey().toLowerCase(Locale.ROOT);
      if (NOT_IN_TRAILERS.contains(name)
          || !(all || name.startsWith("grpc-") || allowed.contains(name))) {
        trailers.remove(name);
      }
    }
  }
}
