// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.wire;

import dev.weir.proxy.loop.Loop;
import io.netty.channel.ChannelHandlerContext;
import io.netty.handler.codec.http2.DefaultHttp2Connection;
import io.netty.handler.codec.http2.DefaultHttp2RemoteFlowController;
import io.netty.handler.codec.http2.Http2Connection;
import io.netty.handler.codec.http2.Http2ConnectionDecoder;
import io.netty.handler.codec.http2.Http2ConnectionEncoder;
import io.netty.handler.codec.http2.Http2ConnectionHandler;
import io.netty.handler.codec.http2.Http2Exception;
import io.netty.handler.codec.http2.Http2Settings;
import io.netty.handler.codec.http2.Http2Stream;
import io.netty.handler.codec.http2.UniformStreamByteDistributor;
import org.jspecify.annotations.Nullable;

/**
 * A connection of HTTP/2 (RFC 9113) that carries requests, at either end: what belongs to each of
 * its streams, what is acknowledged of their content, and when what was queued is sent. For one
 * event loop.
 *
 * @param <S> what belongs to a stream
 */
public abstract class MultiplexedConnection<S> extends Http2ConnectionHandler {

  private final Loop loop;
  private final int window;
  private final Http2Connection.PropertyKey key;
  private @Nullable ChannelHandlerContext context;
  private boolean flushing;

  /**
   * Not in a pipeline yet.
   *
   * @param window content of all streams together that may be on its way here; at least 65,535
   */
  protected MultiplexedConnection(
      Http2ConnectionDecoder decoder,
      Http2ConnectionEncoder encoder,
      Http2Settings settings,
      Loop loop,
      int window) {
    // A close of the channel is one: what is to be said before is said where it is decided.
    super(decoder, encoder, settings, true);
    this.loop = loop;
    this.window = window;
    this.key = encoder.connection().newKey();
  }

  /** The library's part of it. Priorities are gone (RFC 9113 5.3): streams take turns. */
  public static Http2Connection fair(boolean server) {
    Http2Connection connection = new DefaultHttp2Connection(server, 0);
    connection
        .remote()
        .flowController(
            new DefaultHttp2RemoteFlowController(
                connection, new UniformStreamByteDistributor(connection)));
    return connection;
  }

  @Override
  public void handlerAdded(ChannelHandlerContext ctx) throws Exception {
    context = ctx;
    encoder().flowController().listener(this::writabilityChanged);
    super.handlerAdded(ctx);
    // The window of the connection begins with 64 KB, whatever the settings say (RFC 9113 6.9.2).
    Http2Stream whole = connection().connectionStream();
    decoder()
        .flowController()
        .incrementWindowSize(whole, window - decoder().flowController().windowSize(whole));
  }

  /** Where frames are written. */
  public final ChannelHandlerContext context() {
    ChannelHandlerContext ctx = context;
    if (ctx == null) {
      throw new IllegalStateException("not in a pipeline");
    }
    return ctx;
  }

  // ---- streams

  /** Says what belongs to a stream. */
  public final void attach(Http2Stream stream, S owner) {
    stream.setProperty(key, owner);
  }

  /** What belongs to a stream; null when nothing does. */
  protected final @Nullable S known(Http2Stream stream) {
    return stream.getProperty(key);
  }

  /** What belongs to a stream; null when there is none any more, or nothing does. */
  protected final @Nullable S known(int streamId) {
    Http2Stream stream = connection().stream(streamId);
    return stream == null ? null : known(stream);
  }

  private void writabilityChanged(Http2Stream stream) {
    S owner = known(stream);
    if (owner != null) {
      writabilityChanged(owner);
    }
  }

  /** {@link #isWritable} changed. */
  protected abstract void writabilityChanged(S owner);

  /** Whether the peer takes more of a stream. */
  public final boolean isWritable(Http2Stream stream) {
    return encoder().flowController().isWritable(stream);
  }

  /** Acknowledges content that went on: the peer may send as much again. */
  public final void consume(Http2Stream stream, int bytes) {
    try {
      if (decoder().flowController().consumeBytes(stream, bytes)) {
        flushLater();
      }
    } catch (Http2Exception e) {
      onError(context(), true, e);
    }
  }

  // ---- sending

  /**
   * Sends what is queued, once for all that comes in this turn of the event loop: what several
   * streams write together leaves together.
   */
  public final void flushLater() {
    if (!flushing) {
      flushing = true;
      loop.executor().execute(this::flushNow);
    }
  }

  private void flushNow() {
    flushing = false;
    ChannelHandlerContext ctx = context();
    if (!ctx.isRemoved()) {
      flush(ctx);
    }
  }
}
