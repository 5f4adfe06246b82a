// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.listen;

import dev.weir.policy.plan.Address;
import dev.weir.proxy.http.Worker;
import dev.weir.proxy.observe.Log;
import dev.weir.proxy.outbound.BindAddress;
import dev.weir.proxy.outbound.UpdateRefusedException;
import io.netty.bootstrap.ServerBootstrap;
import io.netty.channel.Channel;
import io.netty.channel.ChannelFuture;
import io.netty.channel.ChannelOption;
import io.netty.channel.WriteBufferWaterMark;
import io.netty.channel.epoll.Epoll;
import io.netty.channel.epoll.EpollChannelOption;
import io.netty.channel.epoll.EpollServerSocketChannel;
import io.netty.channel.socket.SocketProtocolFamily;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.UnknownHostException;
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

  private final List<Worker> workers;
  private final OriginSource origins;
  private final Log log;
  private final Map<BindAddress, List<Channel>> open = new LinkedHashMap<>();

  /** None open. */
  public Listeners(List<Worker> workers, OriginSource origins, Log log) {
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
          bind(bind, sockets);
        }
      }
    } catch (UpdateRefusedException e) {
      fresh.values().forEach(Listeners::close);
      throw e;
    }
    open.putAll(fresh);
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
    return new ServerBootstrap()
        .group(worker.loop().executor(), worker.loop().executor())
        // By family, not dual-stack: the kernel's programs see plain IPv4 as IPv4 then.
        .channelFactory(
            () ->
                new EpollServerSocketChannel(
                    v4 ? SocketProtocolFamily.INET : SocketProtocolFamily.INET6))
        .option(ChannelOption.SO_BACKLOG, BACKLOG)
        .option(ChannelOption.SO_REUSEADDR, true)
        .option(EpollChannelOption.SO_REUSEPORT, workers.size() > 1)
        .option(ChannelOption.AUTO_READ, false)
        .childOption(ChannelOption.TCP_NODELAY, true)
        .childOption(ChannelOption.SO_KEEPALIVE, true)
        .childOption(ChannelOption.ALLOW_HALF_CLOSURE, true)
        .childOption(ChannelOption.WRITE_BUFFER_WATER_MARK, new WriteBufferWaterMark(16384, 65536))
        .childHandler(new Acceptor(worker, origins, bind));
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
