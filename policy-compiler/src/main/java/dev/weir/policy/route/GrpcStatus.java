// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.route;

import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.OptionalLong;
import org.jspecify.annotations.Nullable;

/**
 * What gRPC says in fields of HTTP/2 (grpc/doc/PROTOCOL-HTTP2.md), and its statuses for those of
 * HTTP (grpc/doc/http-grpc-status-mapping.md).
 */
public final class GrpcStatus {

  /** No status: no call. */
  public static final int NONE = -1;

  /** Of a call whose time is over. */
  public static final int DEADLINE_EXCEEDED = 4;

  private static final int UNKNOWN = 2;
  private static final int LAST = 16;

  /** Of a call and its answer. */
  public static final String CONTENT_TYPE = "application/grpc";

  private GrpcStatus() {}

  /**
   * Whether a request is a call.
   *
   * @param contentType null when it has none
   */
  public static boolean isCall(@Nullable String contentType) {
    if (contentType == null
        || !contentType.regionMatches(true, 0, CONTENT_TYPE, 0, CONTENT_TYPE.length())) {
      return false;
    }
    if (contentType.length() == CONTENT_TYPE.length()) {
      return true;
    }
    // Not application/grpc-web, which goes by any version of HTTP.
    char next = contentType.charAt(CONTENT_TYPE.length());
    return next == '+' || next == ';' || next == ' ';
  }

  /**
   * A status as it is written.
   *
   * @param text null when there is none
   */
  public static int of(@Nullable String text) {
    if (text == null || text.isEmpty() || text.length() > 2) {
      return UNKNOWN;
    }
    int value = 0;
    for (int i = 0; i < text.length(); i++) {
      char c = text.charAt(i);
      if (c < '0' || c > '9') {
        return UNKNOWN;
      }
      value = value * 10 + c - '0';
    }
    return value <= LAST ? value : UNKNOWN;
  }

  /**
   * Whether a status says that the server failed, as 5xx of HTTP does: Unknown, DeadlineExceeded,
   * Internal, Unavailable and DataLoss. Unimplemented is not one of them: who asks for what is not
   * there has made the mistake himself.
   */
  public static boolean isServerError(int status) {
    return status == UNKNOWN
        || status == DEADLINE_EXCEEDED
        || status == 13
        || status == 14
        || status == 15;
  }

  /** What an answer without a status of gRPC is to the caller. */
  public static int ofHttp(int status) {
    return switch (status) {
      case 400 -> 13;
      case 401 -> 16;
      case 403 -> 7;
      case 404 -> 12;
      case 429, 502, 503, 504 -> 14;
      default -> UNKNOWN;
    };
  }

  /**
   * How long a call may take.
   *
   * @param text of {@code grpc-timeout}: 1 to 8 digits and a unit
   * @return nanoseconds, at most {@link Long#MAX_VALUE}; empty when it is none
   */
  public static OptionalLong timeoutNanos(String text) {
    int digits = text.length() - 1;
    if (digits < 1 || digits > 8) {
      return OptionalLong.empty();
    }
    long value = 0;
    for (int i = 0; i < digits; i++) {
      char c = text.charAt(i);
      if (c < '0' || c > '9') {
        return OptionalLong.empty();
      }
      value = value * 10 + c - '0';
    }
    long unit =
        switch (text.charAt(digits)) {
          case 'H' -> 3_600_000_000_000L;
          case 'M' -> 60_000_000_000L;
          case 'S' -> 1_000_000_000L;
          case 'm' -> 1_000_000L;
          case 'u' -> 1_000L;
          case 'n' -> 1L;
          default -> 0L;
        };
    if (unit == 0) {
      return OptionalLong.empty();
    }
    return OptionalLong.of(value > Long.MAX_VALUE / unit ? Long.MAX_VALUE : value * unit);
  }

  /** Text as {@code grpc-message} has it: percent-encoded but for what is printable. */
  public static String message(String text) {
    StringBuilder encoded = new StringBuilder(text.length());
    for (byte b : text.getBytes(StandardCharsets.UTF_8)) {
      if (b >= 0x20 && b < 0x7f && b != '%') {
        encoded.append((char) b);
      } else {
        encoded.append('%');
        HexFormat.of().withUpperCase().toHexDigits(encoded, b);
      }
    }
    return encoded.toString();
  }
}
