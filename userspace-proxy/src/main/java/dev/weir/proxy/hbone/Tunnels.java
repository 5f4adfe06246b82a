// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.hbone;

import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Hbone;
import dev.weir.proxy.http.Worker;
import dev.weir.proxy.identity.IdentityStore;
import dev.weir.proxy.identity.Svid;
import dev.weir.proxy.loop.Loop;
import dev.weir.proxy.outbound.BindAddress;
import dev.weir.proxy.outbound.Generation;
import dev.weir.proxy.upstream.Caller;
import dev.weir.proxy.upstream.Transport;
import dev.weir.proxy.upstream.Transports;
import io.netty.channel.Channel;
import java.security.cert.CertificateException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.stream.IntStream;

/**
 * The tunnels of all event loops. On each, one for each caller's certificate, node and certificate
 * that is expected there; another one only where it is full. They are made when first needed and
 * kept for as long as they are used.
 *
 * <p>What goes by a tunnel never goes otherwise: when none can be made, there is no connection.
 */
public final class Tunnels implements Transports {

  /** Of one key on one event loop; 100 connections each. */
  private static final int MAX_TUNNELS = 10;

  private final List<Worker> workers;
  private final IdentityStore store;
  private final List<PerLoop> loops;

  /**
   * Which tunnel it is.
   *
   * @param caller principal whose certificate is shown
   * @param peer node it leads to
   * @param shown principal that must be shown there
   */
  record Key(String caller, Hbone.Peer peer, String shown) {}

  /** For one loop's thread only. */
  private static final class PerLoop {
    private final TunnelConnection.Room room = new TunnelConnection.Room();
    private final Map<Key, List<TunnelClient>> made = new HashMap<>();
  }

  /** Why there is no connection by a tunnel. */
  public static final class TunnelFailed extends RuntimeException {
    TunnelFailed(String message) {
      super(message, null, false, false);
    }
  }

  /**
   * None made yet.
   *
   * @param workers by the index of their loops
   */
  public Tunnels(List<Worker> workers, IdentityStore store) {
    this.workers = List.copyOf(workers);
    this.store = store;
    this.loops = IntStream.range(0, workers.size()).mapToObj(i -> new PerLoop()).toList();
  }

  /** Takes a connection that was accepted at the port of tunnels. */
  public void accept(Worker worker, Channel channel) {
    TunnelServer.install(worker, store, loops.get(worker.loop().index()).room, channel);
  }

  @Override
  public Transport to(Hbone.Peer peer, String shown, String asked, Address address, int port) {
    return new Through(peer, shown, asked, new BindAddress(Optional.of(address), port));
  }

  /** How many tunnels of an event loop there are, for that loop's thread. */
  public int open(Loop loop) {
    return loops.get(loop.index()).made.values().stream().mapToInt(List::size).sum();
  }

  private final class Through implements Transport {
    private final Hbone.Peer peer;
    private final String shown;
    private final String asked;
    private final BindAddress destination;

    Through(Hbone.Peer peer, String shown, String asked, BindAddress destination) {
      this.peer = peer;
      this.shown = shown;
      this.asked = asked;
      this.destination = destination;
    }

    @Override
    public void open(
        Loop loop, Caller caller, Consumer<Channel> ready, Consumer<Throwable> failed) {
      Worker worker = workers.get(loop.index());
      Optional<String> principal = principal(worker.current().get(), caller);
      if (principal.isEmpty()) {
        failed.accept(
            new TunnelFailed(
                "whoever asks has no identity to show to "
                    + peer.name()
                    + ", and Mesh.spec.hbone.serviceAccount names none for the node"));
        return;
      }
      try {
        Svid svid = svid(principal.get());
        TunnelClient.Opening opening = new TunnelClient.Opening(destination, caller, ready, failed);
        tunnel(worker, svid).open(opening);
      } catch (TunnelFailed e) {
        failed.accept(e);
      }
    }

    /** A Gateway's clients, and the host, have no certificate here: the node asks for them. */
    private Optional<String> principal(Generation now, Caller caller) {
      return caller.principal().isEmpty()
          ? now.hbone().map(Hbone::account).filter(a -> !a.isEmpty()).map(now::principal)
          : Optional.of(caller.principal());
    }

    private Svid svid(String principal) {
      Svid svid =
          store
              .svid(principal)
              .orElseThrow(
                  () ->
                      new TunnelFailed(
                          "there is no certificate of "
                              + principal
                              + " on this node; weir ca issue makes it"));
      try {
        svid.requireInTime(store.now());
        return svid;
      } catch (CertificateException e) {
        throw new TunnelFailed(String.valueOf(e.getMessage()));
      }
    }

    private TunnelClient tunnel(Worker worker, Svid svid) {
      Key key = new Key(svid.principal(), peer, shown);
      List<TunnelClient> made =
          loops.get(worker.loop().index()).made.computeIfAbsent(key, k -> new ArrayList<>(1));
      for (TunnelClient tunnel : List.copyOf(made)) {
        if (tunnel.shows(svid) && tunnel.takesMore()) {
          return tunnel;
        }
        if (!tunnel.shows(svid)) {
          tunnel.leave(); // Its certificate was renewed: what it carries goes on, nothing new does.
        }
      }
      if (made.size() >= MAX_TUNNELS) {
        throw new TunnelFailed(MAX_TUNNELS + " tunnels to " + peer.name() + " are full");
      }
      TunnelClient tunnel =
          new TunnelClient(
              worker,
              store,
              loops.get(worker.loop().index()).room,
              peer,
              svid,
              shown,
              ServerName.of(asked));
      made.add(tunnel);
      tunnel.onEnd(
          () -> {
            made.remove(tunnel);
            if (made.isEmpty()) {
              loops.get(worker.loop().index()).made.remove(key, made);
            }
          });
      tunnel.connect();
      return tunnel;
    }

    @Override
    public String toString() {
      return "tunnel to " + peer.name();
    }
  }
}
