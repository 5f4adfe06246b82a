// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.wire;

import io.netty.handler.codec.http.DefaultHttpHeadersFactory;
import io.netty.handler.codec.http.DefaultHttpRequest;
import io.netty.handler.codec.http.DefaultHttpResponse;
import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpHeaderValues;
import io.netty.handler.codec.http.HttpHeaders;
import io.netty.handler.codec.http.HttpMethod;
import io.netty.handler.codec.http.HttpRequest;
import io.netty.handler.codec.http.HttpResponse;
import io.netty.handler.codec.http.HttpResponseStatus;
import io.netty.handler.codec.http.HttpVersion;
import io.netty.handler.codec.http2.DefaultHttp2Headers;
import io.netty.handler.codec.http2.Http2Headers;
import io.netty.util.AsciiString;
import java.util.Iterator;
import java.util.List;
import java.util.Map;

/**
 * Fields of HTTP/2 as messages of HTTP/1.1, and back (RFC 9113 8.2, 8.3). What comes in has passed
 * the codec's own checks: names are tokens in lower case, pseudo-header fields come first and once,
 * no field belongs to a connection.
 */
public final class Http2Fields {

  private static final AsciiString KEEP_ALIVE = AsciiString.cached("keep-alive");
  private static final AsciiString PROXY_CONNECTION = AsciiString.cached("proxy-connection");
  private static final AsciiString HTTP = AsciiString.cached("http");
  private static final AsciiString HTTPS = AsciiString.cached("https");

  private static final AsciiString PROTOCOL = AsciiString.cached(":protocol");
  private static final AsciiString WEBSOCKET = AsciiString.cached("websocket");

  private Http2Fields() {}

  /** What is wrong with a request that the codec let pass; the stream ends with it. */
  public static final class MalformedFieldsException extends Exception {
    MalformedFieldsException(String message) {
      super(message, null, false, false);
    }
  }

  /**
   * A request. One with content of a length that it does not tell has {@code Transfer-Encoding:
   * chunked}, as its like in HTTP/1.1 has.
   *
   * @param ended whether it has neither content nor trailers
   */
  public static HttpRequest request(Http2Headers from, boolean ended)
      throws MalformedFieldsException {
    CharSequence method = from.method();
    CharSequence path = from.path();
    CharSequence scheme = from.scheme();
    if (method == null || path == null || scheme == null) {
      // Also CONNECT: nobody asks this proxy for tunnels.
      throw new MalformedFieldsException("a pseudo-header field is missing");
    }
    if (!HTTP.contentEquals(scheme) && !HTTPS.contentEquals(scheme)) {
      throw new MalformedFieldsException("the scheme is neither http nor https");
    }
    if (path.isEmpty() || path.charAt(0) != '/' && !"*".contentEquals(path)) {
      throw new MalformedFieldsException("the path is none");
    }
    if (!inCapitals(method)) {
      throw new MalformedFieldsException("the method is not of capitals");
    }
    HttpHeaders headers = headers();
    CharSequence authority = from.authority();
    if (authority != null) {
      headers.add(HttpHeaderNames.HOST, authority);
    }
    regular(from, headers);
    List<String> hosts = headers.getAll(HttpHeaderNames.HOST);
    if (authority != null && hosts.size() > 1) {
      // RFC 9113 8.3.1: they may differ in how they are written only; whoever believes the other
      // one would ask somebody else.
      if (hosts.size() > 2 || !hosts.getFirst().equalsIgnoreCase(hosts.getLast())) {
        throw new MalformedFieldsException(":authority and Host are not the same");
      }
      headers.set(HttpHeaderNames.HOST, authority);
    }
    cookies(headers);
    if (!ended && !headers.contains(HttpHeaderNames.CONTENT_LENGTH)) {
      headers.set(HttpHeaderNames.TRANSFER_ENCODING, HttpHeaderValues.CHUNKED);
    }
    try {
      return new DefaultHttpRequest(
          HttpVersion.HTTP_1_1, HttpMethod.valueOf(method.toString()), path.toString(), headers);
    } catch (IllegalArgumentException e) {
      throw new MalformedFieldsException("the method is no token, or the path has a space");
    }
  }

  /** Whether a request is for another protocol within its stream (RFC 8441 4). */
  public static boolean switches(Http2Headers request) {
    return request.contains(PROTOCOL);
  }

  /**
   * The request of HTTP/1.1 that an extended CONNECT stands for, and whose rules it is to meet: a
   * GET for a WebSocket (RFC 8441 5). Other protocols are not known.
   *
   * @param ended whether there is nothing to switch to
   */
  public static HttpRequest webSocket(Http2Headers from, boolean ended)
      throws MalformedFieldsException {
    CharSequence protocol = from.get(PROTOCOL);
    CharSequence method = from.method();
    if (method == null
        || !HttpMethod.CONNECT.asciiName().contentEquals(method)
        || protocol == null
        || !WEBSOCKET.contentEqualsIgnoreCase(protocol)) {
      throw new MalformedFieldsException("nothing but a WebSocket is connected to");
    }
    if (ended || from.contains(HttpHeaderNames.CONTENT_LENGTH)) {
      throw new MalformedFieldsException("a WebSocket's stream neither ends nor has a length");
    }
    from.remove(PROTOCOL);
    from.method(HttpMethod.GET.asciiName());
    HttpRequest request = request(from, true);
    request
        .headers()
        .set(HttpHeaderNames.CONNECTION, HttpHeaderValues.UPGRADE)
        .set(HttpHeaderNames.UPGRADE, WEBSOCKET)
        .set(HttpHeaderNames.SEC_WEBSOCKET_KEY, WebSocketKey.next());
    return request;
  }

  /** As in HTTP/1.1: a backend that is not case-sensitive would do what no rule was asked about. */
  private static boolean inCapitals(CharSequence method) {
    for (int i = 0; i < method.length(); i++) {
      char c = method.charAt(i);
      if ((c < 'A' || c > 'Z') && c != '-' && c != '_') {
        return false;
      }
    }
    return !method.isEmpty();
  }

  /**
   * A response, perhaps an interim one.
   *
   * @throws MalformedFieldsException without a status that is one
   */
  public static HttpResponse response(Http2Headers from) throws MalformedFieldsException {
    CharSequence status = from.status();
    int code = status == null || status.length() != 3 ? 0 : digits(status);
    if (code < 100 || code == 101) {
      // RFC 9113 8.6: nothing is switched to within HTTP/2.
      throw new MalformedFieldsException("the status is none");
    }
    HttpHeaders headers = headers();
    regular(from, headers);
    return new DefaultHttpResponse(HttpVersion.HTTP_1_1, HttpResponseStatus.valueOf(code), headers);
  }

  private static int digits(CharSequence three) {
    int value = 0;
    for (int i = 0; i < 3; i++) {
      char c = three.charAt(i);
      if (c < '0' || c > '9') {
        return 0;
      }
      value = value * 10 + c - '0';
    }
    return value;
  }

  /** Trailers. */
  public static HttpHeaders trailers(Http2Headers from) throws MalformedFieldsException {
    HttpHeaders headers = headers();
    regular(from, headers);
    return headers;
  }

  private static HttpHeaders headers() {
    // Checked when they were decoded.
    return DefaultHttpHeadersFactory.headersFactory().withValidation(false).newHeaders();
  }

  private static void regular(Http2Headers from, HttpHeaders to) throws MalformedFieldsException {
    for (Map.Entry<CharSequence, CharSequence> field : from) {
      CharSequence name = field.getKey();
      if (name.length() > 0 && name.charAt(0) != ':') {
        CharSequence value = field.getValue();
        if (!value.isEmpty()
            && (blank(value.charAt(0)) || blank(value.charAt(value.length() - 1)))) {
          throw new MalformedFieldsException("a field's value begins or ends with a blank");
        }
        to.add(name, value);
      }
    }
  }

  /** RFC 9113 8.2.1: HTTP/1.1 would take them for no part of the value. */
  private static boolean blank(char c) {
    return c == ' ' || c == '\t';
  }

  /** RFC 9113 8.2.3: crumbs of a cookie are one field for whoever does not speak HTTP/2. */
  private static void cookies(HttpHeaders headers) {
    List<String> crumbs = headers.getAll(HttpHeaderNames.COOKIE);
    if (crumbs.size() > 1) {
      headers.set(HttpHeaderNames.COOKIE, String.join("; ", crumbs));
    }
  }

  /**
   * Fields of a request.
   *
   * @param tls whether it goes by TLS
   */
  public static Http2Headers fields(HttpRequest from, boolean tls) {
    Http2Headers to = new DefaultHttp2Headers(false, from.headers().size() + 4);
    to.method(from.method().asciiName());
    to.scheme(tls ? HTTPS : HTTP);
    String host = from.headers().get(HttpHeaderNames.HOST);
    if (host != null) {
      to.authority(host);
    }
    to.path(from.uri());
    add(from.headers(), to);
    return to;
  }

  /**
   * The extended CONNECT (RFC 8441 5) that stands for a request for a WebSocket.
   *
   * @param tls whether it goes by TLS
   */
  public static Http2Headers webSocket(HttpRequest from, boolean tls) {
    Http2Headers to = fields(from, tls);
    to.method(HttpMethod.CONNECT.asciiName());
    to.set(PROTOCOL, WEBSOCKET);
    to.remove(HttpHeaderNames.SEC_WEBSOCKET_KEY);
    return to;
  }

  /** What a success of an extended CONNECT is to whoever asked for a WebSocket in HTTP/1.1. */
  public static void switched(HttpResponse response, String key) {
    response.setStatus(HttpResponseStatus.SWITCHING_PROTOCOLS);
    response
        .headers()
        .set(HttpHeaderNames.CONNECTION, HttpHeaderValues.UPGRADE)
        .set(HttpHeaderNames.UPGRADE, WEBSOCKET)
        .set(HttpHeaderNames.SEC_WEBSOCKET_ACCEPT, WebSocketKey.answer(key))
        .remove(HttpHeaderNames.CONTENT_LENGTH);
  }

  /** Fields of a response. */
  public static Http2Headers fields(HttpResponse from) {
    Http2Headers to = new DefaultHttp2Headers(false, from.headers().size() + 1);
    to.status(from.status().codeAsText());
    add(from.headers(), to);
    return to;
  }

  /** Fields of trailers. */
  public static Http2Headers fields(HttpHeaders trailers) {
    Http2Headers to = new DefaultHttp2Headers(false, trailers.size());
    add(trailers, to);
    return to;
  }

  private static void add(HttpHeaders from, Http2Headers to) {
    Iterator<Map.Entry<CharSequence, CharSequence>> fields = from.iteratorCharSequence();
    while (fields.hasNext()) {
      Map.Entry<CharSequence, CharSequence> field = fields.next();
      AsciiString name = AsciiString.of(field.getKey()).toLowerCase();
      if (!ofConnection(name)) {
        to.add(name, field.getValue());
      }
    }
  }

  /** RFC 9113 8.2.2; and Host, which is {@code :authority}. */
  private static boolean ofConnection(AsciiString name) {
    return switch (name.length()) {
      case 4 -> name.equals(HttpHeaderNames.HOST);
      case 7 -> name.equals(HttpHeaderNames.UPGRADE);
      case 10 -> name.equals(HttpHeaderNames.CONNECTION) || name.equals(KEEP_ALIVE);
      case 16 -> name.equals(PROXY_CONNECTION);
      case 17 -> name.equals(HttpHeaderNames.TRANSFER_ENCODING);
      default -> false;
    };
  }
}
