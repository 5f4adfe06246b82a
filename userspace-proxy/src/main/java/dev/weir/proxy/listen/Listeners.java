// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.listen;

import dev.weir.policy.plan.Address;
import dev.weir.proxy.hbone.Tunnels;
import dev.weir.proxy.http.Worker;
import dev.weir.proxy.observe.Log;
import dev.weir.proxy.outbound.BindAddress;
import dev.weir.proxy.outbound.UpdateRefusedException;
import io.netty.bootstrap.ServerBootstrap;
import io.netty.channel.Channel;
import io.netty.channel.ChannelFactory;
import io.netty.channel.ChannelFuture;
import io.netty.channel.ChannelOption;
import io.netty.channel.ServerChannelRecvByteBufAllocator;
import io.netty.channel.WriteBufferWaterMark;
import io.netty.channel.epoll.Epoll;
import io.netty.channel.epoll.EpollChannelOption;
import io.netty.channel.epoll.EpollServerSocketChannel;
import io.netty.channel.socket.SocketProtocolFamily;
import io.netty.channel.unix.RawUnixChannelOption;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.UnknownHostException;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/**
 * The open ports. One socket per address and event loop, so that a connection stays on the loop
 * that accepted it. For the control thread only.
 */
public final class Listeners {

  private static final int BACKLOG = 1024;

  /**
   * Connections that are accepted at most before those that are there are served again. With the
   * library's one, the last of a thousand that come to a busy proxy would wait for a thousand turns
   * of it, which is many seconds.
   */
  private static final int ACCEPTED_PER_TURN = 64;

  private static final int SOL_SOCKET = 1;
  private static final int SO_NETNS_COOKIE = 71;
  private static final RawUnixChannelOption NETNS_COOKIE =
      new RawUnixChannelOption("SO_NETNS_COOKIE", SOL_SOCKET, SO_NETNS_COOKIE, Long.BYTES);

  private final List<Worker> workers;
  private final OriginSource origins;
  private final Tunnels tunnels;
  private final Log log;
  private final Capacity capacity;
  private final Map<BindAddress, List<Channel>> open = new LinkedHashMap<>();
  private final Map<Long, List<Channel>> elsewhere = new LinkedHashMap<>();

  /** A predecessor's, until the first plan says which of them are wanted. */
  private final List<EpollServerSocketChannel> inherited = new ArrayList<>();

  /** None open. */
  public Listeners(
      List<Worker> workers, OriginSource origins, Tunnels tunnels, Log log, Capacity capacity) {
    this.tunnels = tunnels;
    this.capacity = capacity;
    this.workers = List.copyOf(workers);
    this.origins = origins;
    this.log = log;
  }

  /** Where is listened. */
  public Set<BindAddress> binds() {
    return Set.copyOf(open.keySet());
  }

  /**
   * Binds what is not open yet, without accepting: connections wait in the backlog.
   *
   * @throws UpdateRefusedException when an address cannot be bound; then none of them is
   */
  public void prepare(Set<BindAddress> wanted) throws UpdateRefusedException {
    Map<BindAddress, List<Channel>> fresh = new LinkedHashMap<>();
    try {
      for (BindAddress bind : wanted) {
        if (!open.containsKey(bind)) {
          List<Channel> sockets = new ArrayList<>();
          fresh.put(bind, sockets);
          takeInherited(bind, sockets);
          if (sockets.isEmpty()) {
            bind(bind, sockets);
          }
        }
      }
    } catch (UpdateRefusedException e) {
      fresh.values().forEach(Listeners::close);
      throw e;
    }
    open.putAll(fresh);
  }

  /**
   * Keeps a socket that a predecessor listens at, for the plan to come: its backlog is served by
   * whoever has it, so that no connection is lost between the two.
   *
   * @param descriptor ours from now on, whatever happens
   */
  public void inherit(int descriptor) {
    EpollServerSocketChannel socket = new EpollServerSocketChannel(descriptor);
    if (socket.isActive() && boundTo(socket).isPresent()) {
      inherited.add(socket);
    } else {
      log.warn("a descriptor that was handed over does not listen");
      closeUnregistered(socket);
    }
  }

  /** The predecessor's sockets at an address of our own network namespace, one for each worker. */
  private void takeInherited(BindAddress bind, List<Channel> sockets)
      throws UpdateRefusedException {
    if (inherited.isEmpty()) {
      return;
    }
    long here = ownNamespace();
    for (EpollServerSocketChannel socket : List.copyOf(inherited)) {
      if (namespace(socket) == here && isAt(socket, bind)) {
        inherited.remove(socket);
        Worker worker = workers.get(sockets.size() % workers.size());
        ChannelFuture registering =
            bootstrap(worker, bind, () -> socket).register().awaitUninterruptibly();
        if (!registering.isSuccess()) {
          throw new UpdateRefusedException(refusal(bind, registering.cause()));
        }
        sockets.add(socket);
      }
    }
  }

  /**
   * The first plan is in force: of what was inherited, what listens in other network namespaces is
   * served from now on, and the rest, which nobody wants, is closed.
   *
   * @param wanted the addresses that may be listened at there
   */
  public void settleInherited(Set<BindAddress> wanted) {
    for (EpollServerSocketChannel socket : List.copyOf(inherited)) {
      if (boundTo(socket).filter(wanted::contains).isPresent()
          && namespace(socket) != ownNamespace()) {
        serveElsewhere(socket, boundTo(socket).orElseThrow());
      } else {
        closeUnregistered(socket);
      }
    }
    inherited.clear();
  }

  private static boolean isAt(Channel socket, BindAddress bind) {
    return socket.localAddress() instanceof InetSocketAddress local
        && local.getPort() == bind.port()
        && (bind.address().isEmpty()
            ? local.getAddress().isAnyLocalAddress()
            : bind.address().equals(boundTo(socket).flatMap(BindAddress::address)));
  }

  private static long ownNamespace() {
    EpollServerSocketChannel probe = new EpollServerSocketChannel(SocketProtocolFamily.INET);
    try {
      return namespace(probe);
    } finally {
      closeUnregistered(probe);
    }
  }

  /**
   * Sends all sockets that listen to a successor, which serves them beside us from then on.
   *
   * @param path Unix socket for descriptors, the successor's
   * @return how many there were; all of them have been taken
   * @throws IOException when they could not be sent, or were not taken
   */
  public int handOver(Path path) throws IOException {
    List<Channel> sockets = new ArrayList<>();
    open.values().forEach(sockets::addAll);
    elsewhere.values().forEach(sockets::addAll);
    List<Integer> descriptors =
        sockets.stream()
            .filter(Channel::isOpen)
            .map(socket -> ((EpollServerSocketChannel) socket).fd().intValue())
            .toList();
    Descriptors.send(path, descriptors);
    return descriptors.size();
  }

  /** Accepts on everything that is open. */
  public void accept() {
    open.values().forEach(sockets -> sockets.forEach(s -> s.config().setAutoRead(true)));
  }

  /** Closes what is not wanted any more. */
  public void retain(Set<BindAddress> wanted) {
    open.entrySet()
        .removeIf(
            entry -> {
              if (wanted.contains(entry.getKey())) {
                return false;
              }
              close(entry.getValue());
              return true;
            });
  }

  /**
   * Takes over a socket that already listens in another network namespace of this node, where this
   * process could not make one. What is accepted there is treated as what is accepted at the same
   * address here. One worker has it: a namespace is one pod, and a socket for each worker would be
   * a cost for each pod.
   *
   * @param descriptor ours from now on, whatever happens
   * @param wanted the addresses that may be listened at
   */
  public void adopt(int descriptor, Set<BindAddress> wanted) {
    EpollServerSocketChannel socket = new EpollServerSocketChannel(descriptor);
    Optional<BindAddress> bind = boundTo(socket).filter(wanted::contains);
    if (!socket.isActive() || bind.isEmpty()) {
      log.refused("a socket at " + socket.localAddress() + " was handed over and is none of ours");
      closeUnregistered(socket);
      return;
    }
    serveElsewhere(socket, bind.get());
  }

  private void serveElsewhere(EpollServerSocketChannel socket, BindAddress bind) {
    long namespace = namespace(socket);
    Worker worker = workers.get(Math.floorMod(Long.hashCode(namespace), workers.size()));
    ChannelFuture registering =
        bootstrap(worker, bind, () -> socket)
            .option(ChannelOption.AUTO_READ, true)
            .register()
            .awaitUninterruptibly();
    if (!registering.isSuccess()) {
      log.warn(
          "no listener at " + bind + " of namespace " + namespace + ": " + registering.cause());
      return;
    }
    elsewhere.computeIfAbsent(namespace, cookie -> new ArrayList<>()).add(socket);
  }

  /** The other network namespaces (cookies) that are listened in. */
  public Set<Long> namespaces() {
    return Set.copyOf(elsewhere.keySet());
  }

  /**
   * Closes what listens in other network namespaces than these, or at other addresses: an open
   * listener would keep a namespace alive that nobody lives in.
   */
  public void retain(Set<Long> namespaces, Set<BindAddress> wanted) {
    elsewhere
        .entrySet()
        .removeIf(
            entry -> {
              List<Channel> sockets = entry.getValue();
              if (namespaces.contains(entry.getKey())
                  && sockets.stream()
                      .allMatch(
                          s -> s.isOpen() && boundTo(s).filter(wanted::contains).isPresent())) {
                return false;
              }
              close(sockets);
              return true;
            });
  }

  private static Optional<BindAddress> boundTo(Channel socket) {
    return socket.localAddress() instanceof InetSocketAddress local
        ? Optional.of(
            new BindAddress(
                Optional.of(Address.of(local.getAddress().getAddress())), local.getPort()))
        : Optional.empty();
  }

  /** socket(7): the cookie of the network namespace in which a socket was made (Linux 5.14). */
  private static long namespace(EpollServerSocketChannel socket) {
    return socket.config().getOption(NETNS_COOKIE).order(ByteOrder.nativeOrder()).getLong(0);
  }

  /** No event loop knows it yet that would do it. */
  private static void closeUnregistered(EpollServerSocketChannel socket) {
    socket.unsafe().closeForcibly();
  }

  private static void close(Collection<Channel> sockets) {
    for (Channel socket : sockets) {
      socket.close().awaitUninterruptibly();
    }
  }

  private void bind(BindAddress bind, List<Channel> sockets) throws UpdateRefusedException {
    for (Worker worker : workers) {
      ChannelFuture binding = bootstrap(worker, bind).bind(socketAddress(bind));
      binding.awaitUninterruptibly();
      if (binding.isSuccess()) {
        sockets.add(binding.channel());
      } else if (bind.address().equals(Optional.of(Address.LOOPBACK6)) && !hasIpv6()) {
        log.warn("no listener at " + bind + ": this node has no IPv6");
        return;
      } else {
        throw new UpdateRefusedException(refusal(bind, binding.cause()));
      }
    }
  }

  private static boolean hasIpv6() {
    try (ServerSocket probe = new ServerSocket()) {
      probe.bind(new InetSocketAddress(InetAddress.getByAddress(Address.LOOPBACK6.bytes()), 0));
      return true;
    } catch (IOException e) {
      return false;
    }
  }

  private static String refusal(BindAddress bind, Throwable cause) {
    String reason = String.valueOf(cause.getMessage());
    String remedy =
        reason.contains("EACCES") || reason.contains("ermission denied")
            ? "the proxy has no privileges; use a port from 1024 up, or lower"
                + " net.ipv4.ip_unprivileged_port_start"
            : "find who holds it with ss -ltnp, or give the listener another port";
    return "bind " + bind + ": " + reason + ": " + remedy;
  }

  private ServerBootstrap bootstrap(Worker worker, BindAddress bind) {
    boolean v4 = bind.address().map(Address::isV4).orElse(!hasIpv6());
    // By family, not dual-stack: the kernel's programs see plain IPv4 as IPv4 then.
    return bootstrap(
        worker,
        bind,
        () ->
            new EpollServerSocketChannel(
                v4 ? SocketProtocolFamily.INET : SocketProtocolFamily.INET6));
  }

  private ServerBootstrap bootstrap(
      Worker worker, BindAddress bind, ChannelFactory<EpollServerSocketChannel> sockets) {
    return new ServerBootstrap()
        .group(worker.loop().executor(), worker.loop().executor())
        .channelFactory(sockets)
        .option(ChannelOption.SO_BACKLOG, BACKLOG)
        .option(
            ChannelOption.RECVBUF_ALLOCATOR,
            // Whether more wait it cannot tell: it compares a descriptor with a count of bytes.
            new ServerChannelRecvByteBufAllocator()
                .respectMaybeMoreData(false)
                .maxMessagesPerRead(ACCEPTED_PER_TURN))
        .option(ChannelOption.SO_REUSEADDR, true)
        .option(EpollChannelOption.SO_REUSEPORT, workers.size() > 1)
        .option(ChannelOption.AUTO_READ, false)
        .childOption(ChannelOption.TCP_NODELAY, true)
        .childOption(ChannelOption.SO_KEEPALIVE, true)
        .childOption(ChannelOption.ALLOW_HALF_CLOSURE, true)
        .childOption(ChannelOption.WRITE_BUFFER_WATER_MARK, new WriteBufferWaterMark(16384, 65536))
        .childHandler(new Acceptor(worker, origins, tunnels, bind, capacity));
  }

  private static InetSocketAddress socketAddress(BindAddress bind) {
    Optional<Address> address = bind.address();
    if (address.isEmpty()) {
      return new InetSocketAddress(bind.port());
    }
    byte[] bytes = address.get().bytes();
    try {
      return new InetSocketAddress(
          InetAddress.getByAddress(
              address.get().isV4() ? Arrays.copyOfRange(bytes, 12, 16) : bytes),
          bind.port());
    } catch (UnknownHostException impossible) {
      throw new IllegalArgumentException("address: " + bind, impossible);
    }
  }

  /** Why epoll is not there, if it is not. */
  public static Optional<Throwable> unavailable() {
    return Optional.ofNullable(Epoll.unavailabilityCause());
  }
}
