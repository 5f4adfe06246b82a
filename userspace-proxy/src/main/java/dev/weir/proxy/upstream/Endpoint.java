// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.upstream;

import dev.weir.policy.plan.Address;
import dev.weir.proxy.loop.Loop;
import dev.weir.proxy.tls.Origination;
import io.netty.bootstrap.Bootstrap;
import io.netty.buffer.ByteBufAllocator;
import io.netty.channel.Channel;
import io.netty.channel.ChannelFuture;
import io.netty.channel.ChannelHandler;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.ChannelOption;
import io.netty.channel.WriteBufferWaterMark;
import io.netty.channel.epoll.EpollSocketChannel;
import io.netty.channel.socket.SocketProtocolFamily;
import io.netty.handler.codec.http.HttpRequestEncoder;
import io.netty.handler.ssl.SslHandler;
import io.netty.util.ReferenceCountUtil;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.UnknownHostException;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import javax.net.ssl.SSLException;

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

  /** Requests of a loop that wait for a connection of HTTP/2; the same as Envoy's default. */
  static final int MAX_WAITING = 1024;

  static final int CONNECT_TIMEOUT_MILLIS = 5_000;

  private final Address address;
  private final int port;
  private final Optional<Origination> tls;
  private final String text;
  private final InetSocketAddress socketAddress;
  private final List<Pool> pools;
  private final int loops;
  private final Optional<Transport> transport;
  private final Optional<Caller> caller;
  // One for each caller, and only where there is a transport: callers share no connections there.
  private final Map<Caller, Endpoint> callers = new ConcurrentHashMap<>(0);
  private final AtomicInteger open = new AtomicInteger();
  private volatile boolean retired;

  /** What is spoken with a backend. */
  public enum Version {
    /** One request at a time. */
    HTTP_1,
    /** Many; in plain text without asking first (RFC 9113 3.3), else by ALPN. */
    HTTP_2
  }

  /** For one loop's thread only. */
  private static final class Pool extends Loop.Watched {
    private final ArrayDeque<UpstreamConnection> idle = new ArrayDeque<>();
    private final List<Http2Upstream> multiplexed = new ArrayList<>(1);
    private final ArrayDeque<UpstreamListener> waiting = new ArrayDeque<>(0);
    private boolean connecting;
    private int open;

    @Override
    protected void check(long nowNanos) {
      while (!idle.isEmpty() && nowNanos - idle.peekFirst().idleSince() > IDLE_NANOS) {
        idle.pollFirst().close();
      }
      for (UpstreamConnection connection : List.copyOf(idle)) {
        if (!connection.isActive()) {
          connection.close();
        }
      }
      for (Http2Upstream connection : List.copyOf(multiplexed)) {
        if (connection.idle(nowNanos)) {
          multiplexed.remove(connection);
          connection.leave();
        }
      }
    }
  }

  /** There are too many connections to this backend already. */
  public static final class Overloaded extends RuntimeException {
    Overloaded(String endpoint) {
      super(MAX_CONNECTIONS + " connections to " + endpoint + " are open", null, false, false);
    }
  }

  /** TLS with the backend failed: nothing was sent but a handshake, or what came is cut short. */
  public static final class TlsFailed extends RuntimeException {
    TlsFailed(String message) {
      super(message, null, false, false);
    }

    TlsFailed(Throwable cause) {
      this("TLS failed: " + root(cause));
    }

    /** What engines say of a certificate is "general problem"; the reason is the last cause. */
    private static String root(Throwable cause) {
      Throwable last = cause;
      for (int i = 0; i < 16 && last.getCause() != null; i++) {
        last = last.getCause();
      }
      return String.valueOf(last.getMessage());
    }
  }

  /** Who waits for a connection that is not of the pool. Called on the event loop. */
  public interface Dialled {
    /** It is there; handlers are added at the end of its pipeline before anything is read. */
    void connected(Channel channel);

    /** There will be none; nothing was sent. */
    void connectFailed(Throwable cause);
  }

  /**
   * An endpoint without connections.
   *
   * @param tls how it is dialled; empty for plain text
   * @param loops number of event loops
   */
  public Endpoint(Address address, int port, Optional<Origination> tls, int loops) {
    this(address, port, tls, loops, Optional.empty(), Optional.empty());
  }

  /**
   * An endpoint on another node.
   *
   * @param transport by which it is reached, and by nothing else
   */
  public Endpoint(
      Address address, int port, Optional<Origination> tls, int loops, Transport transport) {
    this(address, port, tls, loops, Optional.of(transport), Optional.empty());
  }

  private Endpoint(
      Address address,
      int port,
      Optional<Origination> tls,
      int loops,
      Optional<Transport> transport,
      Optional<Caller> caller) {
    this.loops = loops;
    this.transport = transport;
    this.caller = caller;
    this.address = address;
    this.port = port;
    this.tls = tls;
    try {
      this.socketAddress =
          new InetSocketAddress(
              InetAddress.getByAddress(
                  address.isV4() ? Arrays.copyOfRange(address.bytes(), 12, 16) : address.bytes()),
              port);
    } catch (UnknownHostException impossible) {
      throw new IllegalArgumentException("address: " + address, impossible);
    }
    this.text =
        (address.isV4() ? address.toString() : "[" + address + "]")
            + ":"
            + port
            + tls.map(t -> " as " + t.policy().hostname()).orElse("")
            + transport.map(t -> " by " + t).orElse("");
    this.pools = IntStream.range(0, loops).mapToObj(i -> new Pool()).toList();
  }

  /**
   * The same, for what somebody asks for. Where it is reached by tunnels, they are made in his name
   * and his connections are nobody else's.
   */
  public Endpoint by(Caller asks) {
    return transport.isEmpty()
        ? this
        : callers.computeIfAbsent(
            asks, c -> new Endpoint(address, port, tls, loops, transport, Optional.of(c)));
  }

  /** Whether this is that address. */
  public boolean is(Address otherAddress, int otherPort) {
    return port == otherPort && address.equals(otherAddress);
  }

  /** Whether it is on another node, and reached by tunnels alone. */
  public boolean isTunnelled() {
    return transport.isPresent();
  }

  /** Whether connections to it are encrypted. */
  public boolean isTls() {
    return tls.isPresent();
  }

  /** The address with its port, and the name that TLS asks for. */
  @Override
  public String toString() {
    return text;
  }

  /**
   * Gives the listener a place for a request: by a connection that is there at once, else by a new
   * one later.
   *
   * @param version what the backend speaks
   * @param fresh never by an idle connection of HTTP/1.1
   */
  public void acquire(Loop loop, UpstreamListener listener, Version version, boolean fresh) {
    Pool pool = pools.get(loop.index());
    if (version == Version.HTTP_2) {
      multiplex(loop, pool, listener);
      return;
    }
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
      connection.close();
    }
    if (!reserve(loop, pool)) {
      listener.connectFailed(new Overloaded(text));
      return;
    }
    ResponseDecoder decoder = new ResponseDecoder();
    open(
        loop,
        pool,
        version,
        false,
        channel -> {
          UpstreamConnection connection = new UpstreamConnection(loop, this, channel, decoder);
          channel.pipeline().addLast(new HttpRequestEncoder(), decoder, connection);
          connection.attach(listener);
          listener.connected(connection);
        },
        listener::connectFailed);
  }

  private void multiplex(Loop loop, Pool pool, UpstreamListener listener) {
    for (int i = 0; i < pool.multiplexed.size(); i++) {
      Http2Upstream connection = pool.multiplexed.get(i);
      if (connection.hasRoom()) {
        listener.connected(connection.take(listener));
        return;
      }
    }
    if (pool.waiting.size() >= MAX_WAITING) {
      listener.connectFailed(new Overloaded(text));
      return;
    }
    pool.waiting.add(listener);
    if (!pool.connecting) {
      connectMultiplexed(loop, pool);
    }
  }

  /** One at a time: those who wait share it. */
  private void connectMultiplexed(Loop loop, Pool pool) {
    if (!reserve(loop, pool)) {
      failWaiting(pool, new Overloaded(text));
      return;
    }
    pool.connecting = true;
    open(
        loop,
        pool,
        Version.HTTP_2,
        false,
        channel -> {
          Http2Upstream connection = Http2Upstream.of(loop, this, channel);
          channel.pipeline().addLast(connection);
          pool.connecting = false;
          if (!retired) {
            pool.multiplexed.add(connection);
          }
          for (UpstreamListener next = pool.waiting.poll();
              next != null;
              next = connection.hasRoom() ? pool.waiting.poll() : null) {
            next.connected(connection.take(next));
          }
          connection.flushLater();
          if (retired) {
            connection.leave();
          }
          if (!pool.waiting.isEmpty() && !pool.connecting) {
            connectMultiplexed(loop, pool);
          }
        },
        cause -> {
          pool.connecting = false;
          failWaiting(pool, cause);
        });
  }

  private static void failWaiting(Pool pool, Throwable cause) {
    // Who asks again while being told waits for the next one.
    List<UpstreamListener> waiting = List.copyOf(pool.waiting);
    pool.waiting.clear();
    waiting.forEach(listener -> listener.connectFailed(cause));
  }

  /**
   * Opens a connection for its own use. It counts among those of the pool, and is none of them. It
   * may be ended in one direction, unless it is encrypted.
   */
  public void dial(Loop loop, Dialled listener) {
    Pool pool = pools.get(loop.index());
    if (!reserve(loop, pool)) {
      listener.connectFailed(new Overloaded(text));
      return;
    }
    open(
        loop,
        pool,
        Version.HTTP_1,
        true,
        channel -> {
          channel.closeFuture().addListener(closed -> closedOne(loop, pool));
          listener.connected(channel);
        },
        listener::connectFailed);
  }

  private boolean reserve(Loop loop, Pool pool) {
    if (pool.open >= MAX_CONNECTIONS) {
      return false;
    }
    open.incrementAndGet();
    if (pool.open++ == 0) {
      loop.watch(pool);
    }
    return true;
  }

  private void open(
      Loop loop,
      Pool pool,
      Version version,
      boolean halfClosure,
      Consumer<Channel> ready,
      Consumer<Throwable> failed) {
    Consumer<Throwable> given =
        cause -> {
          closedOne(loop, pool);
          failed.accept(cause);
        };
    Optional<SslHandler> handler = Optional.empty();
    if (tls.isPresent()) {
      try {
        SslHandler made =
            tls.get().handler(ByteBufAllocator.DEFAULT, port, version == Version.HTTP_2);
        made.setHandshakeTimeoutMillis(CONNECT_TIMEOUT_MILLIS);
        handler = Optional.of(made);
      } catch (SSLException e) {
        given.accept(new TlsFailed(e));
        return;
      }
    }
    Optional<SslHandler> encrypting = handler;
    Consumer<Channel> made = channel -> encrypt(channel, encrypting, version, ready, given);
    if (transport.isPresent()) {
      transport
          .get()
          .open(
              loop,
              caller.orElseThrow(() -> new IllegalStateException("in nobody's name")),
              channel -> {
                channel.config().setOption(ChannelOption.ALLOW_HALF_CLOSURE, halfClosure);
                made.accept(channel);
              },
              cause -> {
                encrypting.ifPresent(e -> ReferenceCountUtil.safeRelease(e.engine()));
                given.accept(cause);
              });
      return;
    }
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
            .option(ChannelOption.ALLOW_HALF_CLOSURE, halfClosure)
            .option(ChannelOption.CONNECT_TIMEOUT_MILLIS, CONNECT_TIMEOUT_MILLIS)
            .option(ChannelOption.WRITE_BUFFER_WATER_MARK, new WriteBufferWaterMark(16384, 65536))
            .handler(new Nothing())
            .connect(socketAddress);
    connecting.addListener(
        future -> {
          if (future.isSuccess()) {
            made.accept(connecting.channel());
          } else {
            encrypting.ifPresent(e -> ReferenceCountUtil.safeRelease(e.engine()));
            given.accept(future.cause());
          }
        });
  }

  private void encrypt(
      Channel channel,
      Optional<SslHandler> handler,
      Version version,
      Consumer<Channel> ready,
      Consumer<Throwable> failed) {
    if (handler.isEmpty()) {
      ready.accept(channel);
    } else {
      channel
          .pipeline()
          .addLast(
              handler.get(),
              new TlsGuard(tls.orElseThrow(), handler.get(), version, ready, failed));
    }
  }

  /** A pipeline must begin with some handler. */
  @ChannelHandler.Sharable
  private static final class Nothing extends ChannelInboundHandlerAdapter {
    @Override
    public void handlerAdded(ChannelHandlerContext ctx) {
      ctx.pipeline().remove(this);
    }
  }

  void release(Loop loop, UpstreamConnection connection) {
    Pool pool = pools.get(loop.index());
    if (retired || !connection.isActive()) {
      connection.close();
    } else {
      pool.idle.addLast(connection);
    }
  }

  void ended(Loop loop, Http2Upstream connection) {
    Pool pool = pools.get(loop.index());
    pool.multiplexed.remove(connection);
    closedOne(loop, pool);
  }

  /** It takes no more requests. */
  void leaves(Loop loop, Http2Upstream connection) {
    pools.get(loop.index()).multiplexed.remove(connection);
    connection.leave();
  }

  void ended(Loop loop, UpstreamConnection connection) {
    Pool pool = pools.get(loop.index());
    pool.idle.remove(connection);
    closedOne(loop, pool);
  }

  private void closedOne(Loop loop, Pool pool) {
    open.decrementAndGet();
    if (--pool.open == 0) {
      loop.unwatch(pool);
    }
  }

  /** No plan names it any more: requests in flight end, connections are not kept. */
  public void retire() {
    retired = true;
    callers.values().forEach(Endpoint::retire);
  }

  /** Closes what is idle on a loop, from that loop. */
  public void closeIdle(Loop loop) {
    Pool pool = pools.get(loop.index());
    while (!pool.idle.isEmpty()) {
      pool.idle.pollLast().close();
    }
    List<Http2Upstream> multiplexed = List.copyOf(pool.multiplexed);
    pool.multiplexed.clear();
    multiplexed.forEach(Http2Upstream::leave);
    callers.values().forEach(endpoint -> endpoint.closeIdle(loop));
  }

  /** Open connections of a loop, for that loop's thread. */
  public int open(Loop loop) {
    return callers.values().stream()
        .mapToInt(endpoint -> endpoint.open(loop))
        .reduce(pools.get(loop.index()).open, Integer::sum);
  }

  /** Open connections of all loops, for any thread. */
  public int open() {
    return callers.values().stream().mapToInt(Endpoint::open).reduce(open.get(), Integer::sum);
  }

  /** Whether a request need not wait for a connection, for that loop's thread. */
  public boolean ready(Loop loop, Version version) {
    Pool pool = pools.get(loop.index());
    return switch (version) {
      case HTTP_1 -> !pool.idle.isEmpty();
      case HTTP_2 -> pool.multiplexed.stream().anyMatch(Http2Upstream::hasRoom);
    };
  }

  /** Idle connections of a loop, for that loop's thread. */
  public int idle(Loop loop) {
    Pool pool = pools.get(loop.index());
    int here =
        pool.idle.size() + (int) pool.multiplexed.stream().filter(c -> c.requests() == 0).count();
    return callers.values().stream()
        .mapToInt(endpoint -> endpoint.idle(loop))
        .reduce(here, Integer::sum);
  }
}
