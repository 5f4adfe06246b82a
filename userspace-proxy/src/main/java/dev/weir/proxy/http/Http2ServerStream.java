// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.http;

import dev.weir.proxy.observe.Counter;
import dev.weir.proxy.wire.Http2Fields;
import io.netty.buffer.ByteBuf;
import io.netty.channel.ChannelFuture;
import io.netty.channel.ChannelHandlerContext;
import io.netty.handler.codec.http.FullHttpResponse;
import io.netty.handler.codec.http.HttpContent;
import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpHeaders;
import io.netty.handler.codec.http.HttpRequest;
import io.netty.handler.codec.http.HttpResponse;
import io.netty.handler.codec.http.HttpResponseStatus;
import io.netty.handler.codec.http.LastHttpContent;
import io.netty.handler.codec.http2.Http2Error;
import io.netty.handler.codec.http2.Http2Stream;
import java.util.ArrayDeque;
import org.jspecify.annotations.Nullable;

/** One request of a client of HTTP/2. */
final class Http2ServerStream implements ClientStream {

  private final Http2ServerConnection connection;
  private final Http2Stream stream;
  // Whether it is to carry another protocol (RFC 8441), and whether it does.
  private final boolean switches;
  private boolean switched;
  private final ArrayDeque<HttpContent> waiting = new ArrayDeque<>(0);

  private @Nullable Exchange exchange;
  // Not sent before it is known whether anything follows.
  private @Nullable HttpResponse head;
  // Content that came and that no backend has taken yet, in bytes of the window.
  private int unconsumed;
  private final BodyPace pace = new BodyPace();
  private long answeredSince;
  private boolean requestEnded;
  private boolean draining;
  private boolean over;

  /**
   * A stream that has begun.
   *
   * @param switches whether its content is of another protocol, for whoever agrees to speak it
   */
  Http2ServerStream(Http2ServerConnection connection, Http2Stream stream, boolean switches) {
    this.connection = connection;
    this.stream = stream;
    this.switches = switches;
  }

  @Override
  public Client client() {
    return connection.client();
  }

  @Override
  public String protocol() {
    return "HTTP/2";
  }

  @Override
  public boolean http2() {
    return true;
  }

  // ---- from the client

  void begin(HttpRequest request) {
    Exchange next = new Exchange(this, request);
    exchange = next;
    next.begin();
    if (switches && exchange != null) {
      // The request that it stands for has no content, and is complete.
      next.requestContent(LastHttpContent.EMPTY_LAST_CONTENT);
    }
  }

  /** Part of the request, with its reference. */
  void content(HttpContent content, int bytes) {
    pace.came(content.content().readableBytes());
    requestEnded |= content instanceof LastHttpContent;
    unconsumed += bytes;
    Exchange to = exchange;
    if (to == null) {
      content.release();
    } else if (!waiting.isEmpty() || holdsContent(to)) {
      waiting.add(content);
    } else {
      pass(to, content);
    }
    acknowledge();
  }

  /** What comes before the backend has agreed to switch is not for HTTP. */
  private boolean holdsContent(Exchange to) {
    return switches && !switched || to.holdsContent();
  }

  private void pass(Exchange to, HttpContent content) {
    boolean ends = switched && content instanceof LastHttpContent;
    to.requestContent(content);
    if (ends && exchange == to) {
      // As with a connection of its own: when one side ends, all of it does.
      exchange = null;
      answeredSince = client().worker().loop().coarseNanos();
      to.flushRequest();
      to.clientGone();
      write(LastHttpContent.EMPTY_LAST_CONTENT);
      connection.flushLater();
    }
  }

  void readComplete() {
    Exchange to = exchange;
    if (to != null) {
      to.flushRequest();
    }
  }

  @Override
  public void drain() {
    if (draining) {
      return;
    }
    draining = true;
    try {
      Exchange to = exchange;
      while (!waiting.isEmpty() && to != null && !holdsContent(to)) {
        pass(to, waiting.poll());
        to = exchange;
      }
    } finally {
      draining = false;
    }
    readComplete();
    acknowledge();
  }

  @Override
  public void updateReading() {
    if (switched && !waiting.isEmpty()) {
      drain();
    } else {
      acknowledge();
    }
  }

  /** Lets the client send more when what it sent has a place to go. */
  private void acknowledge() {
    Exchange to = exchange;
    if (unconsumed > 0 && !over && (to == null || waiting.isEmpty() && to.takesMore())) {
      int bytes = unconsumed;
      unconsumed = 0;
      connection.consume(stream, bytes);
    }
  }

  void writabilityChanged() {
    Exchange of = exchange;
    if (of != null) {
      of.clientWritabilityChanged();
    }
  }

  void checkDeadline(long now) {
    Exchange of = exchange;
    long last = of == null ? answeredSince : of.lastActivity();
    if (of != null && pace.tooSlow(of.awaitsBody() && unconsumed == 0, now)) {
      client().worker().metrics().count(Counter.BODY_TIMEOUT);
      of.bodyTimedOut();
    } else if (now - last > (of == null ? ServerConnection.STREAM_IDLE_NANOS : of.idleNanos())) {
      if (of == null) {
        // Answered, and not read.
        connection.reset(stream, Http2Error.CANCEL);
      } else {
        of.timedOut();
      }
    }
  }

  /** The stream is closed, by whomever. The library acknowledges what is not. */
  void ended() {
    over = true;
    head = null;
    Exchange of = exchange;
    exchange = null;
    if (of != null) {
      of.clientGone();
    }
    releaseWaiting();
  }

  private void releaseWaiting() {
    while (!waiting.isEmpty()) {
      waiting.poll().release();
    }
  }

  // ---- to the client

  @Override
  public boolean interim(HttpResponse response) {
    if (over) {
      return false;
    }
    ChannelHandlerContext ctx = connection.context();
    var _ =
        connection
            .encoder()
            .writeHeaders(
                ctx, stream.id(), Http2Fields.fields(response), 0, false, ctx.newPromise());
    return true;
  }

  @Override
  public boolean upgrade(HttpResponse response) {
    if (!switches) {
      throw new IllegalStateException("nobody has asked for it");
    }
    // RFC 8441 5: there, that is a success, and the key was this hop's.
    response.setStatus(HttpResponseStatus.OK);
    response.headers().remove(HttpHeaderNames.SEC_WEBSOCKET_ACCEPT);
    response.headers().remove(HttpHeaderNames.CONTENT_LENGTH);
    switched = true;
    respond(response);
    sendHead(false);
    return true;
  }

  @Override
  public void respond(HttpResponse response) {
    head = response;
  }

  @Override
  public void answer(FullHttpResponse whole) {
    respond(whole);
    write(whole);
  }

  private void sendHead(boolean ends) {
    HttpResponse response = head;
    head = null;
    if (response != null) {
      ChannelHandlerContext ctx = connection.context();
      sent(
          connection
              .encoder()
              .writeHeaders(
                  ctx, stream.id(), Http2Fields.fields(response), 0, ends, ctx.newPromise()),
          ends);
    }
  }

  @Override
  public void write(HttpContent content) {
    if (over) {
      content.release();
      return;
    }
    boolean last = content instanceof LastHttpContent;
    ByteBuf data = content.content();
    if (last && !data.isReadable() && head != null && trailers(content).isEmpty()) {
      content.release();
      sendHead(true);
      return;
    }
    sendHead(false);
    HttpHeaders trailers = trailers(content);
    boolean ends = last && trailers.isEmpty();
    ChannelHandlerContext ctx = connection.context();
    if (data.isReadable() || ends) {
      connection.contentSent();
      sent(connection.encoder().writeData(ctx, stream.id(), data, 0, ends, ctx.newPromise()), ends);
    } else {
      content.release();
    }
    if (last && !ends) {
      sent(
          connection
              .encoder()
              .writeHeaders(
                  ctx, stream.id(), Http2Fields.fields(trailers), 0, true, ctx.newPromise()),
          true);
    }
  }

  private static HttpHeaders trailers(HttpContent content) {
    return content instanceof LastHttpContent last
        ? last.trailingHeaders()
        : LastHttpContent.EMPTY_LAST_CONTENT.trailingHeaders();
  }

  /** RFC 9113 8.1: a request that was answered early need not be sent to its end. */
  private void sent(ChannelFuture frame, boolean ends) {
    if (ends) {
      connection.completed();
      if (!requestEnded) {
        frame.addListener(
            done -> {
              if (!over && done.isSuccess()) {
                connection.reset(stream, Http2Error.NO_ERROR);
              }
            });
      }
    }
  }

  @Override
  public void flush() {
    if (!over) {
      sendHead(false);
      connection.flushLater();
    }
  }

  @Override
  public boolean isWritable() {
    return over || connection.isWritable(stream);
  }

  @Override
  public void distrust() {
    // Frames say where a request ends, whatever is wrong with it.
  }

  @Override
  public void exchangeDone() {
    exchange = null;
    answeredSince = client().worker().loop().coarseNanos();
    releaseWaiting();
    if (switched) {
      write(LastHttpContent.EMPTY_LAST_CONTENT);
    }
    acknowledge();
    connection.flushLater();
  }

  @Override
  public void abort() {
    exchange = null;
    answeredSince = client().worker().loop().coarseNanos();
    releaseWaiting();
    if (!over) {
      // RFC 8441 5: a WebSocket whose connection was reset.
      connection.reset(stream, switched ? Http2Error.CANCEL : Http2Error.INTERNAL_ERROR);
    }
  }
}
