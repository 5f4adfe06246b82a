// SPDX-License-Identifier: Apache-2.0
package dev.weir.perf.proxy;

import io.netty.bootstrap.Bootstrap;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.Channel;
import io.netty.channel.ChannelFutureListener;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.epoll.EpollIoHandler;
import io.netty.channel.epoll.EpollSocketChannel;
import io.netty.handler.ssl.SslContext;
import io.netty.handler.ssl.SslContextBuilder;
import io.netty.handler.ssl.SslHandshakeCompletionEvent;
import io.netty.handler.ssl.SslProvider;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.security.cert.X509Certificate;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.X509ExtendedTrustManager;

/**
 * A load generator of new connections: on each a full handshake of TLS 1.3, one request, and the
 * end. {@code HandshakeLoad CONNECTIONS [CERTIFICATE KEY]} reads {@code PORT SECONDS} from its
 * input, line by line, and answers each with {@code ok HANDSHAKES} or {@code error WHY}. It stays
 * one process, so that its own warming up is nobody's.
 */
public final class HandshakeLoad {

  private static final byte[] REQUEST =
      "GET /item HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
          .getBytes(StandardCharsets.US_ASCII);
  private static final String GOOD = "HTTP/1.1 200";

  private final EventLoopGroup group;
  private final Bootstrap bootstrap;
  private final int connections;

  /** How often a server's certificate was looked at: once for each handshake that is a full one. */
  private final AtomicInteger full;

  private HandshakeLoad(
      EventLoopGroup group, Bootstrap bootstrap, int connections, AtomicInteger full) {
    this.group = group;
    this.bootstrap = bootstrap;
    this.connections = connections;
    this.full = full;
  }

  /** Runs it. */
  public static void main(String[] arguments) throws IOException {
    AtomicInteger full = new AtomicInteger();
    SslContextBuilder builder =
        SslContextBuilder.forClient()
            .sslProvider(SslProvider.OPENSSL_REFCNT)
            .protocols("TLSv1.3")
            .endpointIdentificationAlgorithm("")
            .trustManager(new Everybody(full));
    if (arguments.length == 3) {
      builder.keyManager(Path.of(arguments[1]).toFile(), Path.of(arguments[2]).toFile());
    }
    SslContext tls = builder.build();
    EventLoopGroup group = new MultiThreadIoEventLoopGroup(1, EpollIoHandler.newFactory());
    Bootstrap bootstrap =
        new Bootstrap()
            .group(group)
            .channel(EpollSocketChannel.class)
            .handler(
                new ChannelInitializer<Channel>() {
                  @Override
                  protected void initChannel(Channel channel) {
                    // Without the server's name and port, nothing is kept to be resumed.
                    channel.pipeline().addLast("tls", tls.newHandler(channel.alloc()));
                  }
                });
    HandshakeLoad load = new HandshakeLoad(group, bootstrap, Integer.parseInt(arguments[0]), full);
    try (BufferedReader lines =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII))) {
      for (String line = lines.readLine(); line != null; line = lines.readLine()) {
        String[] words = line.split(" ", -1);
        System.out.println(load.run(Integer.parseInt(words[0]), Integer.parseInt(words[1])));
        System.out.flush();
      }
    }
    var _ = group.shutdownGracefully();
  }

  /** What has come of one line of input. Written by the event loop, read when all have ended. */
  private static final class Run {
    private final InetSocketAddress to;
    private final long until;
    private final CompletableFuture<String> ended = new CompletableFuture<>();
    private String failure = "";
    private int answered;
    private int running;

    Run(int port, int seconds, int connections) {
      this.to = new InetSocketAddress(InetAddress.getLoopbackAddress(), port);
      this.until = System.nanoTime() + seconds * 1_000_000_000L;
      this.running = connections;
    }

    void fail(String why) {
      if (failure.isEmpty()) {
        failure = why;
      }
    }
  }

  private String run(int port, int seconds) {
    int before = full.get();
    Run run = new Run(port, seconds, connections);
    group.next().execute(() -> IntStream.range(0, connections).forEach(_ -> next(run)));
    String failure = run.ended.join();
    if (!failure.isEmpty()) {
      return "error " + failure;
    }
    return full.get() - before == run.answered
        ? "ok " + run.answered
        : "error %d of %d handshakes were full ones".formatted(full.get() - before, run.answered);
  }

  private void next(Run run) {
    if (!run.failure.isEmpty() || System.nanoTime() > run.until) {
      if (--run.running == 0) {
        run.ended.complete(run.failure);
      }
      return;
    }
    // Goes on not when the channel is closed, but when its handlers have heard of it, and counted.
    var _ =
        bootstrap
            .connect(run.to)
            .addListener(
                (ChannelFutureListener)
                    connecting -> {
                      if (connecting.isSuccess()) {
                        connecting.channel().pipeline().addLast(new Once(run));
                      } else {
                        run.fail("connect: " + connecting.cause());
                        next(run);
                      }
                    });
  }

  /** One request and its answer, to the end of the connection. */
  private final class Once extends ChannelInboundHandlerAdapter {
    private final Run run;
    private final StringBuilder answer = new StringBuilder();

    Once(Run run) {
      this.run = run;
    }

    @Override
    public void userEventTriggered(ChannelHandlerContext ctx, Object event) {
      if (event instanceof SslHandshakeCompletionEvent handshake) {
        if (handshake.isSuccess()) {
          var _ = ctx.writeAndFlush(Unpooled.wrappedBuffer(REQUEST));
        } else {
          run.fail("handshake: " + handshake.cause());
        }
      }
    }

    @Override
    public void channelRead(ChannelHandlerContext ctx, Object message) {
      ByteBuf bytes = (ByteBuf) message;
      answer.append(bytes.toString(StandardCharsets.US_ASCII));
      bytes.release();
    }

    @Override
    public void channelInactive(ChannelHandlerContext ctx) {
      if (answer.indexOf(GOOD) == 0 && answer.toString().endsWith("b".repeat(Backends.BODY))) {
        run.answered++;
      } else {
        run.fail("the answer was: " + answer.toString().lines().findFirst().orElse("none"));
      }
      next(run);
    }

    @Override
    public void exceptionCaught(ChannelHandlerContext ctx, Throwable cause) {
      run.fail(String.valueOf(cause));
      var _ = ctx.close();
    }
  }

  /** It is the servers' work that is measured: whom this one trusts does not matter. */
  private static final class Everybody extends X509ExtendedTrustManager {
    private final AtomicInteger looks;

    Everybody(AtomicInteger looks) {
      this.looks = looks;
    }

    @Override
    public void checkClientTrusted(X509Certificate[] chain, String type, Socket socket) {}

    @Override
    public void checkClientTrusted(X509Certificate[] chain, String type, SSLEngine engine) {}

    @Override
    public void checkClientTrusted(X509Certificate[] chain, String type) {}

    @Override
    public void checkServerTrusted(X509Certificate[] chain, String type, Socket socket) {}

    @Override
    public void checkServerTrusted(X509Certificate[] chain, String type, SSLEngine engine) {
      looks.incrementAndGet();
    }

    @Override
    public void checkServerTrusted(X509Certificate[] chain, String type) {}

    @Override
    public X509Certificate[] getAcceptedIssuers() {
      return new X509Certificate[0];
    }
  }
}
