// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.http;

import dev.weir.proxy.loop.Loop;
import dev.weir.proxy.loop.Open;
import dev.weir.proxy.observe.Counter;
import dev.weir.proxy.outbound.Generation;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.Channel;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.ChannelPipeline;
import io.netty.channel.socket.ChannelInputShutdownEvent;
import io.netty.channel.socket.DuplexChannel;
import io.netty.handler.codec.DecoderException;
import io.netty.handler.codec.http.DefaultHttpContent;
import io.netty.handler.codec.http.DefaultHttpRequest;
import io.netty.handler.codec.http.FullHttpResponse;
import io.netty.handler.codec.http.HttpContent;
import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpHeaderValues;
import io.netty.handler.codec.http.HttpHeaders;
import io.netty.handler.codec.http.HttpMethod;
import io.netty.handler.codec.http.HttpObject;
import io.netty.handler.codec.http.HttpRequest;
import io.netty.handler.codec.http.HttpResponse;
import io.netty.handler.codec.http.HttpUtil;
import io.netty.handler.codec.http.HttpVersion;
import io.netty.handler.codec.http.LastHttpContent;
import io.netty.handler.ssl.ApplicationProtocolNames;
import io.netty.handler.ssl.SniCompletionEvent;
import io.netty.handler.ssl.SslHandler;
import io.netty.handler.ssl.SslHandshakeCompletionEvent;
import io.netty.util.ReferenceCountUtil;
import java.io.IOException;
import java.util.ArrayDeque;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * One client connection of HTTP/1.1, or of HTTP/2 until it says so. Requests are served one after
 * the other; those that come early wait here, and reading stops while any wait. All of it runs on
 * one event loop.
 */
public final class ServerConnection extends ChannelInboundHandlerAdapter implements ClientStream {

  /** A request's head must be complete this long after its first byte. */
  static final long HEAD_NANOS = TimeUnit.SECONDS.toNanos(10);

  /** How long a closed connection is read from, so that the client gets to read what was sent. */
  static final long LINGER_NANOS = TimeUnit.SECONDS.toNanos(2);

  /** In a drain: who has asked for nothing for so long is not just about to. */
  static final long DRAIN_IDLE_NANOS = TimeUnit.SECONDS.toNanos(1);

  /** How long a connection is kept without a request. */
  static final long IDLE_NANOS = TimeUnit.MINUTES.toNanos(5);

  /** How long a request may go without a byte either way. */
  static final long STREAM_IDLE_NANOS = TimeUnit.MINUTES.toNanos(5);

  /** Body bytes read and thrown away after an early answer, so that the client gets to read it. */
  private static final long MAX_DISCARD = 1 << 20;

  private final Worker worker;
  private final Client client;
  private final Channel channel;
  private final RequestDecoder decoder;
  private final ResponseEncoder encoder = new ResponseEncoder();
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
  private final BodyPace pace = new BodyPace();
  private long lingersSince;

  // Of the request in hand.
  private boolean http10;
  private boolean head;
  private boolean expects;
  private boolean mayKeepAlive = true;
  private boolean keepAlive;
  private boolean upgraded;

  private ServerConnection(Worker worker, Client client, Channel channel) {
    this.worker = worker;
    this.client = client;
    this.channel = channel;
    // Within TLS the handshake says which version is spoken.
    this.decoder = new RequestDecoder(this::becomeHttp2, !client.tls());
    this.idleSince = worker.loop().coarseNanos();
  }

  /**
   * Puts HTTP at the end of a new connection's pipeline.
   *
   * @param generation that let it in; it has an entrance and a source for this origin
   */
  public static void install(
      Worker worker, Origin origin, Generation generation, ChannelPipeline pipeline) {
    Channel channel = pipeline.channel();
    ServerConnection connection =
        new ServerConnection(worker, new Client(worker, origin, generation, channel), channel);
    worker.loop().watch(connection.watch);
    pipeline.channel().closeFuture().addListener(closed -> worker.loop().unwatch(connection.watch));
    pipeline.addLast(connection.decoder, connection.encoder, connection);
  }

  /** The client speaks HTTP/2: what it sent, and will send, is for another handler. */
  private void becomeHttp2() {
    worker.loop().unwatch(watch);
    ChannelPipeline pipeline = channel.pipeline();
    // First: it would encode what the other writes.
    pipeline.remove(encoder);
    pipeline.addLast(Http2ServerConnection.of(client, channel));
    pipeline.remove(this);
    // Last: with it goes what it has read.
    pipeline.remove(decoder);
  }

  private final class Watch extends Loop.Watched {
    @Override
    protected void check(long nowNanos) {
      checkDeadlines(nowNanos);
    }

    @Override
    protected Optional<Open> open() {
      return Optional.of(
          Open.client(client.origin().listener(), upgraded ? "upgraded" : "http/1.1"));
    }
  }

  @Override
  public Client client() {
    return client;
  }

  @Override
  public boolean http2() {
    return false;
  }

  @Override
  public boolean isWritable() {
    return channel.isWritable();
  }

  /** Whether the client cannot, or ought not to, ask for more than it has asked for already. */
  private boolean ending() {
    return waiting.isEmpty() && !decoder.midHead() && (inputEnded || client.unplanned());
  }

  // ---- from the client

  @Override
  public void channelRead(ChannelHandlerContext ctx, Object message) {
    if (message instanceof HttpRequest) {
      headSince = 0;
    }
    if (upgraded) {
      bytes((ByteBuf) message);
      return;
    }
    if (closing) {
      ReferenceCountUtil.release(message);
    } else if (!waiting.isEmpty() || mustWait(message)) {
      waiting.add(message);
    } else {
      take((HttpObject) message);
    }
  }

  /** Of whatever protocol is spoken instead of HTTP. */
  private void bytes(ByteBuf some) {
    Exchange open = exchange;
    if (closing || open == null) {
      some.release();
    } else {
      open.requestContent(new DefaultHttpContent(some));
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
      accept(request);
    }
    if (message instanceof HttpContent content) {
      if (closing) {
        content.release();
      } else if (exchange != null) {
        pace.came(content.content().readableBytes());
        exchange.requestContent(content);
      } else {
        discard(content);
      }
    }
  }

  @Override
  public String protocol() {
    return http10 ? "HTTP/1.0" : "HTTP/1.1";
  }

  private void accept(HttpRequest request) {
    http10 = request.protocolVersion().equals(HttpVersion.HTTP_1_0);
    head = request.method().equals(HttpMethod.HEAD);
    expects = request.headers().contains(HttpHeaderNames.EXPECT);
    mayKeepAlive = HttpUtil.isKeepAlive(request);
    keepAlive = false;
    pace.restart();
    encoder.expectHead(head);
    Exchange next = new Exchange(this, request);
    exchange = next;
    next.begin();
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
  @Override
  public void drain() {
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
  @Override
  public void updateReading() {
    boolean read = closing || waiting.isEmpty() && (exchange == null || exchange.takesMore());
    // One that has ended reads no more, and is not to be told so: epoll knows it no more.
    if (channel.config().isAutoRead() != read && !inputEnded && channel.isActive()) {
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
      if (lingersSince != 0) {
        var _ = channel.close();
      } else if (exchange == null && waiting.isEmpty()) {
        closeAfterFlush();
      } else if (exchange != null && waiting.isEmpty() && !exchange.requestComplete()) {
        exchange.clientGone();
        var _ = channel.close();
      }
    }
    if (event instanceof SniCompletionEvent sni && sni.hostname() != null) {
      client.serverName(sni.hostname().toLowerCase(Locale.ROOT));
    }
    if (event instanceof SslHandshakeCompletionEvent handshake) {
      if (!handshake.isSuccess()) {
        worker.metrics().count(Counter.TLS_FAILED);
        var _ = channel.close();
      } else if (ApplicationProtocolNames.HTTP_2.equals(
          ctx.pipeline().get(SslHandler.class).applicationProtocol())) {
        becomeHttp2();
      }
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
      worker.log().warn("connection from " + client.peerText() + " closed: " + cause);
    }
    var _ = channel.close();
  }

  private void releaseWaiting() {
    while (!waiting.isEmpty()) {
      ReferenceCountUtil.release(waiting.poll());
    }
  }

  // ---- to the client

  @Override
  public boolean interim(HttpResponse response) {
    if (http10) {
      return false;
    }
    response.setProtocolVersion(HttpVersion.HTTP_1_1);
    queue(response);
    queue(LastHttpContent.EMPTY_LAST_CONTENT);
    return true;
  }

  @Override
  public boolean upgrade(HttpResponse response) {
    if (!waiting.isEmpty()) {
      // Requests of HTTP before it was known that there would be no more of them.
      worker.metrics().count(Counter.MALFORMED);
      return false;
    }
    response.setProtocolVersion(HttpVersion.HTTP_1_1);
    queue(response);
    queue(LastHttpContent.EMPTY_LAST_CONTENT);
    keepAlive = false;
    mayKeepAlive = false;
    upgraded = true;
    channel.pipeline().remove(encoder);
    // With it goes what it has read.
    channel.pipeline().remove(decoder);
    return true;
  }

  @Override
  public void respond(HttpResponse response) {
    response.setProtocolVersion(HttpVersion.HTTP_1_1);
    keepAlive = mayKeepAlive && !lastResponse();
    frame(response);
    persistence(response.headers());
    queue(response);
  }

  @Override
  public void answer(FullHttpResponse response) {
    keepAlive = mayKeepAlive && !lastResponse() && mayGoOn();
    persistence(response.headers());
    queue(response);
  }

  /** Sees to it that the client can tell where the response ends. */
  private void frame(HttpResponse response) {
    HttpHeaders headers = response.headers();
    int status = response.status().code();
    boolean empty = head || status == 204 || status == 304 || status == 205;
    if (empty || headers.contains(HttpHeaderNames.CONTENT_LENGTH)) {
      return;
    }
    if (http10) {
      // HTTP/1.0 has no chunks: the end of the connection is the end of the response.
      headers.remove(HttpHeaderNames.TRANSFER_ENCODING);
      headers.remove(HttpHeaderNames.TRAILER);
      keepAlive = false;
    } else if (!HttpUtil.isTransferEncodingChunked(response)) {
      headers.set(HttpHeaderNames.TRANSFER_ENCODING, HttpHeaderValues.CHUNKED);
    }
  }

  private void persistence(HttpHeaders headers) {
    if (!keepAlive) {
      headers.set(HttpHeaderNames.CONNECTION, HttpHeaderValues.CLOSE);
    } else if (http10) {
      headers.set(HttpHeaderNames.CONNECTION, HttpHeaderValues.KEEP_ALIVE);
    }
  }

  /** A client that waits for 100 Continue may send its body late, or not at all: no telling. */
  private boolean mayGoOn() {
    return !expects || exchange != null && exchange.requestComplete();
  }

  @Override
  public void write(HttpContent content) {
    queue(content);
  }

  private void queue(HttpObject object) {
    dirty = true;
    if (upgraded && object instanceof HttpContent bytes) {
      var _ = channel.write(bytes.content(), channel.voidPromise());
      return;
    }
    var _ = channel.write(object, channel.voidPromise());
  }

  @Override
  public void flush() {
    if (dirty) {
      dirty = false;
      channel.flush();
    }
  }

  @Override
  public void distrust() {
    mayKeepAlive = false;
  }

  /** Whether this is to be the last response of the connection. */
  private boolean lastResponse() {
    return worker.draining().get() || ending();
  }

  @Override
  public void exchangeDone() {
    boolean complete = exchange != null && exchange.requestComplete();
    boolean goesOn = keepAlive && mayGoOn();
    exchange = null;
    if (!goesOn) {
      closeAfterFlush();
      return;
    }
    if (complete) {
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
  private void closeAfterFlush() {
    if (!closing) {
      closing = true;
      exchange = null;
      releaseWaiting();
      dirty = false;
      var _ = channel.writeAndFlush(Unpooled.EMPTY_BUFFER).addListener(written -> linger());
    }
  }

  /**
   * Says that nothing more comes, and reads on for a while: what lies unread when a socket is
   * closed makes the kernel send a reset, which may overtake the answer (RFC 9112 9.6).
   */
  private void linger() {
    if (inputEnded || !(channel instanceof DuplexChannel duplex) || !channel.isActive()) {
      var _ = channel.close();
      return;
    }
    lingersSince = worker.loop().nanos();
    updateReading();
    SslHandler tls = channel.pipeline().get(SslHandler.class);
    if (tls == null) {
      var _ = duplex.shutdownOutput();
    } else {
      var _ = tls.closeOutbound().addListener(told -> shutDown(duplex));
    }
  }

  private static void shutDown(DuplexChannel duplex) {
    var _ = duplex.shutdownOutput();
  }

  @Override
  public void abort() {
    closing = true;
    exchange = null;
    releaseWaiting();
    channel.flush();
    var _ = channel.close();
  }

  /** Ends the connection if nothing is in flight on it; else it ends with the response in hand. */
  private void drainNow() {
    if (exchange == null && waiting.isEmpty()) {
      closeAfterFlush();
    }
  }

  private void checkBody(Exchange open, long now) {
    boolean awaited =
        open.awaitsBody() && channel.config().isAutoRead() && (pace.begun() || !expects);
    if (pace.tooSlow(awaited, now)) {
      worker.metrics().count(Counter.BODY_TIMEOUT);
      open.bodyTimedOut();
    }
  }

  private void checkDeadlines(long now) {
    Exchange open = exchange;
    if (lingersSince != 0) {
      if (now - lingersSince > LINGER_NANOS) {
        var _ = channel.close();
      }
    } else if (worker.draining().get()
        && open == null
        && discarding < 0
        && headSince == 0
        && now - idleSince >= DRAIN_IDLE_NANOS) {
      drainNow();
    } else if (open == null && discarding < 0 && headSince == 0 && ending()) {
      // Not asked for anything: a client notices, and connects anew to where the service leads now.
      closeAfterFlush();
    } else if (open != null) {
      if (now - open.lastActivity() > open.idleNanos()) {
        open.timedOut();
      } else {
        checkBody(open, now);
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
