// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.http;

import dev.weir.policy.route.GrpcStatus;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.handler.codec.http.DefaultFullHttpResponse;
import io.netty.handler.codec.http.FullHttpResponse;
import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpResponseStatus;
import io.netty.handler.codec.http.HttpVersion;
import io.netty.util.AsciiString;
import java.nio.charset.StandardCharsets;

/** Responses that the proxy makes itself, in a backend's place. */
final class LocalResponse {

  static final AsciiString GRPC_STATUS = AsciiString.cached("grpc-status");
  private static final AsciiString GRPC_MESSAGE = AsciiString.cached("grpc-message");
  private static final AsciiString TEXT_PLAIN = AsciiString.cached("text/plain; charset=utf-8");

  private LocalResponse() {}

  /** One without content. */
  static FullHttpResponse empty(int status) {
    return new DefaultFullHttpResponse(
        HttpVersion.HTTP_1_1, HttpResponseStatus.valueOf(status), Unpooled.EMPTY_BUFFER);
  }

  /**
   * One that says why.
   *
   * @param why a line of ASCII without its end
   */
  static FullHttpResponse text(HttpResponseStatus status, String why) {
    ByteBuf body = Unpooled.copiedBuffer(why + "\n", StandardCharsets.US_ASCII);
    FullHttpResponse response = new DefaultFullHttpResponse(HttpVersion.HTTP_1_1, status, body);
    response.headers().set(HttpHeaderNames.CONTENT_TYPE, TEXT_PLAIN);
    return response;
  }

  /**
   * What gRPC calls trailers only: its status comes in the head of a response that is well.
   *
   * @param code status of gRPC
   */
  static FullHttpResponse grpc(int code, String why) {
    FullHttpResponse response = empty(HttpResponseStatus.OK.code());
    response.headers().set(HttpHeaderNames.CONTENT_TYPE, GrpcStatus.CONTENT_TYPE);
    response.headers().setInt(GRPC_STATUS, code);
    response.headers().set(GRPC_MESSAGE, GrpcStatus.message(why));
    return response;
  }
}
