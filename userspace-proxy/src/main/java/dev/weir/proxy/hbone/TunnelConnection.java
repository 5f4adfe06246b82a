// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.hbone;

import dev.weir.proxy.loop.Loop;
import dev.weir.proxy.wire.MultiplexedConnection;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.Channel;
import io.netty.channel.ChannelFuture;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.socket.ChannelInputShutdownEvent;
import io.netty.handler.codec.http2.DefaultHttp2Headers;
import io.netty.handler.codec.http2.DefaultHttp2LocalFlowController;
import io.netty.handler.codec.http2.Http2Connection;
import io.netty.handler.codec.http2.Http2ConnectionAdapter;
import io.netty.handler.codec.http2.Http2ConnectionHandler;
import io.netty.handler.codec.http2.Http2ConnectionHandlerBuilder;
import io.netty.handler.codec.http2.Http2Error;
import io.netty.handler.codec.http2.Http2Exception;
import io.netty.handler.codec.http2.Http2FrameAdapter;
import io.netty.handler.codec.http2.Http2Headers;
import io.netty.handler.codec.http2.Http2Settings;
import io.netty.handler.codec.http2.Http2Stream;
import io.netty.util.ReferenceCountUtil;
import io.netty.util.collection.IntObjectHashMap;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * One HTTP/2 connection whose streams carry connections, at either end. The table of its streams is
 * its own.
 *
 * <p><b>Flow control</b> goes from end to end: the peer may send more on a stream when what came
 * was read by whoever it is for. The connection's own window is refilled at once, so that one
 * stream that is not read holds up no other; what can then lie here is a window for each stream,
 * and {@link Room} for all tunnels of an event loop.
 */
public abstract class TunnelConnection extends Http2FrameAdapter {

  /** Streams of one connection, either way. */
  static final int MAX_STREAMS = 100;

  /** What may be sent on a stream before it is read: the most that lies here of it. */
  static final int WINDOW = 128 * 1024;

  /** RFC 9113 6.5.2: of names, values and 32 bytes for each of a stream's headers. */
  static final int MAX_HEADERS = 8 * 1024;

  /** PINGs and SETTINGS that a peer may have answered in {@link #CONTROL_NANOS}. */
  private static final int MAX_CONTROL = 100;

  private static final long CONTROL_NANOS = TimeUnit.SECONDS.toNanos(10);

  /** Streams that a peer may reset in 10 seconds: rapid reset, CVE-2023-44487. */
  private static final int MAX_RESETS = 200;

  private static final int RESET_SECONDS = 10;

  private final Channel channel;
  private final Loop loop;
  private final Room room;
  private final Http2ConnectionHandler handler;
  private final IntObjectHashMap<TunnelStream> streams = new IntObjectHashMap<>();
  private @Nullable ChannelHandlerContext context;
  private boolean reading;
  private int controls;
  private long controlsSince;
  private long emptySince;

  /** What all tunnels of an event loop hold of what nobody has read yet. */
  public static final class Room {
    /** At which a stream that is not read and gets more is cut off. */
    static final int MAX = 16 << 20;

    private int taken;

    int taken() {
      return taken;
    }
  }

  TunnelConnection(Channel channel, Loop loop, Room room, boolean server) {
    this.channel = channel;
    this.loop = loop;
    this.room = room;
    this.emptySince = loop.coarseNanos();
    Http2Connection connection = MultiplexedConnection.fair(server);
    connection.local().flowController(new DefaultHttp2LocalFlowController(connection, 0.5f, true));
    connection.addListener(new Closed());
    Http2Settings settings =
        new Http2Settings().initialWindowSize(WINDOW).maxHeaderListSize(MAX_HEADERS);
    if (server) {
      settings.maxConcurrentStreams(MAX_STREAMS);
    } else {
      settings.pushEnabled(false);
    }
    this.handler =
        new Http2ConnectionHandlerBuilder()
            .connection(connection)
            .frameListener(this)
            .initialSettings(settings)
            .encoderEnforceMaxConcurrentStreams(false)
            .decoderEnforceMaxRstFramesPerWindow(MAX_RESETS, RESET_SECONDS)
            .decoderEnforceMaxConsecutiveEmptyDataFrames(2)
            .gracefulShutdownTimeoutMillis(0)
            .build();
  }

  /** Puts HTTP/2 at the end of the channel's pipeline; TLS stands before it. */
  void install() {
    channel.pipeline().addLast(new First(), handler, new Last());
    context = channel.pipeline().context(handler);
  }

  /** Before HTTP/2: what is written while it reads is flushed when it has read. */
  private final class First extends ChannelInboundHandlerAdapter {
    @Override
    public void channelRead(ChannelHandlerContext ctx, Object message) {
      reading = true;
      ctx.fireChannelRead(message);
    }

    @Override
    public void channelReadComplete(ChannelHandlerContext ctx) {
      reading = false;
      ctx.fireChannelReadComplete();
    }
  }

  /** Behind HTTP/2: sees what nobody else has seen to. */
  private final class Last extends ChannelInboundHandlerAdapter {
    @Override
    public void channelRead(ChannelHandlerContext ctx, Object message) {
      ReferenceCountUtil.release(message);
    }

    @Override
    public void channelInactive(ChannelHandlerContext ctx) {
      gone();
    }

    @Override
    public void exceptionCaught(ChannelHandlerContext ctx, Throwable cause) {
      var _ = ctx.close();
    }

    @Override
    public void userEventTriggered(ChannelHandlerContext ctx, Object event) {
      if (event instanceof ChannelInputShutdownEvent) {
        // Nothing more can come on any stream, nor be said about windows.
        var _ = ctx.close();
      }
    }
  }

  Channel channel() {
    return channel;
  }

  Loop loop() {
    return loop;
  }

  Http2ConnectionHandler handler() {
    return handler;
  }

  ChannelHandlerContext context() {
    ChannelHandlerContext known = context;
    if (known == null) {
      throw new IllegalStateException("not installed");
    }
    return known;
  }

  int streamCount() {
    return streams.size();
  }

  /** Since when it has carried nothing, in the loop's nanoseconds. */
  long emptySince() {
    return streams.isEmpty() ? emptySince : Long.MAX_VALUE;
  }

  List<TunnelStream> streams() {
    return new ArrayList<>(streams.values());
  }

  @Nullable TunnelStream stream(int id) {
    return streams.get(id);
  }

  void add(TunnelStream stream) {
    streams.put(stream.streamId(), stream);
  }

  private void removed() {
    if (streams.isEmpty()) {
      emptySince = loop.coarseNanos();
      becameEmpty();
    }
  }

  /** Whether it takes nothing new any more. */
  abstract boolean leaving();

  /** No stream is left. */
  abstract void becameEmpty();

  /** The connection is over, and its streams with it. */
  abstract void gone();

  /** Why a stream was cut off, for the log and a counter. */
  abstract void overwhelmed(TunnelStream stream);

  // ---- what streams do

  void waits(int bytes) {
    room.taken += bytes;
  }

  /** What was read of a stream: the peer may send as much again. */
  void consumed(int id, int bytes) {
    Http2Stream stream = handler.connection().stream(id);
    if (stream == null || bytes == 0) {
      return;
    }
    try {
      if (handler.connection().local().flowController().consumeBytes(stream, bytes) && !reading) {
        handler.flush(context());
      }
    } catch (Http2Exception e) {
      handler.onError(context(), true, e);
    }
  }

  ChannelFuture writeData(TunnelStream stream, ByteBuf bytes, boolean end) {
    return handler
        .encoder()
        .writeData(context(), stream.streamId(), bytes, 0, end, channel.newPromise());
  }

  void flush() {
    if (!reading) {
      handler.flush(context());
    }
  }

  /** As a socket that is reset; RFC 9113 8.5. */
  void cutOff(TunnelStream stream) {
    forget(stream);
    reset(stream.streamId(), Http2Error.CONNECT_ERROR);
  }

  /**
   * What it has written still goes; what comes now is nobody's.
   *
   * @param end done when all of it is written
   */
  void leave(TunnelStream stream, boolean inputEnded, @Nullable ChannelFuture end) {
    forget(stream);
    if (!inputEnded && end != null) {
      end.addListener(done -> reset(stream.streamId(), Http2Error.NO_ERROR));
    }
  }

  /**
   * Answers what asked for a stream.
   *
   * @param end whether that is all
   */
  ChannelFuture answer(TunnelStream stream, int status, boolean end) {
    ChannelFuture written =
        handler
            .encoder()
            .writeHeaders(
                context(),
                stream.streamId(),
                new DefaultHttp2Headers(false).status(Integer.toString(status)),
                0,
                end,
                channel.newPromise());
    flush();
    return written;
  }

  void forget(TunnelStream stream) {
    if (streams.remove(stream.streamId()) != null) {
      removed();
    }
  }

  void reset(int id, Http2Error error) {
    if (handler.connection().stream(id) != null) {
      var _ = handler.resetStream(context(), id, error.code(), channel.newPromise());
      flush();
    }
  }

  /** No new streams; those there are go on. */
  void goAway(String why) {
    var _ =
        handler.goAway(
            context(),
            handler.connection().remote().lastStreamCreated(),
            Http2Error.NO_ERROR.code(),
            Unpooled.copiedBuffer(why, StandardCharsets.US_ASCII),
            channel.newPromise());
    flush();
  }

  // ---- what comes

  @Override
  public int onDataRead(
      ChannelHandlerContext ctx, int streamId, ByteBuf data, int padding, boolean endOfStream)
      throws Http2Exception {
    TunnelStream stream = streams.get(streamId);
    int length = data.readableBytes();
    if (stream == null) {
      return length + padding; // Left already; what is on its way to it is thrown away.
    }
    if (length > 0) {
      stream.receive(data.retain());
      if (stream.waiting() > 0 && room.taken > Room.MAX) {
        overwhelmed(stream);
        stream.receiveReset(new IOException("not read, and there is no room left"));
        reset(streamId, Http2Error.ENHANCE_YOUR_CALM);
        return padding;
      }
    }
    if (endOfStream) {
      stream.receiveEnd();
    }
    return padding;
  }

  @Override
  public void onHeadersRead(
      ChannelHandlerContext ctx,
      int streamId,
      Http2Headers headers,
      int dependency,
      short weight,
      boolean exclusive,
      int padding,
      boolean endOfStream)
      throws Http2Exception {
    onHeadersRead(ctx, streamId, headers, padding, endOfStream);
  }

  @Override
  public void onRstStreamRead(ChannelHandlerContext ctx, int streamId, long errorCode) {
    TunnelStream stream = streams.get(streamId);
    if (stream != null) {
      wasReset(stream, errorCode);
    }
  }

  void wasReset(TunnelStream stream, long errorCode) {
    stream.receiveReset(
        new IOException("stream reset by peer (" + Http2Error.valueOf(errorCode) + ")"));
  }

  @Override
  public void onPingRead(ChannelHandlerContext ctx, long data) throws Http2Exception {
    control();
  }

  @Override
  public void onSettingsRead(ChannelHandlerContext ctx, Http2Settings settings)
      throws Http2Exception {
    control();
  }

  private void control() throws Http2Exception {
    long now = loop.coarseNanos();
    if (now - controlsSince > CONTROL_NANOS) {
      controlsSince = now;
      controls = 0;
    }
    if (++controls > MAX_CONTROL) {
      throw Http2Exception.connectionError(
          Http2Error.ENHANCE_YOUR_CALM, "more than %d PINGs and SETTINGS in 10 s", MAX_CONTROL);
    }
  }

  /** Sees streams go, for whatever reason. */
  private final class Closed extends Http2ConnectionAdapter {
    @Override
    public void onStreamClosed(Http2Stream stream) {
      TunnelStream carried = streams.get(stream.id());
      if (carried != null && !carried.ended()) {
        carried.receiveReset(new IOException("the tunnel's stream is gone"));
      }
    }
  }
}
