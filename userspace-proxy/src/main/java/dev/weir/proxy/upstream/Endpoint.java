// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.upstream;

import dev.weir.policy.plan.Address;
import dev.weir.proxy.loop.Loop;
import io.netty.bootstrap.Bootstrap;
import io.netty.channel.Channel;
import io.netty.channel.ChannelFuture;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.ChannelOption;
import io.netty.channel.WriteBufferWaterMark;
import io.netty.channel.epoll.EpollSocketChannel;
import io.netty.channel.socket.SocketProtocolFamily;
import io.netty.handler.codec.http.HttpRequestEncoder;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.UnknownHostException;
import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;

/**
 * One backend address with a pool of connections per event loop, so that no pool needs a lock. The
 * same object serves all generations that name the address.
 */
public final class Endpoint {

  /**
   * How long a connection is kept that nobody needs. Backends that close sooner are noticed by
   * their FIN. As many are kept as are open: whoever closes some of them under load opens as many
   * again a moment later, and fills the backend's accept queue with that.
   */
  static final long IDLE_NANOS = TimeUnit.SECONDS.toNanos(60);

  /** Connections per loop; Envoy's circuit breaker has the same default. */
  static final int MAX_CONNECTIONS = 1024;

  static final int CONNECT_TIMEOUT_MILLIS = 5_000;

  private final Address address;
  private final int port;
  private final String text;
  private final InetSocketAddress socketAddress;
  private final List<Pool> pools;
  private volatile boolean retired;

  /** For one loop's thread only. */
  private static final class Pool extends Loop.Watched {
    private final ArrayDeque<UpstreamConnection> idle = new ArrayDeque<>();
    private int open;

    @Override
    protected void check(long nowNanos) {
      while (!idle.isEmpty() && nowNanos - idle.peekFirst().idleSince() > IDLE_NANOS) {
        idle.pollFirst().close();
      }
    }
  }

  /** There are too many connections to this backend already. */
  public static final class Overloaded extends RuntimeException {
    Overloaded(String endpoint) {
      super(MAX_CONNECTIONS + " connections to " + endpoint + " are open", null, false, false);
    }
  }

  /**
   * An endpoint without connections.
   *
   * @param loops number of event loops
   */
  public Endpoint(Address address, int port, int loops) {
    this.address = address;
    this.port = port;
    try {
      this.socketAddress =
          new InetSocketAddress(
              InetAddress.getByAddress(
                  address.isV4() ? Arrays.copyOfRange(address.bytes(), 12, 16) : address.bytes()),
              port);
    } catch (UnknownHostException impossible) {
      throw new IllegalArgumentException("address: " + address, impossible);
    }
    this.text = (address.isV4() ? address.toString() : "[" + address + "]") + ":" + port;
    this.pools = IntStream.range(0, loops).mapToObj(i -> new Pool()).toList();
  }

  /** Whether this is that address. */
  public boolean is(Address otherAddress, int otherPort) {
    return port == otherPort && address.equals(otherAddress);
  }

  /** The address with its port. */
  @Override
  public String toString() {
    return text;
  }

  /**
   * Gives the listener a connection: an idle one at once, else a new one later.
   *
   * @param fresh never an idle one
   */
  public void acquire(Loop loop, UpstreamListener listener, boolean fresh) {
    Pool pool = pools.get(loop.index());
    while (!fresh) {
      // The one used last is the least likely to have been closed by the backend.
      UpstreamConnection connection = pool.idle.pollLast();
      if (connection == null) {
        break;
      }
      if (connection.isActive()) {
        connection.attach(listener);
        listener.connected(connection);
        return;
      }
    }
    if (pool.open >= MAX_CONNECTIONS) {
      listener.connectFailed(new Overloaded(text));
      return;
    }
    if (pool.open++ == 0) {
      loop.watch(pool);
    }
    connect(loop, pool, listener);
  }

  private void connect(Loop loop, Pool pool, UpstreamListener listener) {
    ResponseDecoder decoder = new ResponseDecoder();
    ChannelFuture connecting =
        new Bootstrap()
            .group(loop.executor())
            // By family: the kernel's programs see plain IPv4 as IPv4 then.
            .channelFactory(
                () ->
                    new EpollSocketChannel(
                        address.isV4() ? SocketProtocolFamily.INET : SocketProtocolFamily.INET6))
            .option(ChannelOption.TCP_NODELAY, true)
            .option(ChannelOption.SO_KEEPALIVE, true)
            .option(ChannelOption.CONNECT_TIMEOUT_MILLIS, CONNECT_TIMEOUT_MILLIS)
            .option(ChannelOption.WRITE_BUFFER_WATER_MARK, new WriteBufferWaterMark(16384, 65536))
            .handler(
                new ChannelInitializer<Channel>() {
                  @Override
                  protected void initChannel(Channel channel) {
                    channel.pipeline().addLast(new HttpRequestEncoder(), decoder);
                  }
                })
            .connect(socketAddress);
    connecting.addListener(
        future -> {
          if (future.isSuccess()) {
            UpstreamConnection connection =
                new UpstreamConnection(loop, this, connecting.channel(), decoder);
            connecting.channel().pipeline().addLast(connection);
            connection.attach(listener);
            listener.connected(connection);
          } else {
            closedOne(loop, pool);
            listener.connectFailed(future.cause());
          }
        });
  }

  void release(Loop loop, UpstreamConnection connection) {
    Pool pool = pools.get(loop.index());
    if (retired || !connection.isActive()) {
      connection.close();
    } else {
      pool.idle.addLast(connection);
    }
  }

  void ended(Loop loop, UpstreamConnection connection) {
    Pool pool = pools.get(loop.index());
    pool.idle.remove(connection);
    closedOne(loop, pool);
  }

  private static void closedOne(Loop loop, Pool pool) {
    if (--pool.open == 0) {
      loop.unwatch(pool);
    }
  }

  /** No plan names it any more: requests in flight end, connections are not kept. */
  public void retire() {
    retired = true;
  }

  /** Closes what is idle on a loop, from that loop. */
  public void closeIdle(Loop loop) {
    Pool pool = pools.get(loop.index());
    while (!pool.idle.isEmpty()) {
      pool.idle.pollLast().close();
    }
  }

  /** Open connections of a loop, for that loop's thread. */
  public int open(Loop loop) {
    return pools.get(loop.index()).open;
  }

  /** Idle connections of a loop, for that loop's thread. */
  public int idle(Loop loop) {
    return pools.get(loop.index()).idle.size();
  }
}
