// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.hbone;

import dev.weir.policy.plan.Hbone;
import dev.weir.proxy.hbone.Tunnels.TunnelFailed;
import dev.weir.proxy.http.Worker;
import dev.weir.proxy.identity.IdentityStore;
import dev.weir.proxy.identity.Svid;
import dev.weir.proxy.loop.Loop;
import dev.weir.proxy.loop.Open;
import dev.weir.proxy.observe.Counter;
import dev.weir.proxy.outbound.BindAddress;
import dev.weir.proxy.upstream.Caller;
import io.netty.bootstrap.Bootstrap;
import io.netty.buffer.ByteBuf;
import io.netty.channel.Channel;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.ChannelOption;
import io.netty.channel.WriteBufferWaterMark;
import io.netty.channel.epoll.EpollSocketChannel;
import io.netty.channel.socket.SocketProtocolFamily;
import io.netty.handler.codec.http.HttpMethod;
import io.netty.handler.codec.http2.DefaultHttp2Headers;
import io.netty.handler.codec.http2.Http2Error;
import io.netty.handler.codec.http2.Http2Exception;
import io.netty.handler.codec.http2.Http2Headers;
import io.netty.handler.ssl.SslHandler;
import io.netty.handler.ssl.SslHandshakeCompletionEvent;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.UnknownHostException;
import java.security.cert.CertificateException;
import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import javax.net.ssl.SSLException;
import org.jspecify.annotations.Nullable;

/** A tunnel to another node, in the name of one service account. For its event loop's thread. */
final class TunnelClient {

  private static final int CONNECT_MILLIS = 5_000;

  /** How long a tunnel is kept that carries nothing. */
  private static final long IDLE_NANOS = TimeUnit.MINUTES.toNanos(5);

  /** How long the other node may take to connect to whom a connection is for. */
  private static final long ANSWER_NANOS = TimeUnit.SECONDS.toNanos(10);

  private final Worker worker;
  private final IdentityStore store;
  private final TunnelConnection.Room room;
  private final Hbone.Peer peer;
  private final Svid svid;
  private final String shown;
  private final String serverName;
  private final ArrayDeque<Opening> waiting = new ArrayDeque<>();
  private final Map<Integer, Asked> asked = new HashMap<>();
  private final Watch watch = new Watch();
  private Runnable ended = () -> {};
  private @Nullable Http2 http2;
  private @Nullable ProvenPeer proven;
  private boolean leaving;
  private boolean over;

  /**
   * A connection that is wanted.
   *
   * @param destination on the other node
   * @param caller whose it is
   * @param ready told when it stands
   * @param failed told when there will be none
   */
  record Opening(
      BindAddress destination,
      Caller caller,
      Consumer<Channel> ready,
      Consumer<Throwable> failed) {}

  private record Asked(Opening opening, long deadline) {}

  TunnelClient(
      Worker worker,
      IdentityStore store,
      TunnelConnection.Room room,
      Hbone.Peer peer,
      Svid svid,
      String shown,
      String serverName) {
    this.worker = worker;
    this.store = store;
    this.room = room;
    this.peer = peer;
    this.svid = svid;
    this.shown = shown;
    this.serverName = serverName;
  }

  /** Whom to tell when it is over. */
  void onEnd(Runnable told) {
    ended = told;
  }

  /** Whether it was made with this very certificate. */
  @SuppressWarnings("ReferenceEquality") // a renewed one is another object
  boolean shows(Svid other) {
    return svid == other;
  }

  /** Whether another connection may go by it. */
  boolean takesMore() {
    Http2 open = http2;
    return !leaving
        && !over
        && (open == null
            ? waiting.size() < TunnelConnection.MAX_STREAMS
            : open.streamCount() + asked.size() < TunnelConnection.MAX_STREAMS
                && open.handler().connection().local().canOpenStream());
  }

  void connect() {
    worker.loop().watch(watch);
    SslHandler tls;
    try {
      // The name is what it asks for; who is there is looked at when the handshake is over.
      tls =
          svid.client()
              .newHandler(io.netty.buffer.ByteBufAllocator.DEFAULT, serverName, peer.port());
    } catch (SSLException e) {
      end(e.getMessage() == null ? "TLS cannot begin" : e.getMessage());
      return;
    }
    tls.setHandshakeTimeoutMillis(CONNECT_MILLIS);
    new Bootstrap()
        .group(worker.loop().executor())
        .channelFactory(
            () ->
                new EpollSocketChannel(
                    peer.address().isV4() ? SocketProtocolFamily.INET : SocketProtocolFamily.INET6))
        .option(ChannelOption.TCP_NODELAY, true)
        .option(ChannelOption.SO_KEEPALIVE, true)
        .option(ChannelOption.CONNECT_TIMEOUT_MILLIS, CONNECT_MILLIS)
        .option(ChannelOption.WRITE_BUFFER_WATER_MARK, new WriteBufferWaterMark(32768, 131072))
        .handler(new Handshake(tls))
        .connect(address(peer))
        .addListener(
            connected -> {
              if (!connected.isSuccess()) {
                end(String.valueOf(connected.cause().getMessage()));
              }
            });
  }

  private static InetSocketAddress address(Hbone.Peer peer) {
    byte[] bytes = peer.address().bytes();
    try {
      return new InetSocketAddress(
          InetAddress.getByAddress(
              peer.address().isV4() ? Arrays.copyOfRange(bytes, 12, 16) : bytes),
          peer.port());
    } catch (UnknownHostException impossible) {
      throw new IllegalArgumentException("address: " + peer, impossible);
    }
  }

  /** Opens a connection, as soon as the tunnel stands. */
  void open(Opening opening) {
    Http2 open = http2;
    if (over) {
      opening.failed.accept(failure("it has just ended"));
    } else if (open == null) {
      waiting.add(opening);
    } else {
      open.ask(opening);
    }
  }

  /** Takes nothing new, and ends when it carries nothing any more. */
  void leave() {
    leaving = true;
    Http2 open = http2;
    if (open != null && open.streamCount() == 0 && asked.isEmpty()) {
      var _ = open.channel().close();
    }
  }

  private TunnelFailed failure(String why) {
    return new TunnelFailed(text(why));
  }

  private String text(String why) {
    return "tunnel to " + peer.name() + " as " + svid.principal() + ": " + why;
  }

  /** It does not stand, or does not any more. */
  private void end(String why) {
    if (over) {
      return;
    }
    over = true;
    worker.loop().unwatch(watch);
    ended.run();
    if (http2 == null) {
      worker.metrics().count(Counter.TUNNEL_FAILED);
      worker.log().refused(text(why));
    }
    while (!waiting.isEmpty()) {
      waiting.poll().failed.accept(failure(why));
    }
    for (Asked open : Map.copyOf(asked).values()) {
      open.opening.failed.accept(failure(why));
    }
    asked.clear();
  }

  private final class Watch extends Loop.Watched {
    @Override
    protected Optional<Open> open() {
      return Optional.of(new Open(Open.Kind.TUNNEL_OUT, peer.name(), svid.principal()));
    }

    @Override
    protected void check(long nowNanos) {
      Http2 open = http2;
      if (open == null) {
        return;
      }
      asked.entrySet().stream()
          .filter(e -> nowNanos - e.getValue().deadline >= 0)
          .map(Map.Entry::getKey)
          .toList()
          .forEach(id -> open.giveUp(id, "no answer in 10 s"));
      if (worker.current().get().hbone().isEmpty()) {
        var _ = open.channel().close();
      } else if (store.svid(svid.principal()).filter(TunnelClient.this::shows).isEmpty()) {
        leave();
      } else if (doubted()) {
        leave();
      } else if (asked.isEmpty() && nowNanos - open.emptySince() > IDLE_NANOS) {
        leave();
      }
    }
  }

  /** Whether a handshake would not succeed now, which is told. What stands goes on. */
  private boolean doubted() {
    ProvenPeer found = proven;
    Optional<String> doubt = found == null || leaving ? Optional.empty() : found.doubt();
    doubt.ifPresent(why -> worker.log().refused(text("takes nothing new: " + why)));
    return doubt.isPresent();
  }

  /** Before HTTP/2: finds out who is there. */
  private final class Handshake extends ChannelInboundHandlerAdapter {
    private final SslHandler tls;
    private boolean failed;

    Handshake(SslHandler tls) {
      this.tls = tls;
    }

    @Override
    public void handlerAdded(ChannelHandlerContext ctx) {
      ctx.pipeline().addFirst(tls);
    }

    @Override
    public void userEventTriggered(ChannelHandlerContext ctx, Object event) throws Exception {
      if (!(event instanceof SslHandshakeCompletionEvent handshake)) {
        super.userEventTriggered(ctx, event);
      } else if (handshake.isSuccess()) {
        established(ctx);
      } else {
        fail(ctx, TunnelServer.root(handshake.cause()));
      }
    }

    private void established(ChannelHandlerContext ctx) {
      try {
        if (!"h2".equals(tls.applicationProtocol())) {
          throw new CertificateException("it does not speak HTTP/2 (ALPN h2)");
        }
        ProvenPeer found = ProvenPeer.of(tls.engine().getSession(), store);
        String proved = IdentityStore.principal(found.leaf());
        if (!proved.equals(shown)) {
          throw new CertificateException("it is " + proved + ", and ought to be " + shown);
        }
        proven = found;
      } catch (CertificateException | SSLException e) {
        fail(ctx, String.valueOf(e.getMessage()));
        return;
      }
      worker.metrics().count(Counter.TUNNEL_OPENED);
      Http2 open = new Http2(ctx.channel());
      http2 = open;
      open.install();
      ctx.pipeline().remove(this);
      while (!waiting.isEmpty()) {
        open.ask(waiting.poll());
      }
      open.flush();
    }

    private void fail(ChannelHandlerContext ctx, String why) {
      if (!failed) {
        failed = true;
        end(why);
      }
      var _ = ctx.close();
    }

    @Override
    public void channelInactive(ChannelHandlerContext ctx) {
      fail(ctx, "it was closed in the handshake");
    }

    @Override
    public void exceptionCaught(ChannelHandlerContext ctx, Throwable cause) {
      fail(ctx, TunnelServer.root(cause));
    }
  }

  private final class Http2 extends TunnelConnection {
    Http2(Channel channel) {
      super(channel, worker.loop(), room, false);
    }

    @Override
    boolean leaving() {
      return leaving;
    }

    void ask(Opening opening) {
      int id = handler().connection().local().incrementAndGetNextStreamId();
      if (id < 0 || !handler().connection().local().canOpenStream()) {
        // It has carried all that it may, at once or ever.
        leaving |= id < 0;
        opening.failed.accept(failure("it takes no more connections"));
        return;
      }
      Http2Headers headers =
          new DefaultHttp2Headers(false)
              .method(HttpMethod.CONNECT.asciiName())
              .authority(opening.destination.toString());
      opening
          .caller
          .address()
          .ifPresent(a -> headers.add("forwarded", a.isV4() ? "for=" + a : "for=\"[" + a + "]\""));
      if (!opening.caller.baggage().isEmpty()) {
        headers.add("baggage", opening.caller.baggage());
      }
      asked.put(id, new Asked(opening, worker.loop().coarseNanos() + ANSWER_NANOS));
      handler()
          .encoder()
          .writeHeaders(context(), id, headers, 0, false, channel().newPromise())
          .addListener(
              written -> {
                if (!written.isSuccess()) {
                  refused(id, String.valueOf(written.cause().getMessage()));
                }
              });
      flush();
    }

    private void refused(int id, String why) {
      Asked found = asked.remove(id);
      if (found != null) {
        found.opening.failed.accept(failure(why));
        becameEmpty();
      }
    }

    void giveUp(int id, String why) {
      refused(id, why);
      reset(id, Http2Error.CANCEL);
    }

    @Override
    public void onHeadersRead(
        ChannelHandlerContext ctx, int streamId, Http2Headers headers, int padding, boolean end)
        throws Http2Exception {
      TunnelStream known = stream(streamId);
      Asked found = asked.get(streamId);
      if (known != null) {
        if (!end) {
          throw Http2Exception.streamError(
              streamId, Http2Error.PROTOCOL_ERROR, "headers in the middle of a connection");
        }
        known.receiveEnd();
      } else if (found != null) {
        CharSequence status = headers.status();
        if (status == null || status.length() != 3 || status.charAt(0) == '1') {
          return; // Interim: the answer follows.
        }
        if (status.charAt(0) == '2') {
          asked.remove(streamId);
          stands(streamId, found.opening, end);
        } else {
          giveUp(streamId, found.opening.destination + " was refused there: " + status);
        }
      }
    }

    private void stands(int id, Opening opening, boolean end) {
      TunnelStream stream = new TunnelStream(this, id, true);
      add(stream);
      worker.metrics().count(Counter.TUNNEL_STREAM_OUT);
      var _ = channel().eventLoop().register(stream);
      opening.ready.accept(stream);
      if (end) {
        stream.receiveEnd();
      }
    }

    @Override
    public void onRstStreamRead(ChannelHandlerContext ctx, int streamId, long errorCode) {
      refused(streamId, "reset there (" + Http2Error.valueOf(errorCode) + ")");
      super.onRstStreamRead(ctx, streamId, errorCode);
    }

    @Override
    public void onGoAwayRead(
        ChannelHandlerContext ctx, int lastStreamId, long errorCode, ByteBuf debugData) {
      leaving = true;
      Map.copyOf(asked).keySet().stream()
          .filter(id -> id > lastStreamId)
          .forEach(id -> refused(id, "it is going away"));
      becameEmpty();
    }

    @Override
    void becameEmpty() {
      if (leaving && streamCount() == 0 && asked.isEmpty()) {
        var _ = channel().close();
      }
    }

    @Override
    void gone() {
      end("it has ended");
    }

    @Override
    void overwhelmed(TunnelStream stream) {
      worker.metrics().count(Counter.TUNNEL_OVERWHELMED);
      worker.log().refused("a connection of " + svid.principal() + " was cut off: it is not read");
    }
  }
}
