// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.http;

import dev.weir.policy.route.RequestTarget;
import dev.weir.proxy.wire.SecondLook;
import io.netty.handler.codec.TooLongFrameException;
import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpHeaderValues;
import io.netty.handler.codec.http.HttpHeaders;
import io.netty.handler.codec.http.HttpMethod;
import io.netty.handler.codec.http.HttpRequest;
import io.netty.handler.codec.http.HttpResponseStatus;
import io.netty.handler.codec.http.HttpVersion;
import io.netty.handler.codec.http.TooLongHttpHeaderException;
import io.netty.handler.codec.http.TooLongHttpLineException;
import io.netty.util.AsciiString;
import io.netty.util.NetUtil;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/**
 * Which requests are refused for how they are written. Wherever two readers could take a request
 * for two different ones, it is refused and the connection closed.
 */
final class RequestChecks {

  /** Header fields of one request; beyond it 431. */
  static final int MAX_FIELDS = 100;

  // What a backend behind CGI, WSGI or their like takes for the header with a hyphen.
  private static final AsciiString CONTENT_LENGTH_ALIKE = AsciiString.cached("content_length");
  private static final AsciiString TRANSFER_ENCODING_ALIKE =
      AsciiString.cached("transfer_encoding");

  private RequestChecks() {}

  /**
   * A refused request.
   *
   * @param status to answer with
   * @param why for the client and the log
   */
  record Refusal(HttpResponseStatus status, String why) {}

  /**
   * What is left of a good request's target and host.
   *
   * @param target normalised
   * @param host in lower case, without port; empty for HTTP/1.0 without Host
   * @param asterisk the request is {@code OPTIONS *}
   */
  record Good(RequestTarget target, String host, boolean asterisk) {}

  /** Judges framing, version and header fields; empty when all is well. */
  static Optional<Refusal> refusal(HttpRequest request) {
    if (request.decoderResult().isFailure()) {
      return Optional.of(undecodable(request.decoderResult().cause()));
    }
    HttpVersion version = request.protocolVersion();
    boolean http11 = version.equals(HttpVersion.HTTP_1_1);
    if (!http11 && !version.equals(HttpVersion.HTTP_1_0)) {
      return bad("version " + version.text() + " is not HTTP/1.1 or HTTP/1.0");
    }
    if (request.uri().length() > RequestDecoder.MAX_LINE) {
      // Of HTTP/2: its fields have one limit for all of them.
      return Optional.of(tooLong());
    }
    HttpHeaders headers = request.headers();
    if (headers.size() > MAX_FIELDS) {
      return Optional.of(
          new Refusal(
              HttpResponseStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
              "more than " + MAX_FIELDS + " header fields"));
    }
    if (headers.contains(HttpHeaderNames.TRANSFER_ENCODING)) {
      List<String> codings = headers.getAll(HttpHeaderNames.TRANSFER_ENCODING);
      if (!http11
          || codings.size() != 1
          || !HttpHeaderValues.CHUNKED.contentEqualsIgnoreCase(codings.getFirst())) {
        return bad("Transfer-Encoding is not exactly chunked");
      }
      if (headers.contains(HttpHeaderNames.CONTENT_LENGTH)) {
        return bad("both Content-Length and Transfer-Encoding");
      }
    }
    if (!http11 && mayHaveNoBody(request.method()) && hasLength(headers)) {
      // RFC 9112 6.3 came after HTTP/1.0: such readers take the body for the next request.
      return bad(request.method() + " of HTTP/1.0 with a body");
    }
    if (headers.contains(CONTENT_LENGTH_ALIKE) || headers.contains(TRANSFER_ENCODING_ALIKE)) {
      return bad("a header is named like one of framing, but for '_'");
    }
    if (headers.contains(HttpHeaderNames.EXPECT) && !continues(headers)) {
      return Optional.of(
          new Refusal(HttpResponseStatus.EXPECTATION_FAILED, "Expect is not 100-continue"));
    }
    if (request.method().equals(HttpMethod.CONNECT)) {
      return Optional.of(
          new Refusal(HttpResponseStatus.METHOD_NOT_ALLOWED, "CONNECT is not served here"));
    }
    if (request.method().equals(HttpMethod.TRACE)
        && (headers.contains(HttpHeaderNames.TRANSFER_ENCODING)
            || headers.contains(HttpHeaderNames.CONTENT_LENGTH))) {
      // RFC 9110 9.3.8: it has no content.
      return bad("TRACE with a body");
    }
    return Optional.empty();
  }

  /** Writes the framing of a good request so that nobody can read it in another way. */
  static void writePlainly(HttpHeaders headers) {
    String coding = headers.get(HttpHeaderNames.TRANSFER_ENCODING);
    if (coding != null && !HttpHeaderValues.CHUNKED.contentEquals(coding)) {
      headers.set(HttpHeaderNames.TRANSFER_ENCODING, HttpHeaderValues.CHUNKED);
    }
    String length = headers.get(HttpHeaderNames.CONTENT_LENGTH);
    if (length != null && length.length() > 1 && length.charAt(0) == '0') {
      headers.set(HttpHeaderNames.CONTENT_LENGTH, Long.toString(Long.parseLong(length)));
    }
  }

  private static boolean mayHaveNoBody(HttpMethod method) {
    return method.equals(HttpMethod.GET)
        || method.equals(HttpMethod.HEAD)
        || method.equals(HttpMethod.DELETE);
  }

  private static boolean hasLength(HttpHeaders headers) {
    String length = headers.get(HttpHeaderNames.CONTENT_LENGTH);
    return length != null && !length.equals("0");
  }

  private static boolean continues(HttpHeaders headers) {
    List<String> expectations = headers.getAll(HttpHeaderNames.EXPECT);
    return expectations.size() == 1
        && HttpHeaderValues.CONTINUE.contentEqualsIgnoreCase(expectations.getFirst());
  }

  private static Optional<Refusal> bad(String why) {
    return Optional.of(new Refusal(HttpResponseStatus.BAD_REQUEST, why));
  }

  private static Refusal tooLong() {
    return new Refusal(
        HttpResponseStatus.REQUEST_URI_TOO_LONG,
        "request line longer than " + RequestDecoder.MAX_LINE + " bytes");
  }

  private static Refusal undecodable(Throwable cause) {
    return switch (cause) {
      case TooLongHttpLineException tooLong -> tooLong();
      case TooLongHttpHeaderException tooLong ->
          new Refusal(
              HttpResponseStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
              "headers longer than " + RequestDecoder.MAX_HEADERS + " bytes");
      case TooLongFrameException tooLong ->
          new Refusal(HttpResponseStatus.BAD_REQUEST, "a part of the request is too long");
      case SecondLook.Malformed malformed ->
          new Refusal(HttpResponseStatus.BAD_REQUEST, String.valueOf(malformed.getMessage()));
      // The decoder's own words may quote the request: not for the client.
      default -> new Refusal(HttpResponseStatus.BAD_REQUEST, "the request is malformed");
    };
  }

  /**
   * Judges target and Host (RFC 9112 3.2); empty when they are not good.
   *
   * @param tls whether the request came by TLS
   */
  static Optional<Good> target(HttpRequest request, boolean tls) {
    List<String> hosts = request.headers().getAll(HttpHeaderNames.HOST);
    boolean http11 = request.protocolVersion().equals(HttpVersion.HTTP_1_1);
    if (hosts.size() > 1 || hosts.isEmpty() && http11) {
      return Optional.empty();
    }
    String host = hosts.isEmpty() ? "" : hosts.getFirst();
    if (!hosts.isEmpty() && !validHost(host)) {
      return Optional.empty();
    }
    String uri = request.uri();
    if (!uri.isEmpty() && uri.charAt(0) == '/') {
      Optional<RequestTarget> target = RequestTarget.parse(uri);
      return target.map(t -> new Good(t, withoutPort(host), false));
    }
    if (uri.equals("*")) {
      return request.method().equals(HttpMethod.OPTIONS)
          ? Optional.of(new Good(new RequestTarget("*", "", false), withoutPort(host), true))
          : Optional.empty();
    }
    return absolute(uri, host, tls);
  }

  private static Optional<Good> absolute(String uri, String host, boolean tls) {
    int authority = schemeLength(uri, tls);
    if (authority == 0) {
      return Optional.empty();
    }
    int end = authority;
    while (end < uri.length() && uri.charAt(end) != '/') {
      end++;
    }
    String named = uri.substring(authority, end);
    // RFC 9112 3.2.2: the target's authority counts; when Host says something else, somebody along
    // the way will believe the other one.
    if (named.isEmpty() || !named.equalsIgnoreCase(host)) {
      return Optional.empty();
    }
    return RequestTarget.parse(end == uri.length() ? "/" : uri.substring(end))
        .map(target -> new Good(target, withoutPort(host), false));
  }

  private static int schemeLength(String uri, boolean tls) {
    if (uri.regionMatches(true, 0, "http://", 0, 7)) {
      return 7;
    }
    // RFC 9110 7.4: what is to be asked for by TLS is not asked for without.
    return tls && uri.regionMatches(true, 0, "https://", 0, 8) ? 8 : 0;
  }

  /** A name, IPv4 address or bracketed IPv6 address, with at most a port. */
  static boolean validHost(String host) {
    int at = 0;
    int length = host.length();
    if (length == 0 || length > 255 + 6) {
      return false;
    }
    if (host.charAt(0) == '[') {
      at = host.indexOf(']') + 1;
      // Without the zone that the library would let pass: RFC 3986 3.2.2 has none.
      if (at < 4
          || host.indexOf('%') >= 0
          || !NetUtil.isValidIpV6Address(host.substring(1, at - 1))) {
        return false;
      }
    } else {
      // No label is empty but the root's, at the end.
      boolean label = false;
      for (; at < length; at++) {
        char c = host.charAt(at);
        if (c == '.' && !label || !nameCharacter(c)) {
          break;
        }
        label = c != '.';
      }
      if (at == 0) {
        return false;
      }
    }
    return at == length || validPort(host, at);
  }

  private static boolean nameCharacter(char c) {
    return c >= 'a' && c <= 'z'
        || c >= 'A' && c <= 'Z'
        || c >= '0' && c <= '9'
        || c == '-'
        || c == '.'
        || c == '_';
  }

  private static boolean validPort(String host, int colon) {
    int digits = host.length() - colon - 1;
    if (host.charAt(colon) != ':' || digits < 1 || digits > 5) {
      return false;
    }
    int port = 0;
    for (int i = colon + 1; i < host.length(); i++) {
      char c = host.charAt(i);
      if (c < '0' || c > '9') {
        return false;
      }
      port = port * 10 + c - '0';
    }
    return port > 0 && port <= 65535;
  }

  private static String withoutPort(String host) {
    int colon = host.lastIndexOf(':');
    String name = colon > host.lastIndexOf(']') ? host.substring(0, colon) : host;
    if (name.endsWith(".")) {
      name = name.substring(0, name.length() - 1);
    }
    for (int i = 0; i < name.length(); i++) {
      char c = name.charAt(i);
      if (c >= 'A' && c <= 'Z') {
        return name.toLowerCase(Locale.ROOT);
      }
    }
    return name;
  }
}
