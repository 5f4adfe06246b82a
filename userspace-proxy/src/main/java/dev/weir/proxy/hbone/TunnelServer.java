// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.hbone;

import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Hbone;
import dev.weir.policy.plan.ProxyPlan.ListenerProtocol;
import dev.weir.proxy.http.Origin;
import dev.weir.proxy.http.ServerConnection;
import dev.weir.proxy.http.Worker;
import dev.weir.proxy.identity.IdentityStore;
import dev.weir.proxy.identity.Svid;
import dev.weir.proxy.loop.Loop;
import dev.weir.proxy.loop.Open;
import dev.weir.proxy.observe.Counter;
import dev.weir.proxy.outbound.BindAddress;
import dev.weir.proxy.outbound.Entrance;
import dev.weir.proxy.outbound.Generation;
import dev.weir.proxy.outbound.Inbound;
import dev.weir.proxy.outbound.Source;
import dev.weir.proxy.tcp.Relay;
import dev.weir.proxy.tls.ForwardedCertificate;
import dev.weir.proxy.upstream.Baggage;
import io.netty.channel.Channel;
import io.netty.channel.ChannelFuture;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.handler.codec.http2.Http2Error;
import io.netty.handler.codec.http2.Http2Exception;
import io.netty.handler.codec.http2.Http2Headers;
import io.netty.handler.ssl.SniHandler;
import io.netty.handler.ssl.SslContext;
import io.netty.handler.ssl.SslHandler;
import io.netty.handler.ssl.SslHandshakeCompletionEvent;
import io.netty.util.AsciiString;
import io.netty.util.Mapping;
import io.netty.util.ReferenceCountUtil;
import java.net.InetSocketAddress;
import java.security.cert.Certificate;
import java.security.cert.CertificateException;
import java.security.cert.X509Certificate;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import javax.net.ssl.SSLException;
import javax.net.ssl.SSLSession;
import org.jspecify.annotations.Nullable;

/**
 * The end of a tunnel that another node has made: each stream is a connection of the workload whose
 * certificate was shown, and meets the verdicts and policies that it would have met here.
 */
public final class TunnelServer extends TunnelConnection {

  private static final int MAX_CLIENT_HELLO = 64 * 1024 - 1;
  private static final long HANDSHAKE_MILLIS = TimeUnit.SECONDS.toMillis(10);

  /** How long a tunnel is kept that carries nothing; longer than its maker keeps it. */
  private static final long IDLE_NANOS = TimeUnit.MINUTES.toNanos(10);

  /** Connections of an event loop, as at every other entrance. */
  private static final int MAX_CONNECTIONS = 10_000;

  private final Worker worker;
  private final IdentityStore store;
  private final String principal;
  private final AsciiString certificate;
  private final ProvenPeer proven;
  private final Watch watch = new Watch();
  private @Nullable Generation judged;
  private boolean leaving;

  private TunnelServer(
      Worker worker,
      IdentityStore store,
      Room room,
      Channel channel,
      String principal,
      AsciiString certificate,
      ProvenPeer proven) {
    super(channel, worker.loop(), room, true);
    this.worker = worker;
    this.store = store;
    this.principal = principal;
    this.certificate = certificate;
    this.proven = proven;
  }

  /**
   * Begins the handshake on a connection that was just accepted.
   *
   * @param room of the event loop
   */
  public static void install(Worker worker, IdentityStore store, Room room, Channel channel) {
    channel
        .pipeline()
        .addLast(
            new SniHandler(
                (Mapping<String, SslContext>) name -> shown(worker, store, name),
                MAX_CLIENT_HELLO,
                HANDSHAKE_MILLIS),
            new Handshake(worker, store, room));
  }

  /** The certificate for a server name: the node's, else that of the account it names. */
  private static SslContext shown(Worker worker, IdentityStore store, @Nullable String name) {
    Generation now = worker.current().get();
    Hbone hbone = now.hbone().orElseThrow(() -> new IllegalStateException("no tunnels any more"));
    String account = hbone.account().isEmpty() ? ServerName.account(name) : hbone.account();
    if (account.isEmpty()) {
      throw new IllegalArgumentException(
          "the server name names no account, and Mesh.spec.hbone.serviceAccount none either");
    }
    String wanted = now.principal(account);
    Svid svid =
        store
            .svid(wanted)
            .orElseThrow(
                () ->
                    new IllegalArgumentException(
                        "there is no certificate of " + wanted + "; weir ca issue makes it"));
    try {
      svid.requireInTime(store.now());
      return svid.server();
    } catch (CertificateException | SSLException e) {
      throw new IllegalArgumentException(e.getMessage(), e);
    }
  }

  /** Waits for the handshake, and finds out who it was with. */
  private static final class Handshake extends ChannelInboundHandlerAdapter {
    private final Worker worker;
    private final IdentityStore store;
    private final Room room;
    private boolean over;

    Handshake(Worker worker, IdentityStore store, Room room) {
      this.worker = worker;
      this.store = store;
      this.room = room;
    }

    @Override
    public void channelRead(ChannelHandlerContext ctx, Object message) {
      ReferenceCountUtil.release(message);
    }

    @Override
    public void userEventTriggered(ChannelHandlerContext ctx, Object event) throws Exception {
      if (!(event instanceof SslHandshakeCompletionEvent handshake) || over) {
        super.userEventTriggered(ctx, event);
      } else if (handshake.isSuccess()) {
        established(ctx);
      } else {
        refuse(ctx, handshake.cause());
      }
    }

    private void established(ChannelHandlerContext ctx) {
      SslHandler tls = ctx.pipeline().get(SslHandler.class);
      try {
        if (!"h2".equals(tls.applicationProtocol())) {
          throw new CertificateException("it does not speak HTTP/2 (ALPN h2)");
        }
        ProvenPeer proven = ProvenPeer.of(tls.engine().getSession(), store);
        X509Certificate leaf = proven.leaf();
        over = true;
        worker.metrics().count(Counter.TUNNEL_ACCEPTED);
        TunnelServer tunnel =
            new TunnelServer(
                worker,
                store,
                room,
                ctx.channel(),
                IdentityStore.principal(leaf),
                AsciiString.of(ForwardedCertificate.value(by(tls.engine().getSession()), leaf)),
                proven);
        worker.loop().watch(tunnel.watch);
        tunnel.install();
        ctx.pipeline().remove(this);
      } catch (CertificateException | SSLException e) {
        refuse(ctx, e);
      }
    }

    /** Whom the peer found here. */
    private static Optional<String> by(SSLSession session) throws CertificateException {
      Certificate[] own = session.getLocalCertificates();
      return own != null && own.length > 0 && own[0] instanceof X509Certificate leaf
          ? Optional.of("spiffe://" + IdentityStore.principal(leaf))
          : Optional.empty();
    }

    private void refuse(ChannelHandlerContext ctx, Throwable cause) {
      if (!over) {
        over = true;
        worker.metrics().count(Counter.TUNNEL_REFUSED);
        worker
            .log()
            .refused("tunnel of " + ctx.channel().remoteAddress() + " refused: " + root(cause));
      }
      var _ = ctx.close();
    }

    @Override
    public void channelInactive(ChannelHandlerContext ctx) {
      if (!over) {
        refuse(ctx, new SSLException("it went away in the handshake"));
      }
    }

    @Override
    public void exceptionCaught(ChannelHandlerContext ctx, Throwable cause) {
      refuse(ctx, cause);
    }
  }

  /** What engines say of a certificate is "general problem"; the reason is the last cause. */
  static String root(Throwable cause) {
    Throwable last = cause;
    for (int i = 0; i < 16 && last.getCause() != null; i++) {
      last = last.getCause();
    }
    return String.valueOf(last.getMessage());
  }

  private final class Watch extends Loop.Watched {
    @Override
    protected void check(long nowNanos) {
      look(nowNanos);
    }

    @Override
    protected Optional<Open> open() {
      return Optional.of(new Open(Open.Kind.TUNNEL_IN, peer().toString(), principal));
    }
  }

  private void look(long nanos) {
    Generation now = worker.current().get();
    if (now != judged) {
      judged = now;
      if (now.hbone().isEmpty()) {
        var _ = channel().close();
        return;
      }
    }
    if (!leaving) {
      String why = worker.draining().get() ? "draining" : notBelieved();
      if (!why.isEmpty()) {
        leaving = true;
        goAway(why);
      }
    }
    if (streamCount() == 0 && (leaving || nanos - emptySince() > IDLE_NANOS)) {
      var _ = channel().close();
    }
  }

  /** Why a handshake would not succeed now; empty when it would. What stands goes on. */
  private String notBelieved() {
    if (store.now().isAfter(proven.leaf().getNotAfter().toInstant())) {
      return "the certificate has ended";
    }
    Optional<String> doubt = proven.doubt();
    doubt.ifPresent(
        why -> worker.log().refused("tunnel of " + principal + " takes nothing new: " + why));
    return doubt.isPresent() ? "the certificate is not believed any more" : "";
  }

  @Override
  boolean leaving() {
    return leaving;
  }

  @Override
  void becameEmpty() {
    if (leaving) {
      var _ = channel().close();
    }
  }

  @Override
  void gone() {
    worker.loop().unwatch(watch);
  }

  @Override
  void overwhelmed(TunnelStream stream) {
    worker.metrics().count(Counter.TUNNEL_OVERWHELMED);
    worker.log().refused("a connection of " + principal + " was cut off: it is not read");
  }

  // ---- streams

  @Override
  public void onHeadersRead(
      ChannelHandlerContext ctx, int streamId, Http2Headers headers, int padding, boolean end)
      throws Http2Exception {
    TunnelStream known = stream(streamId);
    if (known == null) {
      if (handler().connection().stream(streamId) != null) {
        open(streamId, headers, end);
      }
    } else if (end) {
      known.receiveEnd(); // Trailers: nothing is in them for anybody.
    } else {
      throw Http2Exception.streamError(
          streamId, Http2Error.PROTOCOL_ERROR, "headers in the middle of a connection");
    }
  }

  private void open(int id, Http2Headers headers, boolean end) {
    TunnelStream stream = new TunnelStream(this, id, false);
    add(stream);
    worker.metrics().count(Counter.TUNNEL_STREAM);
    ChannelFuture registering = channel().eventLoop().register(stream);
    if (!registering.isSuccess()) {
      throw new IllegalStateException("a stream of this very event loop", registering.cause());
    }
    switch (TunnelRequest.read(headers)) {
      case TunnelRequest.Bad(TunnelRequest.Refused refused) ->
          refuse(stream, Counter.TUNNEL_MALFORMED, refused.status(), refused.why());
      case TunnelRequest.Good(TunnelRequest request) -> lead(stream, request);
    }
    if (end) {
      stream.receiveEnd();
    }
  }

  private void refuse(TunnelStream stream, Counter counter, int status, String why) {
    worker.metrics().count(counter);
    worker.log().refused("tunnel of " + principal + ": " + status + ": " + why);
    stream.refuse(status);
    var _ = stream.close();
  }

  private void lead(TunnelStream stream, TunnelRequest request) {
    Generation now = worker.current().get();
    if (leaving || worker.draining().get() || worker.loop().watchedCount() >= MAX_CONNECTIONS) {
      refuse(stream, Counter.TUNNEL_FULL, 503, "no connections are taken at the moment");
      return;
    }
    List<Integer> sources = now.elsewhere(principal, request.forwardedFor());
    Optional<Source> source = oneOf(sources, now);
    if (source.isEmpty()) {
      refuse(stream, Counter.TUNNEL_UNKNOWN, 403, unknown(sources, request));
      return;
    }
    BindAddress destination = destination(request.destination(), now);
    Optional<Inbound> inbound = now.inbound(destination);
    if (inbound.isEmpty()) {
      refuse(
          stream,
          Counter.TUNNEL_UNPLANNED,
          404,
          "nobody on this node has " + request.destination());
      return;
    }
    Origin origin =
        new Origin.Tunnel(
            source.get().address().orElseGet(this::peer),
            destination,
            sources.getFirst(),
            told(sources, request, now),
            principal,
            certificate);
    Entrance entrance = inbound.get().entrance(source.get());
    if (entrance.requests()) {
      ServerConnection.install(worker, origin, now, stream.pipeline());
      stream.accept();
    } else {
      Relay relay = new Relay(worker, origin, stream, ListenerProtocol.TCP, "");
      stream.pipeline().addLast(relay);
      relay.begin();
    }
  }

  /** Who it is, if no policy tells those apart who it may be. */
  private static Optional<Source> oneOf(List<Integer> numbers, Generation now) {
    List<Source> all = numbers.stream().map(now::source).flatMap(Optional::stream).toList();
    return !all.isEmpty() && all.stream().allMatch(s -> s.sharesIdentity(all.getFirst()))
        ? Optional.of(all.getFirst())
        : Optional.empty();
  }

  /**
   * The one of several that nothing that decides tells apart, by what its node says of it. Whatever
   * it says, it is one of those with the principal that was proved.
   */
  private static int told(List<Integer> numbers, TunnelRequest request, Generation now) {
    Optional<Baggage> baggage = numbers.size() > 1 ? request.baggage() : Optional.empty();
    if (baggage.isPresent()) {
      for (int number : numbers) {
        Optional<Source> one = now.source(number);
        if (one.isPresent()
            && one.get().peer().workload().equals(baggage.get().workload())
            && one.get().peer().namespace().equals(baggage.get().namespace())) {
          return number;
        }
      }
    }
    return numbers.getFirst();
  }

  private static String unknown(List<Integer> sources, TunnelRequest request) {
    if (sources.size() > 1) {
      return sources.size()
          + " workloads elsewhere have this service account, and policies tell them apart: whoever"
          + " makes the tunnel must say which one it is (forwarded: for=ADDRESS)";
    }
    return "no workload elsewhere has this service account"
        + request.forwardedFor().map(a -> " and the address " + a).orElse("");
  }

  /** Whoever lives here without an address of his own has those of the node. */
  private BindAddress destination(BindAddress asked, Generation now) {
    return now.inbound(asked).isEmpty()
            && channel().localAddress() instanceof InetSocketAddress local
            && asked.address().equals(Optional.of(Address.of(local.getAddress().getAddress())))
        ? new BindAddress(Optional.empty(), asked.port())
        : asked;
  }

  private Address peer() {
    return channel().remoteAddress() instanceof InetSocketAddress remote
        ? Address.of(remote.getAddress().getAddress())
        : Address.LOOPBACK4;
  }
}
