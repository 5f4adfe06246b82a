// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.upstream;

import dev.weir.proxy.loop.Loop;
import dev.weir.proxy.wire.BudgetedFrames;
import dev.weir.proxy.wire.Http2Fields;
import dev.weir.proxy.wire.MultiplexedConnection;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.Channel;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.socket.ChannelInputShutdownEvent;
import io.netty.handler.codec.http.DefaultHttpContent;
import io.netty.handler.codec.http.DefaultLastHttpContent;
import io.netty.handler.codec.http.HttpResponse;
import io.netty.handler.codec.http.HttpStatusClass;
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
import io.netty.util.concurrent.Future;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/**
 * One connection of HTTP/2 to a backend (RFC 9113), carrying the requests of one event loop. What a
 * slow client does not read holds up its own stream and no other one.
 */
final class Http2Upstream extends MultiplexedConnection<Http2UpstreamStream> {

  /**
   * Requests on one connection; a backend may allow less. Beyond it there is another connection.
   */
  static final int MAX_STREAMS = 128;

  /** Content of one response that may be on its way here; also of a connection, times four. */
  static final int WINDOW = 131_072;

  /** Frames that carry nothing which a backend may send at once, and each second. */
  static final int IDLE_FRAMES = 2_000;

  static final int IDLE_FRAMES_PER_SECOND = 200;

  private final Loop loop;
  private final Endpoint endpoint;
  private final Channel channel;
  private final Frames budgeted;

  private final List<Served> served = new ArrayList<>();
  private final List<Http2UpstreamStream> undecided = new ArrayList<>(0);
  private Switching switching = Switching.UNKNOWN;
  private boolean leaving;
  private int taken;
  private boolean used;
  private long idleSince;

  /** Whether the backend carries other protocols in its streams (RFC 8441 3). */
  enum Switching {
    /** It has not sent its settings. */
    UNKNOWN,
    /** It has said so. */
    YES,
    /** It has not said so, and is not to be asked. */
    NO
  }

  private Http2Upstream(
      Http2ConnectionDecoder decoder,
      Http2ConnectionEncoder encoder,
      Http2Settings settings,
      Loop loop,
      Endpoint endpoint,
      Channel channel) {
    super(decoder, encoder, settings, loop, 4 * WINDOW);
    this.loop = loop;
    this.endpoint = endpoint;
    this.channel = channel;
    this.idleSince = loop.coarseNanos();
    connection().addListener(new Closed());
    this.budgeted = new Frames();
    decoder.frameListener(budgeted);
  }

  /** What speaks HTTP/2 with a backend; it is the end of the pipeline. */
  static Http2Upstream of(Loop loop, Endpoint endpoint, Channel channel) {
    return new Builder(loop, endpoint, channel).build();
  }

  private static final class Builder
      extends AbstractHttp2ConnectionHandlerBuilder<Http2Upstream, Builder> {
    private final Loop loop;
    private final Endpoint endpoint;
    private final Channel channel;

    Builder(Loop loop, Endpoint endpoint, Channel channel) {
      this.loop = loop;
      this.endpoint = endpoint;
      this.channel = channel;
      connection(fair(false));
      initialSettings(
          new Http2Settings()
              .pushEnabled(false)
              .initialWindowSize(WINDOW)
              .maxHeaderListSize(ResponseDecoder.MAX_HEADERS));
      validateHeaders(true);
      validateRequiredPseudoHeaders(true);
      encoderEnforceMaxQueuedControlFrames(IDLE_FRAMES);
      // The first request goes with it.
      flushPreface(false);
    }

    @Override
    protected Http2Upstream build() {
      return super.build();
    }

    @Override
    protected Http2Upstream build(
        Http2ConnectionDecoder decoder, Http2ConnectionEncoder encoder, Http2Settings settings) {
      return new Http2Upstream(decoder, encoder, settings, loop, endpoint, channel);
    }
  }

  /** Whether another request may go by it. */
  boolean hasRoom() {
    return channel.isActive()
        && !leaving
        && !connection().goAwayReceived()
        && taken < Math.min(MAX_STREAMS, connection().local().maxActiveStreams())
        // Identifiers are used up after 2^30 requests (RFC 9113 5.1.1).
        && connection().local().canOpenStream();
  }

  /** Takes room for a request. */
  Http2UpstreamStream take(UpstreamListener listener) {
    taken++;
    boolean before = used;
    used = true;
    return new Http2UpstreamStream(this, listener, before);
  }

  /** Gives back what {@link #take} took. */
  void give() {
    if (--taken == 0) {
      idleSince = loop.coarseNanos();
      if (leaving) {
        var _ = channel.close();
      }
    }
  }

  /** Whether nothing is under way by it since a while. */
  boolean idle(long nowNanos) {
    return taken == 0 && nowNanos - idleSince > Endpoint.IDLE_NANOS;
  }

  /** Carries no new request, and ends with the last one that it carries. */
  void leave() {
    leaving = true;
    if (taken == 0) {
      var _ = channel.close();
    }
  }

  /** How many requests go by it. */
  int requests() {
    return taken;
  }

  Endpoint endpoint() {
    return endpoint;
  }

  Switching switching() {
    return switching;
  }

  /** Tells a stream by {@link Http2UpstreamStream#settled} when {@link #switching} is known. */
  void whenKnown(Http2UpstreamStream stream) {
    undecided.add(stream);
    // The backend answers the preface, which is queued.
    flushLater();
  }

  private final class Frames extends BudgetedFrames {

    Frames() {
      super(loop, Http2Upstream.this, IDLE_FRAMES, IDLE_FRAMES_PER_SECOND);
    }

    @Override
    protected void settings(Http2Settings settings) {
      if (Boolean.TRUE.equals(settings.connectProtocolEnabled())) {
        switching = Switching.YES;
      } else if (switching == Switching.UNKNOWN) {
        switching = Switching.NO;
      }
      List<Http2UpstreamStream> told = List.copyOf(undecided);
      undecided.clear();
      told.forEach(Http2UpstreamStream::settled);
    }

    @Override
    public void onHeadersRead(
        ChannelHandlerContext ctx, int streamId, Http2Headers headers, int padding, boolean ended)
        throws Http2Exception {
      earn();
      Http2UpstreamStream stream = known(streamId);
      if (stream == null) {
        return;
      }
      HttpResponse response;
      try {
        if (stream.answered()) {
          stream.content(
              new DefaultLastHttpContent(Unpooled.EMPTY_BUFFER, Http2Fields.trailers(headers)), 0);
          return;
        }
        response = Http2Fields.response(headers);
      } catch (Http2Fields.MalformedFieldsException e) {
        throw Http2Exception.streamError(
            streamId, Http2Error.PROTOCOL_ERROR, "%s", String.valueOf(e.getMessage()));
      }
      if (response.status().codeClass() == HttpStatusClass.INFORMATIONAL) {
        // None of them has an end of its own.
        idle();
      }
      stream.response(response);
      if (ended) {
        stream.content(LastHttpContent.EMPTY_LAST_CONTENT, 0);
      }
    }

    @Override
    protected int content(int streamId, ByteBuf data, int bytes, boolean ended) {
      Http2UpstreamStream stream = known(streamId);
      if (stream == null) {
        return bytes;
      }
      ByteBuf kept = data.retain();
      stream.content(
          ended ? new DefaultLastHttpContent(kept) : new DefaultHttpContent(kept), bytes);
      return 0;
    }

    @Override
    public void onRstStreamRead(ChannelHandlerContext ctx, int streamId, long errorCode) {
      Http2UpstreamStream stream = known(streamId);
      if (stream != null) {
        stream.reset(errorCode);
      }
    }

    @Override
    public void onGoAwayRead(
        ChannelHandlerContext ctx, int lastStreamId, long errorCode, ByteBuf debugData) {
      // The library closes what the backend says it never looked at.
      endpoint.leaves(loop, Http2Upstream.this);
    }
  }

  private final class Closed extends Http2ConnectionAdapter {
    @Override
    public void onStreamClosed(Http2Stream stream) {
      Http2UpstreamStream closed = known(stream);
      if (closed != null) {
        // RFC 9113 6.8: what comes after the last one it names was not looked at.
        boolean refused =
            connection().goAwayReceived()
                && stream.id() > connection().local().lastStreamKnownByPeer();
        closed.ended(refused);
      }
    }
  }

  @Override
  protected void writabilityChanged(Http2UpstreamStream stream) {
    stream.writabilityChanged();
  }

  @Override
  protected void onStreamError(
      ChannelHandlerContext ctx,
      boolean outbound,
      Throwable cause,
      Http2Exception.StreamException error) {
    Http2UpstreamStream stream = known(error.streamId());
    if (stream != null && !outbound) {
      stream.malformed(error);
    }
    super.onStreamError(ctx, outbound, cause, error);
  }

  /** Something came for a listener since the last {@link #channelReadComplete}. */
  void served(Http2UpstreamStream stream, UpstreamListener to) {
    served.add(new Served(stream, to));
  }

  private record Served(Http2UpstreamStream stream, UpstreamListener to) {}

  @Override
  public void channelReadComplete(ChannelHandlerContext ctx) throws Exception {
    for (int i = 0; i < served.size(); i++) {
      Served next = served.get(i);
      next.stream().readComplete(next.to());
    }
    served.clear();
    super.channelReadComplete(ctx);
  }

  @Override
  public void channelInactive(ChannelHandlerContext ctx) throws Exception {
    endpoint.ended(loop, this);
    List<Http2UpstreamStream> told = List.copyOf(undecided);
    undecided.clear();
    told.forEach(stream -> stream.ended(false));
    super.channelInactive(ctx);
  }

  @Override
  public void userEventTriggered(ChannelHandlerContext ctx, Object event) throws Exception {
    if (event instanceof ChannelInputShutdownEvent) {
      var _ = channel.close();
    }
    super.userEventTriggered(ctx, event);
  }

  @Override
  public void exceptionCaught(ChannelHandlerContext ctx, Throwable cause) throws Exception {
    if (Http2CodecUtil.getEmbeddedHttp2Exception(cause) != null) {
      onError(ctx, false, cause);
    } else {
      var _ = channel.close();
    }
  }

  void contentSent() {
    budgeted.earn();
  }

  Future<?> resetLater(Http2Stream stream, long seconds) {
    return loop.executor().schedule(() -> reset(stream), seconds, TimeUnit.SECONDS);
  }

  void reset(Http2Stream stream) {
    var _ = resetStream(context(), stream.id(), Http2Error.CANCEL.code(), context().newPromise());
    flushLater();
  }
}
