// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.listen;

import dev.weir.policy.plan.Address;
import dev.weir.proxy.http.Origin;
import dev.weir.proxy.http.ServerConnection;
import dev.weir.proxy.http.Worker;
import dev.weir.proxy.observe.Counter;
import dev.weir.proxy.outbound.BindAddress;
import dev.weir.proxy.outbound.Gateway;
import dev.weir.proxy.outbound.Generation;
import io.netty.channel.Channel;
import io.netty.channel.ChannelInitializer;
import io.netty.handler.ssl.SniHandler;
import io.netty.handler.ssl.SslContext;
import io.netty.util.Mapping;
import java.net.InetSocketAddress;
import java.util.Locale;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/** What happens to each connection accepted at one address, on one event loop. */
final class Acceptor extends ChannelInitializer<Channel> {

  /** Connections per event loop; beyond it new ones are refused, not old ones broken. */
  static final int MAX_CONNECTIONS = 10_000;

  private static final int MAX_CLIENT_HELLO = 16 * 1024;
  private static final long HANDSHAKE_MILLIS = TimeUnit.SECONDS.toMillis(10);

  private final Worker worker;
  private final OriginSource origins;
  private final BindAddress bind;

  Acceptor(Worker worker, OriginSource origins, BindAddress bind) {
    this.worker = worker;
    this.origins = origins;
    this.bind = bind;
  }

  @Override
  protected void initChannel(Channel channel) {
    Generation generation = worker.current().get();
    if (worker.loop().watchedCount() >= MAX_CONNECTIONS) {
      refuse(channel, Counter.TOO_MANY);
      return;
    }
    if (!(channel.remoteAddress() instanceof InetSocketAddress remote)) {
      // It went away before it was looked at.
      var _ = channel.close();
      return;
    }
    Address peer = Address.of(remote.getAddress().getAddress());
    Optional<OriginSource.Handover> record = origins.read(channel);
    if (generation.isOutbound(bind)) {
      outbound(channel, generation, peer, record);
      return;
    }
    Optional<Gateway> gateway = generation.gateway(bind);
    if (gateway.isEmpty()) {
      refuse(channel, Counter.UNPLANNED);
      return;
    }
    if (record.isPresent() && generation.source(record.get().source()).isEmpty()) {
      refuse(channel, Counter.UNKNOWN_SOURCE);
      return;
    }
    boolean tls = gateway.get().tls();
    if (tls) {
      channel
          .pipeline()
          .addLast(
              new SniHandler(
                  (Mapping<String, SslContext>) this::context, MAX_CLIENT_HELLO, HANDSHAKE_MILLIS));
    }
    OptionalInt source =
        record.isPresent() ? OptionalInt.of(record.get().source()) : OptionalInt.empty();
    ServerConnection.install(
        worker, new Origin.Gateway(peer, bind, tls, source), generation, channel.pipeline());
  }

  private void outbound(
      Channel channel,
      Generation generation,
      Address peer,
      Optional<OriginSource.Handover> record) {
    if (record.isEmpty()) {
      refuse(channel, Counter.NO_ORIGIN);
      return;
    }
    OriginSource.Handover origin = record.get();
    BindAddress destination = new BindAddress(Optional.of(origin.destination()), origin.port());
    if (generation.source(origin.source()).isEmpty()) {
      refuse(channel, Counter.UNKNOWN_SOURCE);
    } else if (generation.service(destination).isEmpty()) {
      refuse(channel, Counter.UNPLANNED);
    } else {
      ServerConnection.install(
          worker,
          new Origin.Workload(peer, destination, origin.source()),
          generation,
          channel.pipeline());
    }
  }

  private SslContext context(@Nullable String serverName) {
    String name = serverName == null ? "" : serverName.toLowerCase(Locale.ROOT);
    return worker
        .current()
        .get()
        .gateway(bind)
        .flatMap(gateway -> gateway.certificate(name))
        .orElseThrow(() -> new IllegalArgumentException("no listener serves this name"))
        .context();
  }

  private void refuse(Channel channel, Counter why) {
    worker.metrics().count(why);
    var _ = channel.close();
  }
}
