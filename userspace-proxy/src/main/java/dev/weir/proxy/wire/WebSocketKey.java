// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.wire;

import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpHeaderValues;
import io.netty.handler.codec.http.HttpHeaders;
import io.netty.handler.codec.http.HttpMethod;
import io.netty.handler.codec.http.HttpRequest;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Base64;
import java.util.concurrent.ThreadLocalRandom;
import org.jspecify.annotations.Nullable;

/**
 * What a client of HTTP/1.1 asks with that it wants a WebSocket, and is answered with (RFC 6455
 * 4.1, 4.2.2). In HTTP/2 there is neither (RFC 8441 5), so this hop asks, or answers, for itself.
 */
public final class WebSocketKey {

  private static final String ANSWERED_WITH = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

  private static final int BYTES = 16;

  private WebSocketKey() {}

  /** Another one. It keeps no secret: it tells an answer to it from one that lay in a cache. */
  static String next() {
    byte[] key = new byte[BYTES];
    ThreadLocalRandom.current().nextBytes(key);
    return Base64.getEncoder().encodeToString(key);
  }

  /** Whether a request of HTTP/1.1, as it goes on, is for a WebSocket and has a key. */
  public static boolean isAskedFor(HttpRequest request) {
    HttpHeaders headers = request.headers();
    String protocol = headers.get(HttpHeaderNames.UPGRADE);
    return protocol != null
        && HttpHeaderValues.WEBSOCKET.contentEqualsIgnoreCase(protocol)
        && request.method().equals(HttpMethod.GET)
        && headers.contains(HttpHeaderNames.SEC_WEBSOCKET_KEY);
  }

  /**
   * Whether an answer is to a key.
   *
   * @param answer null when there is none
   */
  public static boolean isAnswered(@Nullable String key, @Nullable String answer) {
    return key != null && answer != null && answer(key).equals(answer.strip());
  }

  /** The answer to a key. */
  public static String answer(String key) {
    try {
      return Base64.getEncoder()
          .encodeToString(
              MessageDigest.getInstance("SHA-1")
                  .digest((key + ANSWERED_WITH).getBytes(StandardCharsets.ISO_8859_1)));
    } catch (NoSuchAlgorithmException impossible) {
      throw new IllegalStateException("every JDK has SHA-1", impossible);
    }
  }
}
