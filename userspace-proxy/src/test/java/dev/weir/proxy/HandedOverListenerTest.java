// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.proxy.control.ControlServer;
import dev.weir.proxy.observe.Log;
import io.netty.bootstrap.Bootstrap;
import io.netty.bootstrap.ServerBootstrap;
import io.netty.channel.Channel;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.ChannelOption;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.epoll.EpollChannelOption;
import io.netty.channel.epoll.EpollDomainSocketChannel;
import io.netty.channel.epoll.EpollIoHandler;
import io.netty.channel.epoll.EpollServerSocketChannel;
import io.netty.channel.socket.SocketProtocolFamily;
import io.netty.channel.unix.DomainSocketAddress;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/**
 * Listeners that another process has made. In use they are of other network namespaces; here they
 * are of our own and share the proxy's port with its own sockets (SO_REUSEPORT), among which the
 * kernel spreads connections.
 */
@Timeout(30)
final class HandedOverListenerTest {

  private static final Pattern NAMESPACES = Pattern.compile("\"namespaces\":\\[([0-9]+)\\]");
  private static final int MANY = 60;

  private final MultiThreadIoEventLoopGroup group =
      new MultiThreadIoEventLoopGroup(1, EpollIoHandler.newFactory());
  private final Mesh mesh;
  private final Path path;
  private final ControlServer server;

  HandedOverListenerTest(@TempDir Path directory) throws Exception {
    mesh = new Mesh(2, System::nanoTime);
    path = directory.resolve("proxy.sock");
    server =
        new ControlServer(
            group,
            path,
            mesh.proxy,
            new Log(new PrintStream(new ByteArrayOutputStream(), true, StandardCharsets.UTF_8)));
  }

  @AfterEach
  void stop() throws Exception {
    server.close();
    mesh.close();
    group.shutdownGracefully(0, 1, TimeUnit.SECONDS).awaitUninterruptibly();
  }

  /** Makes a listener, hands it over and lets go of it. */
  private void handOver(int port) throws IOException {
    EpollServerSocketChannel socket = new EpollServerSocketChannel(SocketProtocolFamily.INET);
    new ServerBootstrap()
        .group(group)
        .channelFactory(() -> socket)
        .option(EpollChannelOption.SO_REUSEPORT, true)
        .option(ChannelOption.SO_BACKLOG, MANY)
        .option(ChannelOption.AUTO_READ, false)
        .childHandler(new ChannelInboundHandlerAdapter())
        .bind(new InetSocketAddress(InetAddress.ofLiteral("127.0.0.1"), port))
        .syncUninterruptibly();
    Channel channel =
        new Bootstrap()
            .group(group)
            .channel(EpollDomainSocketChannel.class)
            .handler(new ChannelInboundHandlerAdapter())
            .connect(new DomainSocketAddress(path.resolveSibling("listeners.sock").toFile()))
            .syncUninterruptibly()
            .channel();
    channel.writeAndFlush(socket.fd()).syncUninterruptibly();
    channel.close().syncUninterruptibly();
    socket.close().syncUninterruptibly();
  }

  private long namespace() throws InterruptedException {
    while (true) {
      Matcher found = NAMESPACES.matcher(mesh.proxy.status());
      if (found.find()) {
        return Long.parseUnsignedLong(found.group(1));
      }
      Thread.sleep(5);
    }
  }

  private void everybodyIsServed() throws IOException {
    for (int i = 0; i < MANY; i++) {
      try (Client client = mesh.client()) {
        assertThat(client.get("/").status()).isEqualTo(200);
      }
    }
  }

  @Test
  void isServedAsLongAsWorkloadsLiveThere() throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"))) {
      mesh.serve(backend.port());
      handOver(mesh.port);
      long namespace = namespace();
      everybodyIsServed();
      assertThat(mesh.proxy.namespaces(Set.of(namespace)))
          .isEqualTo("{\"listening\":[" + Long.toUnsignedString(namespace) + "]}");
      everybodyIsServed();
      assertThat(mesh.proxy.namespaces(Set.of())).isEqualTo("{\"listening\":[]}");
      // Closed for good: a socket that is open would get its share and never answer.
      everybodyIsServed();
    }
  }

  @Test
  void isClosedAtOnceWhenItIsAtAnotherPort() throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"))) {
      mesh.serve(backend.port());
      int other = FreePorts.next();
      handOver(other);
      while (!mesh.log().contains("none of ours")) {
        Thread.sleep(5);
      }
      assertThat(mesh.proxy.namespaces(Set.of())).isEqualTo("{\"listening\":[]}");
    }
  }
}
