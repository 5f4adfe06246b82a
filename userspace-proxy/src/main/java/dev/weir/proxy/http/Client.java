// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.http;

import dev.weir.proxy.observe.Peer;
import dev.weir.proxy.observe.Reporter;
import dev.weir.proxy.observe.Series;
import dev.weir.proxy.observe.SeriesKey;
import dev.weir.proxy.outbound.Entrance;
import dev.weir.proxy.outbound.Gateway;
import dev.weir.proxy.outbound.Generation;
import dev.weir.proxy.outbound.Inbound;
import dev.weir.proxy.outbound.Source;
import dev.weir.proxy.tls.ShownCertificate;
import io.netty.buffer.ByteBufAllocator;
import io.netty.channel.Channel;
import io.netty.util.AsciiString;
import java.net.InetSocketAddress;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * Who is at the other end of a connection and what its requests find, whatever version of HTTP they
 * come by. For the connection's event loop.
 */
final class Client {

  private final Worker worker;
  private final Origin origin;
  private final Channel channel;
  private final AsciiString peerText;

  // What the last request found, kept as long as the generation is the same. The entrance is an
  // older generation's when the one in force has none for this connection any more.
  private @Nullable Generation generation;
  private boolean leaving;
  private boolean behindProxy;
  private Optional<Entrance> entrance = Optional.empty();
  private Optional<Gateway> gateway = Optional.empty();
  private String serverName = "";
  private Optional<Source> source = Optional.empty();
  private Peer sourcePeer = Peer.NOBODY;

  // The kind of the last request: most are of the same kind.
  private @Nullable Series series;

  /**
   * A new connection's.
   *
   * @param generation that let it in; it has an entrance and a source for this origin
   */
  Client(Worker worker, Origin origin, Generation generation, Channel channel) {
    this.worker = worker;
    this.origin = origin;
    this.channel = channel;
    this.peerText = AsciiString.of(origin.peer().toString());
    pin(generation);
  }

  Worker worker() {
    return worker;
  }

  Origin origin() {
    return origin;
  }

  ByteBufAllocator allocator() {
    return channel.alloc();
  }

  AsciiString peerText() {
    return peerText;
  }

  /** Address and port at the other end. */
  String remoteAddress() {
    String port =
        channel.remoteAddress() instanceof InetSocketAddress remote ? ":" + remote.getPort() : "";
    return (origin.peer().isV4() ? peerText.toString() : "[" + peerText + "]") + port;
  }

  boolean tls() {
    return origin instanceof Origin.Gateway at && at.tls();
  }

  Reporter reporter() {
    return origin.reporter();
  }

  int localPort() {
    return switch (origin) {
      case Origin.Workload workload -> workload.destination().port();
      case Origin.Tunnel tunnel -> tunnel.destination().port();
      case Origin.Gateway at -> at.bind().port();
    };
  }

  /** Reads the generation in force, once per request. */
  Generation pinGeneration() {
    Generation now = worker.current().get();
    pin(now);
    return now;
  }

  private void pin(Generation now) {
    if (now == generation) {
      return;
    }
    generation = now;
    Optional<Entrance> planned;
    Optional<Gateway> door = Optional.empty();
    switch (origin) {
      case Origin.Workload(var peer, var destination, int number) -> {
        planned = now.service(destination, number).filter(Entrance::requests);
        source = now.source(number);
      }
      case Origin.Tunnel(
              var peer,
              var destination,
              int number,
              int told,
              var principal,
              var shown) -> {
        planned = now.inbound(destination).map(Inbound::requests);
        source = now.source(number, principal);
      }
      case Origin.Gateway(var peer, var bind, boolean tls, var number) -> {
        door = now.gateway(bind).filter(g -> g.tls() == tls && g.requests());
        planned = door.map(Gateway::any);
        source =
            number.isPresent() ? now.source(number.getAsInt()) : Optional.of(now.outside(peer));
      }
    }
    behindProxy = origin instanceof Origin.Gateway && now.trustsProxy(origin.peer());
    sourcePeer = source.map(asks -> origin.named(asks, now)).orElse(Peer.NOBODY);
    leaving = planned.isEmpty();
    if (!leaving) {
      entrance = planned;
      gateway = door;
    }
  }

  /**
   * Whether the generation of the last {@link #pinGeneration} leads nobody here any more: what is
   * still asked goes by the routes it had, with that generation's verdicts.
   */
  boolean leaving() {
    return leaving;
  }

  /**
   * Whether the generation in force, which the requests in hand need not know, has no use for the
   * connection.
   */
  boolean unplanned() {
    Generation now = worker.current().get();
    return now == generation
        ? leaving
        : switch (origin) {
          case Origin.Workload(var peer, var destination, int number) ->
              now.service(destination, number).filter(Entrance::requests).isEmpty();
          case Origin.Tunnel tunnel -> now.inbound(tunnel.destination()).isEmpty();
          case Origin.Gateway(var peer, var bind, boolean tls, var number) ->
              now.gateway(bind).filter(g -> g.tls() == tls && g.requests()).isEmpty();
        };
  }

  /** One that requests may come in by, whatever their host. */
  Optional<Entrance> entrance() {
    return entrance;
  }

  /**
   * The one that a request for a host comes in by.
   *
   * @param host in lower case without port; empty when none is named
   */
  Optional<Entrance> entrance(String host) {
    return gateway.isPresent() ? gateway.get().listeners().of(host) : entrance;
  }

  /**
   * Whether the handshake was with another listener than the one that a request comes in by (RFC
   * 9110 7.4): the client believes in a certificate that is not for it, and may have shown one that
   * it does not ask for. Or it has shown none that this listener lets in: without a server name
   * another one's handshake was made, or the listener asks for more than it did then.
   */
  boolean misdirected(Entrance in) {
    return gateway.isPresent()
        && (!serverName.isEmpty()
                && gateway.get().listeners().of(serverName).filter(e -> e == in).isEmpty()
            || !ShownCertificate.satisfies(channel, gateway.get().clients(in)));
  }

  /** Whether it is a proxy before this node that is believed whom it asks for. */
  boolean behindProxy() {
    return behindProxy;
  }

  /** What backends are told of a certificate that the client showed and a listener believes. */
  Optional<AsciiString> certificate(Entrance in) {
    return switch (origin) {
      case Origin.Workload workload -> Optional.empty();
      case Origin.Tunnel tunnel -> Optional.of(tunnel.certificate());
      case Origin.Gateway at ->
          gateway.isPresent()
              ? ShownCertificate.forwarded(channel, gateway.get().clients(in))
              : Optional.empty();
    };
  }

  /** {@link #source} as metrics name it. */
  Peer sourcePeer() {
    return sourcePeer;
  }

  Optional<Source> source() {
    return source;
  }

  /** The server name of the TLS handshake (RFC 6066 3), in lower case; empty without one. */
  String serverName() {
    return serverName;
  }

  void serverName(String asked) {
    serverName = asked;
  }

  /** Counts a finished request, and says where. */
  Series count(SeriesKey key, long nanos, long sent, long received) {
    Series to = series;
    if (to == null || !to.key().equals(key)) {
      to = worker.metrics().series(key);
      series = to;
    }
    to.record(nanos, sent, received);
    return to;
  }

  @Nullable Series lastSeries() {
    return series;
  }
}
