// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.upstream;

import dev.weir.proxy.tls.Origination;
import io.netty.channel.Channel;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.handler.ssl.ApplicationProtocolNames;
import io.netty.handler.ssl.SslCloseCompletionEvent;
import io.netty.handler.ssl.SslHandler;
import io.netty.handler.ssl.SslHandshakeCompletionEvent;
import java.security.cert.CertificateException;
import java.util.function.Consumer;

/**
 * What TLS adds to a connection to a backend: it is there when the handshake is done and its end is
 * an end only when the backend said so (RFC 8446 6.1); else what came may be cut short.
 */
final class TlsGuard extends ChannelInboundHandlerAdapter {

  private final Origination tls;
  private final SslHandler handler;
  private final Endpoint.Version version;
  private final Consumer<Channel> ready;
  private final Consumer<Throwable> failed;
  private State state = State.SHAKING_HANDS;

  private enum State {
    SHAKING_HANDS,
    OPEN,
    ENDED,
    FAILED
  }

  TlsGuard(
      Origination tls,
      SslHandler handler,
      Endpoint.Version version,
      Consumer<Channel> ready,
      Consumer<Throwable> failed) {
    this.tls = tls;
    this.handler = handler;
    this.version = version;
    this.ready = ready;
    this.failed = failed;
  }

  @Override
  public void userEventTriggered(ChannelHandlerContext ctx, Object event) throws Exception {
    switch (event) {
      case SslHandshakeCompletionEvent handshake -> {
        if (!handshake.isSuccess()) {
          fail(ctx, handshake.cause());
        } else if (state == State.SHAKING_HANDS) {
          established(ctx);
        }
      }
      case SslCloseCompletionEvent close -> {
        if (close.isSuccess() && state == State.OPEN) {
          state = State.ENDED;
          var _ = ctx.close();
        }
      }
      default -> super.userEventTriggered(ctx, event);
    }
  }

  private void established(ChannelHandlerContext ctx) {
    try {
      tls.recheck(handler.engine().getSession());
    } catch (CertificateException e) {
      handler.engine().getSession().invalidate();
      fail(ctx, e);
      return;
    }
    if (version == Endpoint.Version.HTTP_2
        && !ApplicationProtocolNames.HTTP_2.equals(handler.applicationProtocol())) {
      fail(ctx, new CertificateException("the backend does not speak HTTP/2 (ALPN)"));
      return;
    }
    state = State.OPEN;
    ready.accept(ctx.channel());
  }

  private void fail(ChannelHandlerContext ctx, Throwable cause) {
    if (state == State.SHAKING_HANDS) {
      state = State.FAILED;
      failed.accept(new Endpoint.TlsFailed(cause));
    }
    var _ = ctx.close();
  }

  @Override
  public void channelInactive(ChannelHandlerContext ctx) throws Exception {
    if (state == State.SHAKING_HANDS) {
      fail(ctx, new CertificateException("the backend closed the connection in the handshake"));
    } else if (state == State.OPEN) {
      ctx.fireExceptionCaught(new Endpoint.TlsFailed("the backend ended TLS without saying so"));
    }
    super.channelInactive(ctx);
  }

  @Override
  public void exceptionCaught(ChannelHandlerContext ctx, Throwable cause) throws Exception {
    if (state == State.SHAKING_HANDS || state == State.FAILED) {
      fail(ctx, cause);
    } else {
      super.exceptionCaught(ctx, cause);
    }
  }
}
