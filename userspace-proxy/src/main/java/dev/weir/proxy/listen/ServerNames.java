// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.listen;

import dev.weir.policy.plan.ProxyPlan.ListenerProtocol;
import dev.weir.proxy.http.Origin;
import dev.weir.proxy.http.ServerConnection;
import dev.weir.proxy.http.Worker;
import dev.weir.proxy.loop.Loop;
import dev.weir.proxy.loop.Open;
import dev.weir.proxy.observe.Counter;
import dev.weir.proxy.outbound.BindAddress;
import dev.weir.proxy.outbound.Entrance;
import dev.weir.proxy.outbound.Gateway;
import dev.weir.proxy.outbound.Generation;
import dev.weir.proxy.tcp.Alerts;
import dev.weir.proxy.tcp.Relay;
import dev.weir.proxy.tls.Certificates;
import dev.weir.proxy.tls.ClientCertificates;
import dev.weir.proxy.tls.ShownCertificate;
import io.netty.buffer.ByteBuf;
import io.netty.channel.Channel;
import io.netty.channel.ChannelFutureListener;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.socket.ChannelInputShutdownEvent;
import io.netty.handler.ssl.AbstractSniHandler;
import io.netty.handler.ssl.SniCompletionEvent;
import io.netty.handler.ssl.SslHandler;
import io.netty.handler.ssl.SslHandshakeCompletionEvent;
import io.netty.handler.ssl.SslHandshakeTimeoutException;
import io.netty.util.ReferenceCountUtil;
import io.netty.util.concurrent.Future;
import java.security.cert.CertificateException;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * Reads the server name of a ClientHello and leads the connection on by it: to requests within TLS
 * that ends here, to a backend within such TLS, or to a backend as it is. At most 64 KB are read
 * for that, and no longer than 10 s.
 */
final class ServerNames extends AbstractSniHandler<Entrance> {

  private static final int MAX_CLIENT_HELLO = 64 * 1024 - 1;

  /** RFC 8446 5.1, ContentType. */
  private static final int HANDSHAKE = 22;

  private static final int MAX_CAUSES = 16;

  private static final long HANDSHAKE_MILLIS = TimeUnit.SECONDS.toMillis(10);

  private final Worker worker;
  private final Origin origin;
  private final Waiting waiting;
  private boolean tls;
  private boolean done;

  private ServerNames(Worker worker, Origin origin, Waiting waiting) {
    super(MAX_CLIENT_HELLO, HANDSHAKE_MILLIS);
    this.worker = worker;
    this.origin = origin;
    this.waiting = waiting;
  }

  /** Puts it into a new connection's pipeline. */
  static void install(Worker worker, Origin origin, Channel channel) {
    Waiting waiting = new Waiting(worker, origin);
    channel.pipeline().addLast(new ServerNames(worker, origin, waiting), waiting);
  }

  /**
   * A hello without extensions, or one that is odd, has no name; what is no handshake is no TLS.
   */
  @Override
  protected void decode(ChannelHandlerContext ctx, ByteBuf in, List<Object> out) throws Exception {
    tls = in.isReadable() && in.getUnsignedByte(in.readerIndex()) == HANDSHAKE;
    super.decode(ctx, in, out);
  }

  @Override
  protected Future<Entrance> lookup(ChannelHandlerContext ctx, @Nullable String hostname) {
    Generation now = worker.current().get();
    Optional<Entrance> door =
        switch (origin) {
          case Origin.Workload workload -> now.service(workload.destination(), workload.source());
          case Origin.Tunnel tunnel -> Optional.empty(); // Its own end of TLS came before.
          case Origin.Gateway gateway ->
              now.gateway(gateway.bind()).filter(Gateway::tls).flatMap(g -> g.door(name(hostname)));
        };
    return door.isPresent()
        ? ctx.executor().newSucceededFuture(door.get())
        : ctx.executor().newFailedFuture(new IllegalArgumentException("nobody has this name"));
  }

  private static String name(@Nullable String hostname) {
    return hostname == null ? "" : hostname.toLowerCase(Locale.ROOT);
  }

  @Override
  protected void onLookupComplete(
      ChannelHandlerContext ctx, @Nullable String hostname, Future<Entrance> found) {
    if (done) {
      return; // What was read lies here until the channel is closed, and is looked at again then.
    }
    done = true;
    Channel channel = ctx.channel();
    String serverName = name(hostname);
    if (!tls) {
      waiting.failed(ctx);
      return;
    }
    if (!found.isSuccess()) {
      worker.metrics().count(Counter.NO_ROUTE);
      var _ =
          channel.writeAndFlush(Alerts.unrecognizedName()).addListener(ChannelFutureListener.CLOSE);
      return;
    }
    channel.pipeline().remove(waiting);
    ListenerProtocol protocol = found.getNow().protocol();
    switch (protocol) {
      case HTTP, HTTPS -> {
        ServerConnection.install(worker, origin, worker.current().get(), channel.pipeline());
        terminate(ctx, serverName);
      }
      case TLS_TERMINATE -> {
        channel.pipeline().addLast(new Relay(worker, origin, channel, protocol, serverName));
        terminate(ctx, serverName);
      }
      case TLS_PASSTHROUGH, TCP -> {
        Relay relay = new Relay(worker, origin, channel, protocol, serverName);
        channel.pipeline().addLast(relay);
        relay.begin();
        // What was read goes on to the relay, which keeps it until there is a backend.
        channel.pipeline().remove(this);
      }
    }
  }

  private void terminate(ChannelHandlerContext ctx, String serverName) {
    BindAddress bind =
        switch (origin) {
          case Origin.Gateway gateway -> gateway.bind();
          case Origin.Workload workload -> workload.destination();
          case Origin.Tunnel tunnel -> tunnel.destination();
        };
    Certificates certificates =
        worker
            .current()
            .get()
            .gateway(bind)
            .flatMap(gateway -> gateway.certificate(serverName))
            .orElseThrow(() -> new IllegalStateException("a listener without a certificate"));
    SslHandler handler = certificates.context().newHandler(ctx.alloc());
    certificates.clients().ifPresent(asked -> expect(ctx.channel(), handler, asked));
    boolean placed = false;
    try {
      ctx.pipeline().replace(this, "tls", handler);
      placed = true;
    } finally {
      if (!placed) {
        ReferenceCountUtil.safeRelease(handler.engine());
      }
    }
  }

  private void expect(Channel channel, SslHandler handler, ClientCertificates asked) {
    ShownCertificate.expect(channel, handler.engine(), asked);
    var _ =
        handler
            .handshakeFuture()
            .addListener(
                handshake -> {
                  if (!handshake.isSuccess()) {
                    refusal(handshake.cause())
                        .ifPresent(
                            why -> {
                              worker.metrics().count(Counter.CLIENT_CERTIFICATE_REFUSED);
                              worker
                                  .log()
                                  .refused(
                                      "client "
                                          + channel.remoteAddress()
                                          + " turned away in the handshake: "
                                          + why);
                            });
                  }
                });
  }

  /** Why a client's certificate is not good enough; empty when it failed for something else. */
  private static Optional<String> refusal(Throwable failure) {
    Throwable cause = failure;
    for (int i = 0; i < MAX_CAUSES && cause != null; i++) {
      if (cause instanceof CertificateException) {
        return Optional.of(String.valueOf(cause.getMessage()));
      }
      String message = String.valueOf(cause.getMessage());
      // BoringSSL's words, and the JDK's.
      if (message.contains("PEER_DID_NOT_RETURN_A_CERTIFICATE")
          || message.contains("Empty client certificate chain")) {
        return Optional.of("it showed no certificate");
      }
      cause = cause.getCause();
    }
    return Optional.empty();
  }

  /** Stands behind until the name is there: it sees handshakes that fail before they begin. */
  private static final class Waiting extends ChannelInboundHandlerAdapter {
    private final Worker worker;
    private final Origin origin;
    private final Watch watch = new Watch();
    private @Nullable Channel channel;
    private boolean failed;

    Waiting(Worker worker, Origin origin) {
      this.worker = worker;
      this.origin = origin;
    }

    private final class Watch extends Loop.Watched {
      @Override
      protected void check(long nowNanos) {
        Channel open = channel;
        if (open != null && worker.draining().get()) {
          var _ = open.close();
        }
      }

      @Override
      protected Optional<Open> open() {
        return Optional.of(Open.client(origin.listener(), "tls handshake"));
      }
    }

    void failed(ChannelHandlerContext ctx) {
      if (!failed) {
        failed = true;
        worker.metrics().count(Counter.TLS_FAILED);
      }
      var _ = ctx.close();
    }

    @Override
    public void handlerAdded(ChannelHandlerContext ctx) {
      channel = ctx.channel();
      worker.loop().watch(watch);
    }

    @Override
    public void handlerRemoved(ChannelHandlerContext ctx) {
      worker.loop().unwatch(watch);
    }

    @Override
    public void channelRead(ChannelHandlerContext ctx, Object message) {
      ReferenceCountUtil.release(message);
    }

    @Override
    public void channelInactive(ChannelHandlerContext ctx) {
      worker.loop().unwatch(watch);
    }

    @Override
    public void userEventTriggered(ChannelHandlerContext ctx, Object event) {
      if (event instanceof SslHandshakeCompletionEvent handshake && !handshake.isSuccess()
          || event instanceof SniCompletionEvent name
              && name.cause() instanceof SslHandshakeTimeoutException) {
        failed(ctx);
      } else if (event instanceof ChannelInputShutdownEvent) {
        var _ = ctx.close();
      }
    }

    @Override
    public void exceptionCaught(ChannelHandlerContext ctx, Throwable cause) {
      failed(ctx);
    }
  }
}
