// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.http;

import dev.weir.proxy.loop.Loop;
import dev.weir.proxy.loop.Open;
import dev.weir.proxy.observe.Counter;
import dev.weir.proxy.wire.BudgetedFrames;
import dev.weir.proxy.wire.FrameBudget;
import dev.weir.proxy.wire.FrameHeaders;
import dev.weir.proxy.wire.Http2Fields;
import dev.weir.proxy.wire.MultiplexedConnection;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.Channel;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.socket.ChannelInputShutdownEvent;
import io.netty.handler.codec.http.DefaultHttpContent;
import io.netty.handler.codec.http.DefaultLastHttpContent;
import io.netty.handler.codec.http.HttpRequest;
import io.netty.handler.codec.http.LastHttpContent;
import io.netty.handler.codec.http2.AbstractHttp2ConnectionHandlerBuilder;
import io.netty.handler.codec.http2.Http2CodecUtil;
import io.netty.handler.codec.http2.Http2ConnectionAdapter;
import io.netty.handler.codec.http2.Http2ConnectionDecoder;
import io.netty.handler.codec.http2.Http2ConnectionEncoder;
import io.netty.handler.codec.http2.Http2Error;
import io.netty.handler.codec.http2.Http2Exception;
import io.netty.handler.codec.http2.Http2Headers;
import io.netty.handler.codec.http2.Http2Settings;
import io.netty.handler.codec.http2.Http2Stream;
import java.io.IOException;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * One client connection of HTTP/2 (RFC 9113). The library frames; which request belongs to which
 * stream, and what of a request's content is acknowledged when, is decided here: a client may send
 * as much as backends take, and each stream waits for its own backend alone. All of it runs on one
 * event loop.
 */
final class Http2ServerConnection extends MultiplexedConnection<Http2ServerStream> {

  /** Requests under way at once; the same that Envoy and nginx allow. */
  static final int MAX_STREAMS = 128;

  /** Content of one request that may be on its way here; also of a connection, times two. */
  static final int WINDOW = 131_072;

  /** Frames that carry nothing which a client may send at once, and each second. */
  static final int IDLE_FRAMES = 1_000;

  static final int IDLE_FRAMES_PER_SECOND = 100;

  /**
   * Requests that a client may give up at once, and each second, beyond those it sees to an end.
   */
  static final int RESETS = 200;

  static final int RESETS_PER_SECOND = 10;

  /** Streams that we have reset, of which more may come for a while. */
  private static final int REMEMBERED = 2 * MAX_STREAMS;

  private final Worker worker;
  private final Client client;
  private final Channel channel;
  private final Watch watch = new Watch();
  private final Frames budgeted;
  private final FrameBudget resets;

  private final int[] lastResets = new int[REMEMBERED];
  private int nextReset;
  private ByteBuf reading = Unpooled.EMPTY_BUFFER;
  private int looked;
  // What comes after an error of the connection is not looked at any more.
  private boolean broken;
  private boolean leavingSaid;
  private long idleSince;
  // When the client began with a preface or a header block that it has not ended yet; 0 for none.
  private long unfinishedSince;
  private final FrameHeaders frames = FrameHeaders.ofClient();

  private Http2ServerConnection(
      Http2ConnectionDecoder decoder,
      Http2ConnectionEncoder encoder,
      Http2Settings settings,
      Client client,
      Channel channel) {
    super(decoder, encoder, settings, client.worker().loop(), 2 * WINDOW);
    this.worker = client.worker();
    this.client = client;
    this.channel = channel;
    this.idleSince = worker.loop().coarseNanos();
    this.unfinishedSince = idleSince;
    this.resets = new FrameBudget(RESETS, RESETS_PER_SECOND, idleSince);
    connection().addListener(new Closed());
    this.budgeted = new Frames();
    decoder.frameListener(budgeted);
  }

  /** What speaks HTTP/2 with a client; it is the end of the pipeline. */
  static Http2ServerConnection of(Client client, Channel channel) {
    return new Builder(client, channel).build();
  }

  private static final class Builder
      extends AbstractHttp2ConnectionHandlerBuilder<Http2ServerConnection, Builder> {
    private final Client client;
    private final Channel channel;

    Builder(Client client, Channel channel) {
      this.client = client;
      this.channel = channel;
      connection(fair(true));
      initialSettings(
          new Http2Settings()
              .maxConcurrentStreams(MAX_STREAMS)
              .connectProtocolEnabled(true)
              .initialWindowSize(WINDOW)
              .maxHeaderListSize(RequestDecoder.MAX_HEADERS + RequestDecoder.MAX_LINE));
      validateHeaders(true);
      validateRequiredPseudoHeaders(true);
      // Resets are counted here, by what the requests were worth.
      decoderEnforceMaxRstFramesPerWindow(0, 0);
      encoderEnforceMaxRstFramesPerWindow(0, 0);
      encoderEnforceMaxQueuedControlFrames(IDLE_FRAMES);
      flushPreface(false);
    }

    @Override
    protected Http2ServerConnection build() {
      return super.build();
    }

    @Override
    protected Http2ServerConnection build(
        Http2ConnectionDecoder decoder, Http2ConnectionEncoder encoder, Http2Settings settings) {
      return new Http2ServerConnection(decoder, encoder, settings, client, channel);
    }
  }

  private final class Watch extends Loop.Watched {
    @Override
    protected void check(long nowNanos) {
      checkDeadlines(nowNanos);
    }

    @Override
    protected Optional<Open> open() {
      return Optional.of(Open.client(client.origin().listener(), "http/2"));
    }
  }

  Client client() {
    return client;
  }

  @Override
  public void handlerAdded(ChannelHandlerContext ctx) throws Exception {
    worker.loop().watch(watch);
    super.handlerAdded(ctx);
    flushLater();
  }

  @Override
  public void handlerRemoved0(ChannelHandlerContext ctx) throws Exception {
    worker.loop().unwatch(watch);
    super.handlerRemoved0(ctx);
  }

  // ---- frames

  /**
   * A header block that is not at its end is no frame yet for the library: whoever sends a piece of
   * one each minute would be kept for ever.
   */
  @Override
  protected void decode(ChannelHandlerContext ctx, ByteBuf in, List<Object> out) throws Exception {
    if (broken) {
      in.skipBytes(in.readableBytes());
      return;
    }
    reading = in;
    looked = in.readerIndex();
    super.decode(ctx, in, out);
    look();
    reading = Unpooled.EMPTY_BUFFER;
    if (!decoder().prefaceReceived()) {
      return;
    }
    if (!frames.midSection()) {
      unfinishedSince = 0;
    } else if (unfinishedSince == 0) {
      unfinishedSince = worker.loop().coarseNanos();
    }
  }

  private void look() {
    int now = reading.readerIndex();
    frames.look(reading, looked, now);
    looked = now;
  }

  private final class Frames extends BudgetedFrames {

    Frames() {
      super(worker.loop(), Http2ServerConnection.this, IDLE_FRAMES, IDLE_FRAMES_PER_SECOND);
    }

    @Override
    public void onHeadersRead(
        ChannelHandlerContext ctx, int streamId, Http2Headers headers, int padding, boolean ended)
        throws Http2Exception {
      earn();
      Http2ServerStream known = known(streamId);
      HttpRequest request;
      boolean switches;
      try {
        if (known != null) {
          known.content(
              new DefaultLastHttpContent(Unpooled.EMPTY_BUFFER, Http2Fields.trailers(headers)), 0);
          return;
        }
        switches = Http2Fields.switches(headers);
        request =
            switches ? Http2Fields.webSocket(headers, ended) : Http2Fields.request(headers, ended);
      } catch (Http2Fields.MalformedFieldsException e) {
        throw Http2Exception.streamError(
            streamId, Http2Error.PROTOCOL_ERROR, "%s", String.valueOf(e.getMessage()));
      }
      Http2Stream stream = connection().stream(streamId);
      if (stream == null) {
        return; // Reset already.
      }
      Http2ServerStream next = new Http2ServerStream(Http2ServerConnection.this, stream, switches);
      attach(stream, next);
      next.begin(request);
      if (ended) {
        next.content(LastHttpContent.EMPTY_LAST_CONTENT, 0);
      }
    }

    @Override
    protected int content(int streamId, ByteBuf data, int bytes, boolean ended) {
      Http2ServerStream stream = known(streamId);
      if (stream == null) {
        return bytes;
      }
      ByteBuf kept = data.retain();
      stream.content(
          ended ? new DefaultLastHttpContent(kept) : new DefaultHttpContent(kept), bytes);
      return 0;
    }

    @Override
    public void onRstStreamRead(ChannelHandlerContext ctx, int streamId, long errorCode)
        throws Http2Exception {
      if (!resets.take(worker.loop().coarseNanos())) {
        throw flood("more requests given up than there is any use for");
      }
    }

    @Override
    public void onSettingsAckRead(ChannelHandlerContext ctx) throws Http2Exception {
      idle();
    }
  }

  private static Http2Exception flood(String what) {
    return Http2Exception.connectionError(Http2Error.ENHANCE_YOUR_CALM, "%s", what);
  }

  @Override
  protected void onConnectionError(
      ChannelHandlerContext ctx,
      boolean outbound,
      Throwable cause,
      @Nullable Http2Exception error) {
    if (broken) {
      return;
    }
    broken = true;
    if (error != null && error.error() == Http2Error.ENHANCE_YOUR_CALM) {
      worker.metrics().count(Counter.FLOOD);
      worker
          .log()
          .refused("connection from " + client.peerText() + " ended: " + error.getMessage());
    } else if (!outbound) {
      worker.metrics().count(Counter.MALFORMED);
    }
    super.onConnectionError(ctx, outbound, cause, error);
  }

  private final class Closed extends Http2ConnectionAdapter {
    @Override
    public void onStreamClosed(Http2Stream stream) {
      Http2ServerStream closed = known(stream);
      if (closed != null) {
        closed.ended();
      }
      if (connection().numActiveStreams() == 0) {
        idleSince = worker.loop().coarseNanos();
      }
    }
  }

  @Override
  protected void writabilityChanged(Http2ServerStream stream) {
    stream.writabilityChanged();
  }

  @Override
  protected void onStreamError(
      ChannelHandlerContext ctx,
      boolean outbound,
      Throwable cause,
      Http2Exception.StreamException error) {
    if (!outbound) {
      boolean open = connection().stream(error.streamId()) != null;
      if (!open && error.error() == Http2Error.STREAM_CLOSED && !wasReset(error.streamId())) {
        // RFC 9113 5.1: the client has ended it itself, or never begun it, and knows so.
        onError(
            ctx,
            false,
            Http2Exception.connectionError(
                Http2Error.STREAM_CLOSED, "a frame for a stream that has ended"));
        return;
      }
      worker.metrics().count(Counter.MALFORMED);
      remember(error.streamId());
      look();
      Http2Stream stream = connection().stream(error.streamId());
      if (stream != null
          && stream.state() == Http2Stream.State.HALF_CLOSED_REMOTE
          && known(error.streamId()) != null
          && frames.lastOfRequest()) {
        // RFC 9113 5.1: whatever is wrong with it, there should be none.
        super.onStreamError(
            ctx,
            false,
            cause,
            (Http2Exception.StreamException)
                Http2Exception.streamError(
                    error.streamId(), Http2Error.STREAM_CLOSED, "the request is complete"));
        return;
      }
      // Each is a stream that we reset: whoever makes us do it for ever is a flood as well.
      if (!resets.take(worker.loop().coarseNanos())) {
        onError(ctx, false, flood("more malformed requests than there is any use for"));
        return;
      }
    }
    super.onStreamError(ctx, outbound, cause, error);
  }

  @Override
  public void channelReadComplete(ChannelHandlerContext ctx) throws Exception {
    connection().forEachActiveStream(this::flushRequest);
    super.channelReadComplete(ctx);
    updateReading();
  }

  private boolean flushRequest(Http2Stream stream) {
    Http2ServerStream of = known(stream);
    if (of != null) {
      of.readComplete();
    }
    return true;
  }

  @Override
  public void channelWritabilityChanged(ChannelHandlerContext ctx) throws Exception {
    updateReading();
    super.channelWritabilityChanged(ctx);
  }

  /** A client that does not read may not ask for more, not even for answers to its PINGs. */
  private void updateReading() {
    boolean read = channel.isWritable();
    if (channel.config().isAutoRead() != read && channel.isActive()) {
      channel.config().setAutoRead(read);
    }
  }

  @Override
  public void userEventTriggered(ChannelHandlerContext ctx, Object event) throws Exception {
    if (event instanceof ChannelInputShutdownEvent) {
      // Without its WINDOW_UPDATEs hardly anything could be sent to it.
      var _ = channel.close();
    }
    super.userEventTriggered(ctx, event);
  }

  @Override
  public void exceptionCaught(ChannelHandlerContext ctx, Throwable cause) throws Exception {
    if (Http2CodecUtil.getEmbeddedHttp2Exception(cause) != null) {
      onError(ctx, false, cause);
      return;
    }
    if (!(cause instanceof IOException)) {
      worker.log().warn("connection from " + client.peerText() + " closed: " + cause);
    }
    var _ = channel.close();
  }

  // ---- to the client

  /** A request came to its end as it should. */
  void completed() {
    resets.earn(1);
  }

  /** Content went to the client, which it will acknowledge. */
  void contentSent() {
    budgeted.earn();
  }

  /** What the client may go on sending for, since it does not know yet (RFC 9113 5.1). */
  private void remember(int reset) {
    lastResets[nextReset] = reset;
    nextReset = (nextReset + 1) % lastResets.length;
  }

  private boolean wasReset(int stream) {
    for (int reset : lastResets) {
      if (reset == stream) {
        return true;
      }
    }
    return false;
  }

  void reset(Http2Stream stream, Http2Error error) {
    remember(stream.id());
    var _ = resetStream(context(), stream.id(), error.code(), context().newPromise());
    flushLater();
  }

  // ---- endings

  private void checkDeadlines(long now) {
    if (unfinishedSince != 0 && now - unfinishedSince > ServerConnection.HEAD_NANOS) {
      worker.metrics().count(Counter.HEAD_TIMEOUT);
      end();
      return;
    }
    if (connection().numActiveStreams() > 0) {
      try {
        connection().forEachActiveStream(stream -> checkStream(stream, now));
      } catch (Http2Exception e) {
        onError(context(), true, e);
      }
    }
    boolean leave = worker.draining().get() || client.unplanned();
    if (connection().numActiveStreams() == 0
        && (leave || now - idleSince > ServerConnection.IDLE_NANOS)) {
      end();
    } else if (leave) {
      sayLeaving();
    }
  }

  private boolean checkStream(Http2Stream stream, long now) {
    Http2ServerStream of = known(stream);
    if (of != null) {
      of.checkDeadline(now);
    }
    return true;
  }

  /** RFC 9113 6.8: what is under way comes to its end, the rest is for another connection. */
  private void sayLeaving() {
    if (!leavingSaid) {
      leavingSaid = true;
      goAway();
      flushLater();
    }
  }

  private void end() {
    goAway();
    flush(context());
    var _ = channel.close();
  }

  private void goAway() {
    ChannelHandlerContext ctx = context();
    var _ =
        goAway(
            ctx,
            connection().remote().lastStreamCreated(),
            Http2Error.NO_ERROR.code(),
            Unpooled.EMPTY_BUFFER,
            ctx.newPromise());
  }
}
