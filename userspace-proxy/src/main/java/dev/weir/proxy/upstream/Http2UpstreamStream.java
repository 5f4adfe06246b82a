// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.upstream;

import dev.weir.proxy.wire.Http2Fields;
import dev.weir.proxy.wire.WebSocketKey;
import io.netty.buffer.ByteBuf;
import io.netty.channel.ChannelHandlerContext;
import io.netty.handler.codec.http.HttpContent;
import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpHeaders;
import io.netty.handler.codec.http.HttpObject;
import io.netty.handler.codec.http.HttpRequest;
import io.netty.handler.codec.http.HttpResponse;
import io.netty.handler.codec.http.HttpStatusClass;
import io.netty.handler.codec.http.LastHttpContent;
import io.netty.handler.codec.http2.Http2Error;
import io.netty.handler.codec.http2.Http2Headers;
import io.netty.handler.codec.http2.Http2Stream;
import io.netty.util.ReferenceCountUtil;
import io.netty.util.concurrent.Future;
import org.jspecify.annotations.Nullable;

/** One request at a backend that speaks HTTP/2. */
final class Http2UpstreamStream implements UpstreamStream {

  /** How long a backend may go on with another protocol after its other side has ended it. */
  private static final long LINGER_SECONDS = 5;

  private final Http2Upstream connection;
  private final boolean reused;

  private @Nullable UpstreamListener listener;
  private @Nullable HttpRequest head;
  private @Nullable Http2Stream stream;
  private int unconsumed;
  private boolean reading = true;
  // What a request for a WebSocket asks with; null when it is none.
  private @Nullable String key;
  private boolean undecided;
  private boolean switched;
  private boolean requestEnded;
  private @Nullable Future<?> lingering;
  private boolean answered;
  private boolean responseEnded;
  private boolean served;
  private long resetCode = -1;
  private boolean over;

  Http2UpstreamStream(Http2Upstream connection, UpstreamListener listener, boolean reused) {
    this.connection = connection;
    this.listener = listener;
    this.reused = reused;
  }

  @Override
  public Endpoint endpoint() {
    return connection.endpoint();
  }

  @Override
  public boolean reused() {
    return reused;
  }

  @Override
  public void expectHead(boolean isHead) {
    // Frames say where a response ends.
  }

  // ---- the request

  @Override
  public void write(HttpObject object) {
    if (over) {
      ReferenceCountUtil.release(object);
      return;
    }
    if (object instanceof HttpRequest request) {
      head = request;
      if (WebSocketKey.isAskedFor(request)) {
        key = request.headers().get(HttpHeaderNames.SEC_WEBSOCKET_KEY);
      }
    }
    if (object instanceof HttpContent content) {
      write(content);
    }
  }

  private void write(HttpContent content) {
    ByteBuf data = content.content();
    boolean last = content instanceof LastHttpContent;
    if (key != null && !switched) {
      // The end of a request that has no content; its stream goes on.
      content.release();
      return;
    }
    HttpHeaders trailers =
        last
            ? ((LastHttpContent) content).trailingHeaders()
            : LastHttpContent.EMPTY_LAST_CONTENT.trailingHeaders();
    if (last && !data.isReadable() && head != null && trailers.isEmpty()) {
      content.release();
      open(true);
      return;
    }
    open(false);
    Http2Stream to = stream;
    if (to == null) {
      content.release();
      return;
    }
    requestEnded |= last;
    boolean ends = last && trailers.isEmpty();
    ChannelHandlerContext ctx = connection.context();
    if (data.isReadable() || ends) {
      connection.contentSent();
      var _ = connection.encoder().writeData(ctx, to.id(), data, 0, ends, ctx.newPromise());
    } else {
      content.release();
    }
    if (last && !ends) {
      var _ =
          connection
              .encoder()
              .writeHeaders(ctx, to.id(), Http2Fields.fields(trailers), 0, true, ctx.newPromise());
    }
  }

  /** Sends the head, once it is known whether anything follows. */
  private void open(boolean ends) {
    HttpRequest request = head;
    if (request == null || undecided || key != null && !maySwitch()) {
      return;
    }
    head = null;
    ChannelHandlerContext ctx = connection.context();
    int id = connection.connection().local().incrementAndGetNextStreamId();
    boolean tls = endpoint().isTls();
    Http2Headers fields =
        key == null ? Http2Fields.fields(request, tls) : Http2Fields.webSocket(request, tls);
    var _ = connection.encoder().writeHeaders(ctx, id, fields, 0, ends, ctx.newPromise());
    Http2Stream made = connection.connection().stream(id);
    if (made == null) {
      // It could not be opened: nothing was sent.
      ctx.executor().execute(() -> ended(true));
      return;
    }
    stream = made;
    connection.attach(made, this);
  }

  /**
   * Whether the backend is known to carry other protocols; else it is, or will be, told why not.
   */
  private boolean maySwitch() {
    switch (connection.switching()) {
      case YES -> {
        return true;
      }
      case NO -> connection.context().executor().execute(this::settled);
      case UNKNOWN -> connection.whenKnown(this);
    }
    undecided = true;
    return false;
  }

  /** What the backend carries is known. */
  void settled() {
    undecided = false;
    if (over) {
      return;
    }
    if (connection.switching() == Http2Upstream.Switching.YES) {
      flush();
      return;
    }
    finish();
    UpstreamListener to = listener;
    listener = null;
    if (to != null) {
      to.cannotSwitch();
    }
  }

  @Override
  public void flush() {
    if (!over) {
      open(false);
      connection.flushLater();
    }
  }

  @Override
  public boolean isWritable() {
    Http2Stream to = stream;
    return over || to == null || connection.isWritable(to);
  }

  void writabilityChanged() {
    UpstreamListener to = listener;
    if (to != null) {
      to.writabilityChanged();
    }
  }

  // ---- the response

  boolean answered() {
    return answered;
  }

  void response(HttpResponse response) {
    served();
    boolean interim = response.status().codeClass() == HttpStatusClass.INFORMATIONAL;
    answered = !interim;
    String asked = key;
    if (asked != null && response.status().codeClass() == HttpStatusClass.SUCCESS) {
      Http2Fields.switched(response, asked);
      interim = true;
    }
    UpstreamListener to = listener;
    if (to != null) {
      to.response(response);
    }
    to = listener;
    if (interim && to != null) {
      to.content(LastHttpContent.EMPTY_LAST_CONTENT);
    }
  }

  /** Part of the response, with its reference. */
  void content(HttpContent content, int bytes) {
    served();
    unconsumed += bytes;
    responseEnded |= content instanceof LastHttpContent;
    UpstreamListener to = listener;
    if (to == null) {
      content.release();
    } else {
      to.content(content);
    }
    acknowledge();
  }

  private void acknowledge() {
    Http2Stream of = stream;
    if (unconsumed > 0 && reading && !over && of != null) {
      int bytes = unconsumed;
      unconsumed = 0;
      connection.consume(of, bytes);
    }
  }

  @Override
  public void reading(boolean on) {
    reading = on;
    acknowledge();
  }

  /** Whoever it is for will want to send on what came, though the stream may be gone by then. */
  private void served() {
    UpstreamListener to = listener;
    if (!served && to != null) {
      served = true;
      connection.served(this, to);
    }
  }

  void readComplete(UpstreamListener to) {
    served = false;
    to.readComplete();
  }

  // ---- endings

  /** Gives back its place on the connection. */
  private void finish() {
    over = true;
    head = null;
    connection.give();
  }

  void reset(long code) {
    resetCode = code;
  }

  void malformed(Throwable cause) {
    UpstreamListener to = listener;
    listener = null;
    if (to != null) {
      to.malformed(cause);
    }
  }

  /**
   * The stream is closed, by whomever.
   *
   * @param refused the backend did not look at it
   */
  void ended(boolean refused) {
    if (over) {
      return;
    }
    finish();
    Future<?> timer = lingering;
    if (timer != null) {
      timer.cancel(false);
    }
    UpstreamListener to = listener;
    listener = null;
    if (to == null) {
      return;
    }
    if (responseEnded) {
      // The response is whole; it is the request that is not: nobody waits for anything.
      return;
    }
    if (refused || resetCode == Http2Error.REFUSED_STREAM.code()) {
      to.refused(new Ended("the backend did not take the request", false));
    } else if (resetCode >= 0) {
      Http2Error error = Http2Error.valueOf(resetCode);
      to.closed(
          new Ended("the backend reset the request: " + (error == null ? resetCode : error), true));
    } else {
      to.closed(new Ended("the backend closed the connection", true));
    }
  }

  @Override
  public void upgrade(Runnable told) {
    switched = true;
    told.run();
  }

  @Override
  public void release() {
    end();
  }

  @Override
  public void discard(boolean keepAlive) {
    end();
  }

  @Override
  public void close() {
    end();
  }

  private void end() {
    listener = null;
    Http2Stream open = stream;
    if (over) {
      return;
    }
    if (open == null) {
      finish();
    } else if (switched) {
      endSwitched(open);
    } else if (!responseEnded || open.state() != Http2Stream.State.HALF_CLOSED_LOCAL) {
      // Whatever is left of it, nobody wants. Else it is closed when this frame has been looked at.
      connection.reset(open);
    }
  }

  /**
   * As a connection of its own is closed: what was sent arrives, and then its end. A reset might
   * overtake what the backend has not read yet.
   */
  private void endSwitched(Http2Stream open) {
    if (!requestEnded) {
      write(LastHttpContent.EMPTY_LAST_CONTENT);
    }
    reading(true);
    if (!responseEnded && lingering == null) {
      lingering = connection.resetLater(open, LINGER_SECONDS);
    }
    connection.flushLater();
  }
}
