// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.http;

import io.netty.handler.codec.http.FullHttpResponse;
import io.netty.handler.codec.http.HttpContent;
import io.netty.handler.codec.http.HttpResponse;

/**
 * Where one request came from and its response goes: a connection of HTTP/1.1 for as long as the
 * request lasts, or one stream of HTTP/2. Messages are those of HTTP/1.1; how the version in hand
 * frames them, and what becomes of the connection after them, is the stream's business. For the
 * connection's event loop.
 */
interface ClientStream {

  /** As the access log names it: {@code HTTP/1.1}. */
  String protocol();

  /** Whose request it is. */
  Client client();

  /** Whether it is a stream of HTTP/2. */
  boolean http2();

  /** Sends an interim response (RFC 9110 15.2), if the client can take one. */
  boolean interim(HttpResponse head);

  /**
   * Queues the head of a response that switches protocols; from there on content is bytes of
   * another one, both ways, until the connection ends, or the stream of HTTP/2 that has asked for
   * it (RFC 8441).
   *
   * @return false when the client has asked for more already, and cannot be told so
   */
  boolean upgrade(HttpResponse head);

  /** Queues the head of the response; its content follows. */
  void respond(HttpResponse head);

  /** Queues a response that is whole. {@link #exchangeDone} follows. */
  void answer(FullHttpResponse whole);

  /** Queues a part of the response, with its reference. */
  void write(HttpContent content);

  /** Sends what is queued. */
  void flush();

  /** Whether more may be queued. */
  boolean isWritable();

  /** The exchange takes the request's content now: what waited goes on. */
  void drain();

  /** {@link Exchange#takesMore} may have changed. */
  void updateReading();

  /** What follows on the connection cannot be told from the request: it carries no other one. */
  void distrust();

  /** The exchange is over and its response queued; the request need not be complete. */
  void exchangeDone();

  /** Ends the response in the middle, so that the client sees it is not whole. */
  void abort();
}
