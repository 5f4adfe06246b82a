// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.listen;

import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.ProxyPlan.ListenerProtocol;
import dev.weir.proxy.hbone.Tunnels;
import dev.weir.proxy.http.Origin;
import dev.weir.proxy.http.ServerConnection;
import dev.weir.proxy.http.Worker;
import dev.weir.proxy.observe.Counter;
import dev.weir.proxy.outbound.BindAddress;
import dev.weir.proxy.outbound.Entrance;
import dev.weir.proxy.outbound.Gateway;
import dev.weir.proxy.outbound.Generation;
import dev.weir.proxy.tcp.Relay;
import io.netty.channel.Channel;
import io.netty.channel.ChannelInitializer;
import java.net.InetSocketAddress;
import java.util.Optional;
import java.util.OptionalInt;

/** What happens to each connection accepted at one address, on one event loop. */
final class Acceptor extends ChannelInitializer<Channel> {

  private final Worker worker;
  private final OriginSource origins;
  private final Tunnels tunnels;
  private final BindAddress bind;
  private final Capacity capacity;

  Acceptor(
      Worker worker, OriginSource origins, Tunnels tunnels, BindAddress bind, Capacity capacity) {
    this.tunnels = tunnels;
    this.worker = worker;
    this.origins = origins;
    this.bind = bind;
    this.capacity = capacity;
  }

  @Override
  protected void initChannel(Channel channel) {
    Generation generation = worker.current().get();
    if (worker.pressure().high() || capacity.shortOfMemory()) {
      refuse(channel, Counter.SHORT_OF_MEMORY);
      return;
    }
    if (!(channel.remoteAddress() instanceof InetSocketAddress remote)) {
      // It went away before it was looked at.
      var _ = channel.close();
      return;
    }
    if (generation.isHbone(bind)) {
      // Whoever it is proves it: what the kernel knows of the connection is of no use here.
      if (admit(channel, true)) {
        tunnels.accept(worker, channel);
      }
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
    OptionalInt source =
        record.isPresent() ? OptionalInt.of(record.get().source()) : OptionalInt.empty();
    Origin origin = new Origin.Gateway(peer, bind, tls, source);
    if (!admit(channel, tls)) {
      return;
    }
    if (tls) {
      ServerNames.install(worker, origin, channel);
    } else if (gateway.get().requests()) {
      ServerConnection.install(worker, origin, generation, channel.pipeline());
    } else {
      relay(channel, origin, gateway.get().any().protocol());
    }
  }

  private void relay(Channel channel, Origin origin, ListenerProtocol protocol) {
    Relay relay = new Relay(worker, origin, channel, protocol, "");
    channel.pipeline().addLast(relay);
    relay.begin();
  }

  private boolean admit(Channel channel, boolean tls) {
    if (!capacity.take(tls)) {
      refuse(channel, Counter.TOO_MANY);
      return false;
    }
    worker.metrics().count(Counter.ACCEPTED);
    channel
        .closeFuture()
        .addListener(
            closed -> {
              capacity.give(tls);
              worker.metrics().count(Counter.CLOSED);
            });
    return true;
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
    Optional<Entrance> entrance = generation.service(destination, origin.source());
    if (generation.source(origin.source()).isEmpty()) {
      refuse(channel, Counter.UNKNOWN_SOURCE);
    } else if (entrance.isEmpty()) {
      refuse(channel, Counter.UNPLANNED);
    } else {
      Origin from = new Origin.Workload(peer, destination, origin.source());
      if (!admit(channel, false)) {
        return;
      }
      if (entrance.get().requests()) {
        ServerConnection.install(worker, from, generation, channel.pipeline());
      } else if (entrance.get().streams().byServerName()) {
        ServerNames.install(worker, from, channel);
      } else {
        // Nobody waits for a client that waits for the server to speak first.
        relay(channel, from, entrance.get().protocol());
      }
    }
  }

  private void refuse(Channel channel, Counter why) {
    worker.metrics().count(why);
    var _ = channel.close();
  }
}
