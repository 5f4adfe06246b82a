// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.http;

import dev.weir.proxy.loop.Loop;
import dev.weir.proxy.observe.Counter;
import dev.weir.proxy.observe.Series;
import dev.weir.proxy.observe.SeriesKey;
import dev.weir.proxy.outbound.Entrance;
import dev.weir.proxy.outbound.Gateway;
import dev.weir.proxy.outbound.Generation;
import dev.weir.proxy.outbound.Source;
import io.netty.buffer.ByteBufAllocator;
import io.netty.buffer.Unpooled;
import io.netty.channel.Channel;
import io.netty.channel.ChannelFutureListener;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.ChannelPipeline;
import io.netty.channel.socket.ChannelInputShutdownEvent;
import io.netty.handler.codec.DecoderException;
import io.netty.handler.codec.http.DefaultHttpRequest;
import io.netty.handler.codec.http.HttpContent;
import io.netty.handler.codec.http.HttpMethod;
import io.netty.handler.codec.http.HttpObject;
import io.netty.handler.codec.http.HttpRequest;
import io.netty.handler.codec.http.HttpVersion;
import io.netty.handler.codec.http.LastHttpContent;
import io.netty.handler.ssl.SniCompletionEvent;
import io.netty.handler.ssl.SslHandshakeCompletionEvent;
import io.netty.util.AsciiString;
import io.netty.util.ReferenceCountUtil;
import java.io.IOException;
import java.util.ArrayDeque;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * One client connection. Requests are served one after the other; those that come early wait here,
 * and reading stops while any wait. All of it runs on one event loop.
 */
public final class ServerConnection extends ChannelInboundHandlerAdapter {

  /** A request's head must be complete this long after its first byte. */
  static final long HEAD_NANOS = TimeUnit.SECONDS.toNanos(10);

  /** How long a connection is kept without a request. */
  static final long IDLE_NANOS = TimeUnit.MINUTES.toNanos(5);

  /** How long a request may go without a byte either way. */
  static final long STREAM_IDLE_NANOS = TimeUnit.MINUTES.toNanos(5);

  /** Body bytes read and thrown away after an early answer, so that the client gets to read it. */
  private static final long MAX_DISCARD = 1 << 20;

  private final Worker worker;
  private final Origin origin;
  private final Channel channel;
  private final RequestDecoder decoder = new RequestDecoder();
  private final ResponseEncoder encoder = new ResponseEncoder();
  private final AsciiString peerText;
  private final Watch watch = new Watch();

  private final ArrayDeque<Object> waiting = new ArrayDeque<>(0);
  private boolean draining;
  private @Nullable Exchange exchange;
  private long discarding = -1;
  private boolean closing;
  private boolean inputEnded;
  private boolean dirty;
  private long headSince;
  private long idleSince;

  // What the last request found, kept as long as the generation is the same. The entrance is an
  // older generation's when the one in force has none for this connection any more.
  private @Nullable Generation generation;
  private boolean leaving;
  private Optional<Entrance> entrance = Optional.empty();
  private Optional<Gateway> gateway = Optional.empty();
  private String serverName = "";
  private Optional<Source> source = Optional.empty();

  // The kind of the last request: most are of the same kind.
  private @Nullable Series series;

  private ServerConnection(Worker worker, Origin origin, Channel channel) {
    this.worker = worker;
    this.origin = origin;
    this.channel = channel;
    this.peerText = AsciiString.of(origin.peer().toString());
    this.idleSince = worker.loop().coarseNanos();
  }

  /**
   * Puts HTTP at the end of a new connection's pipeline.
   *
   * @param generation that let it in; it has an entrance and a source for this origin
   */
  public static void install(
      Worker worker, Origin origin, Generation generation, ChannelPipeline pipeline) {
    ServerConnection connection = new ServerConnection(worker, origin, pipeline.channel());
    connection.pin(generation);
    worker.loop().watch(connection.watch);
    pipeline.channel().closeFuture().addListener(closed -> worker.loop().unwatch(connection.watch));
    pipeline.addLast(connection.decoder, connection.encoder, connection);
  }

  private final class Watch extends Loop.Watched {
    @Override
    protected void check(long nowNanos) {
      checkDeadlines(nowNanos);
    }
  }

  Worker worker() {
    return worker;
  }

  Origin origin() {
    return origin;
  }

  AsciiString peerText() {
    return peerText;
  }

  boolean tls() {
    return origin instanceof Origin.Gateway gateway && gateway.tls();
  }

  int localPort() {
    return switch (origin) {
      case Origin.Workload workload -> workload.destination().port();
      case Origin.Gateway gateway -> gateway.bind().port();
    };
  }

  ByteBufAllocator allocator() {
    return channel.alloc();
  }

  boolean isWritable() {
    return channel.isWritable();
  }

  // ---- what a request finds

  /** Reads the generation in force, once per request. */
  Generation pinGeneration() {
    Generation now = worker.current().get();
    pin(now);
    return now;
  }

  private void pin(Generation now) {
    if (now == generation) {
      return;
    }
    generation = now;
    Optional<Entrance> planned;
    Optional<Gateway> door = Optional.empty();
    switch (origin) {
      case Origin.Workload(var peer, var destination, int number) -> {
        planned = now.service(destination).filter(Entrance::requests);
        source = now.source(number);
      }
      case Origin.Gateway(var peer, var bind, boolean tls, var number) -> {
        door = now.gateway(bind).filter(g -> g.tls() == tls && g.requests());
        planned = door.map(Gateway::any);
        source =
            number.isPresent() ? now.source(number.getAsInt()) : Optional.of(now.outside(peer));
      }
    }
    leaving = planned.isEmpty();
    if (!leaving) {
      entrance = planned;
      gateway = door;
    }
  }

  /**
   * Whether the generation of the last {@link #pinGeneration} leads nobody here any more: what is
   * still asked goes by the routes it had, with that generation's verdicts.
   */
  boolean leaving() {
    return leaving;
  }

  /**
   * Whether the generation in force, which the request in hand need not know, has no use for it.
   */
  private boolean unplanned() {
    Generation now = worker.current().get();
    return now == generation
        ? leaving
        : switch (origin) {
          case Origin.Workload(var peer, var destination, int number) ->
              now.service(destination).filter(Entrance::requests).isEmpty();
          case Origin.Gateway(var peer, var bind, boolean tls, var number) ->
              now.gateway(bind).filter(g -> g.tls() == tls && g.requests()).isEmpty();
        };
  }

  /** Whether the client cannot, or ought not to, ask for more than it has asked for already. */
  private boolean ending() {
    return waiting.isEmpty() && !decoder.midHead() && (inputEnded || unplanned());
  }

  /** One that requests may come in by, whatever their host. */
  Optional<Entrance> entrance() {
    return entrance;
  }

  /**
   * The one that a request for a host comes in by.
   *
   * @param host in lower case without port; empty when none is named
   */
  Optional<Entrance> entrance(String host) {
    return gateway.isPresent() ? gateway.get().listeners().of(host) : entrance;
  }

  /**
   * Whether the handshake was with another listener than the one that a request comes in by (RFC
   * 9110 7.4): the client believes in a certificate that is not for it, and may have shown one that
   * it does not ask for.
   */
  boolean misdirected(Entrance in) {
    return gateway.isPresent()
        && !serverName.isEmpty()
        && gateway.get().listeners().of(serverName).filter(e -> e == in).isEmpty();
  }

  Optional<Source> source() {
    return source;
  }

  /** The server name of the TLS handshake (RFC 6066 3), in lower case; empty without one. */
  String serverName() {
    return serverName;
  }

  /** Counts a finished request. */
  void count(SeriesKey key, long nanos, long sent, long received) {
    Series to = series;
    if (to == null || !to.key().equals(key)) {
      to = worker.metrics().series(key);
      series = to;
    }
    to.record(nanos, sent, received);
  }

  @Nullable Series lastSeries() {
    return series;
  }

  // ---- from the client

  @Override
  public void channelRead(ChannelHandlerContext ctx, Object message) {
    if (message instanceof HttpRequest) {
      headSince = 0;
    }
    if (closing) {
      ReferenceCountUtil.release(message);
    } else if (!waiting.isEmpty() || mustWait(message)) {
      waiting.add(message);
    } else {
      take((HttpObject) message);
    }
  }

  private boolean mustWait(Object message) {
    if (message instanceof HttpRequest) {
      // A client that does not read its responses may not ask for more of them.
      return exchange != null || discarding >= 0 || !channel.isWritable();
    }
    return exchange != null && exchange.holdsContent();
  }

  private void take(HttpObject message) {
    if (message instanceof HttpRequest request) {
      exchange = new Exchange(this, request);
      exchange.begin();
    }
    if (message instanceof HttpContent content) {
      if (closing) {
        content.release();
      } else if (exchange != null) {
        exchange.requestContent(content);
      } else {
        discard(content);
      }
    }
  }

  private void discard(HttpContent content) {
    discarding = Math.max(0, discarding) + content.content().readableBytes();
    boolean last = content instanceof LastHttpContent;
    boolean broken = content.decoderResult().isFailure();
    content.release();
    if (broken || discarding > MAX_DISCARD) {
      closeAfterFlush();
    } else if (last) {
      discarding = -1;
      becomeIdle();
    }
  }

  /** Takes up what waited, as far as it goes. */
  void drain() {
    if (draining) {
      return;
    }
    draining = true;
    try {
      while (!closing && !waiting.isEmpty() && !mustWait(waiting.peek())) {
        take((HttpObject) waiting.poll());
      }
    } finally {
      draining = false;
    }
    if (exchange != null) {
      exchange.flushRequest();
    }
    updateReading();
  }

  /** Reads on only when what is read has a place to go. */
  void updateReading() {
    boolean read = closing || waiting.isEmpty() && (exchange == null || exchange.takesMore());
    if (channel.config().isAutoRead() != read) {
      channel.config().setAutoRead(read);
    }
  }

  @Override
  public void channelReadComplete(ChannelHandlerContext ctx) {
    if (exchange != null) {
      exchange.flushRequest();
    } else if (headSince == 0 && decoder.midHead()) {
      headSince = worker.loop().coarseNanos();
    }
    flush();
    updateReading();
  }

  @Override
  public void channelWritabilityChanged(ChannelHandlerContext ctx) {
    if (exchange != null) {
      exchange.clientWritabilityChanged();
    }
    if (channel.isWritable() && !waiting.isEmpty()) {
      drain();
      flush();
    }
  }

  @Override
  public void userEventTriggered(ChannelHandlerContext ctx, Object event) throws Exception {
    if (event instanceof ChannelInputShutdownEvent) {
      // Half-closed: what it asked for it still gets, but nothing more can come.
      inputEnded = true;
      if (exchange == null && waiting.isEmpty()) {
        closeAfterFlush();
      } else if (exchange != null && waiting.isEmpty() && !exchange.requestComplete()) {
        exchange.clientGone();
        var _ = channel.close();
      }
    }
    if (event instanceof SniCompletionEvent sni && sni.hostname() != null) {
      serverName = sni.hostname().toLowerCase(Locale.ROOT);
    }
    if (event instanceof SslHandshakeCompletionEvent handshake && !handshake.isSuccess()) {
      worker.metrics().count(Counter.TLS_FAILED);
      var _ = channel.close();
    }
    super.userEventTriggered(ctx, event);
  }

  @Override
  public void channelInactive(ChannelHandlerContext ctx) {
    closing = true;
    Exchange open = exchange;
    exchange = null;
    if (open != null) {
      open.clientGone();
    }
    releaseWaiting();
  }

  @Override
  public void exceptionCaught(ChannelHandlerContext ctx, Throwable cause) {
    // A client that resets its connection is its own business, as is one that cannot speak TLS.
    if (!(cause instanceof IOException || cause instanceof DecoderException)) {
      worker.log().warn("connection from " + peerText + " closed: " + cause);
    }
    var _ = channel.close();
  }

  private void releaseWaiting() {
    while (!waiting.isEmpty()) {
      ReferenceCountUtil.release(waiting.poll());
    }
  }

  // ---- to the client

  void expectHead(boolean head) {
    encoder.expectHead(head);
  }

  void write(HttpObject object) {
    dirty = true;
    var _ = channel.write(object, channel.voidPromise());
  }

  void flush() {
    if (dirty) {
      dirty = false;
      channel.flush();
    }
  }

  /** Whether this is to be the last response of the connection. */
  boolean lastResponse() {
    return worker.draining().get() || ending();
  }

  /**
   * The exchange is over and its response written.
   *
   * @param requestComplete whether all of the request was read
   * @param keepAlive whether the connection goes on
   */
  void exchangeDone(boolean requestComplete, boolean keepAlive) {
    exchange = null;
    if (!keepAlive) {
      closeAfterFlush();
      return;
    }
    if (requestComplete) {
      becomeIdle();
    } else {
      discarding = 0;
      idleSince = worker.loop().coarseNanos();
    }
    drain();
  }

  private void becomeIdle() {
    idleSince = worker.loop().coarseNanos();
    if (worker.draining().get() || ending()) {
      closeAfterFlush();
    }
  }

  /** Ends the connection once what is written is sent. */
  void closeAfterFlush() {
    if (!closing) {
      closing = true;
      exchange = null;
      releaseWaiting();
      dirty = false;
      var _ = channel.writeAndFlush(Unpooled.EMPTY_BUFFER).addListener(ChannelFutureListener.CLOSE);
    }
  }

  /** Ends the connection in the middle of a response, so that the client sees it is not whole. */
  void abort() {
    closing = true;
    exchange = null;
    releaseWaiting();
    channel.flush();
    var _ = channel.close();
  }

  /** Ends the connection if nothing is in flight on it; else it ends with the response in hand. */
  void drainNow() {
    if (exchange == null && waiting.isEmpty()) {
      closeAfterFlush();
    }
  }

  private void checkDeadlines(long now) {
    Exchange open = exchange;
    if (worker.draining().get() && open == null && discarding < 0) {
      drainNow();
    } else if (open == null && discarding < 0 && headSince == 0 && ending()) {
      // Not asked for anything: a client notices, and connects anew to where the service leads now.
      closeAfterFlush();
    } else if (open != null) {
      if (now - open.lastActivity() > STREAM_IDLE_NANOS) {
        open.timedOut();
      }
    } else if (headSince != 0) {
      if (now - headSince > HEAD_NANOS) {
        worker.metrics().count(Counter.HEAD_TIMEOUT);
        Exchange late =
            new Exchange(this, new DefaultHttpRequest(HttpVersion.HTTP_1_1, HttpMethod.GET, "/"));
        exchange = late;
        late.headTimedOut();
      }
    } else if (now - idleSince > (discarding >= 0 ? HEAD_NANOS : IDLE_NANOS)) {
      closeAfterFlush();
    }
  }
}
