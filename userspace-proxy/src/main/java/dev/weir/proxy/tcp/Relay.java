// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.tcp;

import dev.weir.policy.plan.ProxyPlan.ListenerProtocol;
import dev.weir.policy.plan.Telemetry;
import dev.weir.policy.rbac.AccessRules;
import dev.weir.policy.rbac.Attributes;
import dev.weir.policy.route.L4Table;
import dev.weir.proxy.http.Origin;
import dev.weir.proxy.http.Worker;
import dev.weir.proxy.loop.Loop;
import dev.weir.proxy.loop.Open;
import dev.weir.proxy.observe.AccessEntry;
import dev.weir.proxy.observe.Counter;
import dev.weir.proxy.observe.Peer;
import dev.weir.proxy.observe.StreamKey;
import dev.weir.proxy.observe.StreamSeries;
import dev.weir.proxy.outbound.Admission;
import dev.weir.proxy.outbound.Cluster;
import dev.weir.proxy.outbound.Entrance;
import dev.weir.proxy.outbound.Gateway;
import dev.weir.proxy.outbound.Generation;
import dev.weir.proxy.outbound.Inbound;
import dev.weir.proxy.outbound.Source;
import dev.weir.proxy.outbound.Target;
import dev.weir.proxy.resilience.ClusterHealth;
import dev.weir.proxy.tls.ShownCertificate;
import dev.weir.proxy.upstream.Endpoint;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.Channel;
import io.netty.channel.ChannelFutureListener;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.ChannelOption;
import io.netty.channel.socket.ChannelInputShutdownEvent;
import io.netty.channel.socket.DuplexChannel;
import io.netty.handler.ssl.SslCloseCompletionEvent;
import io.netty.handler.ssl.SslHandler;
import io.netty.handler.ssl.SslHandshakeCompletionEvent;
import io.netty.util.ReferenceCountUtil;
import java.net.InetSocketAddress;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * One client connection whose bytes go to a backend as they are, and the backend's back. Each
 * direction ends by itself; whoever is slow holds the other side up. All of it runs on one event
 * loop.
 *
 * <p>Bytes wait in the kernel, not here, until there is a backend; what was read before that (a
 * ClientHello) goes first.
 */
public final class Relay extends ChannelInboundHandlerAdapter implements Endpoint.Dialled {

  /** How long a connection is kept without a byte either way; Envoy's TCP proxy has the same. */
  static final long IDLE_NANOS = TimeUnit.HOURS.toNanos(1);

  /** How long what is left is sent for after one side is gone. */
  static final long LINGER_NANOS = TimeUnit.SECONDS.toNanos(60);

  /** How many backends are tried when connecting fails; nothing was sent then. */
  private static final int MAX_CONNECTS = 3;

  private final Worker worker;
  private final Loop loop;
  private final Origin origin;
  private final ListenerProtocol protocol;
  private final String serverName;
  private final Channel client;
  private final Watch watch = new Watch();
  private final ArrayDeque<ByteBuf> early = new ArrayDeque<>(2);

  private @Nullable Generation generation;
  private @Nullable Cluster cluster;
  private @Nullable Target backend;
  private @Nullable Channel upstream;
  private @Nullable StreamSeries series;
  private Peer source = Peer.NOBODY;
  private Cluster.ServiceName service = Cluster.ServiceName.UNKNOWN;
  private String details = "";
  private final long started;
  private long received;
  private long returned;
  private int connects;
  private List<Endpoint> tried = List.of();
  private boolean begun;

  // What came to an end: what the client sends, what the backend sends; what is sent to them; they.
  private boolean clientEnded;
  private boolean backendEnded;
  private boolean clientShut;
  private boolean upstreamShut;
  private boolean clientGone;
  private boolean upstreamGone;
  private boolean over;
  private long lastActivity;

  /**
   * The end of a new connection's pipeline. It begins with {@link #begin}, or with the end of a TLS
   * handshake where TLS ends here.
   *
   * @param protocol of the listener: TCP, TLS_PASSTHROUGH or TLS_TERMINATE
   * @param serverName that TLS asks for, in lower case; empty when it does not, or is not looked at
   */
  public Relay(
      Worker worker, Origin origin, Channel client, ListenerProtocol protocol, String serverName) {
    this.worker = worker;
    this.loop = worker.loop();
    this.origin = origin;
    this.client = client;
    this.protocol = protocol;
    this.serverName = serverName;
    this.started = loop.nanos();
    this.lastActivity = loop.coarseNanos();
  }

  private final class Watch extends Loop.Watched {
    @Override
    protected void check(long nowNanos) {
      look(nowNanos);
    }

    @Override
    protected Optional<Open> open() {
      return Optional.of(
          Open.client(
              origin.listener(),
              switch (protocol) {
                case TLS_PASSTHROUGH -> "tls passthrough";
                case TLS_TERMINATE -> "tls terminated";
                case TCP, HTTP, HTTPS -> "tcp";
              }));
    }
  }

  @Override
  public void handlerAdded(ChannelHandlerContext ctx) {
    loop.watch(watch);
  }

  // ---- which backend

  /** Looks for a backend; bytes are read when there is one. */
  public void begin() {
    begun = true;
    client.config().setAutoRead(false);
    Generation now = worker.current().get();
    Optional<Entrance> door = entrance(now);
    if (door.isEmpty()) {
      refuse(Counter.UNPLANNED, "NR", Ending.CLOSE);
      return;
    }
    Entrance in = door.get();
    service = in.service();
    Optional<Source> asking = source(now);
    if (asking.isEmpty()) {
      refuse(Counter.UNKNOWN_SOURCE, "-", Ending.CLOSE);
      return;
    }
    Source asks = asking.get();
    source = origin.named(asks, now);
    generation = now;
    Optional<String> barred = barred(in, now, asks, true);
    if (barred.isPresent()) {
      denied(barred.get());
      return;
    }
    Optional<L4Table.Match> match = in.streams().match(serverName);
    if (match.isEmpty()) {
      worker
          .log()
          .refused(
              "closed " + asks.description() + ": no route of " + service.host() + " is for it");
      refuse(
          Counter.NO_ROUTE,
          "NR",
          protocol == ListenerProtocol.TLS_PASSTHROUGH && in.streams().byServerName()
              ? Ending.ALERT
              : Ending.CLOSE);
      return;
    }
    List<Optional<Cluster>> clusters = in.clusters(match.get());
    int index = match.get().schedule().next();
    if (index < 0 || clusters.get(index).isEmpty()) {
      refuse(Counter.NO_BACKEND, "-", Ending.RESET);
      return;
    }
    Cluster picked = clusters.get(index).get();
    cluster = picked;
    service = picked.service();
    if (picked.size() == 0) {
      refuse(Counter.NO_BACKEND, "UH", Ending.RESET);
      return;
    }
    pick(picked, now, asks);
  }

  /** What it came in by, as long as that is what it was. */
  private Optional<Entrance> entrance(Generation within) {
    Optional<Entrance> found =
        switch (origin) {
          case Origin.Workload workload ->
              within.service(workload.destination(), workload.source());
          case Origin.Tunnel tunnel ->
              within.inbound(tunnel.destination()).map(Inbound::connections);
          case Origin.Gateway gateway ->
              within.gateway(gateway.bind()).flatMap(g -> door(g, serverName));
        };
    return found.filter(entrance -> entrance.protocol() == protocol);
  }

  private static Optional<Entrance> door(Gateway gateway, String serverName) {
    return gateway.tls() ? gateway.door(serverName) : Optional.of(gateway.any());
  }

  private Optional<Source> source(Generation within) {
    return switch (origin) {
      case Origin.Workload workload -> within.source(workload.source());
      case Origin.Tunnel tunnel -> within.source(tunnel.source(), tunnel.principal());
      case Origin.Gateway gateway ->
          gateway.source().isPresent()
              ? within.source(gateway.source().getAsInt())
              : Optional.of(within.outside(gateway.peer()));
    };
  }

  /** Takes the next backend, if this source may reach it. */
  private void pick(Cluster from, Generation within, Source asks) {
    Target picked = from.pick(loop, tried);
    backend = picked;
    Optional<String> barred = barred(picked, within, asks, true);
    if (barred.isPresent()) {
      denied(barred.get());
    } else {
      connects++;
      Endpoint wanted = picked.endpoint().by(asks.caller());
      if (from.circuit().mayOpen(loop, wanted)) {
        wanted.dial(loop, this);
      } else {
        overloaded();
      }
    }
  }

  // ---- verdicts

  /** Why a source may not have a backend; empty when it may. */
  private Optional<String> barred(Target to, Generation within, Source asks, boolean report) {
    return barred(Admission.to(to, asks, within, t -> asked(t, asks)), reached(to), asks, report);
  }

  /** Why the policies about a Gateway do not let a source in; empty when they do. */
  private Optional<String> barred(Entrance in, Generation within, Source asks, boolean report) {
    if (origin instanceof Origin.Gateway gateway
        && !ShownCertificate.satisfies(
            client, within.gateway(gateway.bind()).flatMap(g -> g.clients(in)))) {
      return Optional.of(
          asks.description() + ": no certificate that " + in.service().host() + " believes");
    }
    for (AccessRules guard : in.guards()) {
      Attributes asked =
          new AskedOfStream(asks, origin.peer(), Attributes.NOWHERE, localPort(), serverName);
      Optional<String> barred =
          barred(
              Admission.by(guard, within, asked), "Gateway " + in.service().host(), asks, report);
      if (barred.isPresent()) {
        return barred;
      }
    }
    return Optional.empty();
  }

  private Optional<String> barred(Admission admission, String what, Source asks, boolean report) {
    return switch (admission) {
      case Admission.Allowed allowed -> Optional.empty();
      case Admission.Audited(String rule) -> {
        if (report) {
          report(what, rule, asks);
        }
        yield Optional.empty();
      }
      case Admission.Refused(boolean asked, String decision, String rule) ->
          Optional.of(
              asks.description() + " may not connect to " + what + ": " + decision + " by " + rule);
    };
  }

  private Attributes asked(Target to, Source asks) {
    return new AskedOfStream(asks, origin.peer(), to.address(), to.port(), serverName);
  }

  private int localPort() {
    return switch (origin) {
      case Origin.Workload workload -> workload.destination().port();
      case Origin.Tunnel tunnel -> tunnel.destination().port();
      case Origin.Gateway gateway -> gateway.bind().port();
    };
  }

  private static String reached(Target to) {
    return to.description() + " (" + to.endpoint() + ")";
  }

  private void report(String what, String rule, Source asks) {
    worker.metrics().count(Counter.CONNECTION_AUDITED);
    worker
        .log()
        .refused(
            "audit: "
                + asks.description()
                + " may connect to "
                + what
                + " only until "
                + rule
                + " is enforced");
  }

  private void denied(String why) {
    worker.log().refused("closed " + why);
    details = why;
    refuse(Counter.DENIED, "UAEX", Ending.CLOSE);
  }

  /** A new plan is in force: what it does not allow any more ends. */
  private void judge(Generation now, Target to) {
    generation = now;
    Optional<Source> asks = source(now);
    Optional<Target> known = now.target(to.endpoint());
    Optional<String> barred;
    if (asks.isEmpty() || known.isEmpty()) {
      barred = Optional.of("connection to " + reached(to) + ": the plan does not know it any more");
    } else {
      backend = known.get();
      barred =
          entrance(now)
              .flatMap(in -> barred(in, now, asks.get(), false))
              .or(() -> barred(known.get(), now, asks.get(), false));
    }
    if (barred.isPresent()) {
      worker.metrics().count(Counter.REVOKED);
      worker.log().refused("ended " + barred.get());
      details = barred.get();
      abort();
    }
  }

  // ---- the backend's connection

  @Override
  public void connected(Channel channel) {
    Target to = backend;
    if (over || to == null) {
      var _ = channel.close();
      return;
    }
    worker.metrics().count(Counter.UPSTREAM_OPENED);
    if (cluster != null) {
      cluster.health().connected(loop, to.endpoint());
    }
    upstream = channel;
    channel.pipeline().addLast(new Backend());
    StreamSeries counts = worker.metrics().streams(key("-"));
    series = counts;
    counts.open();
    Generation now = worker.current().get();
    if (now != generation) {
      judge(now, to);
      if (over) {
        return;
      }
    }
    lastActivity = loop.coarseNanos();
    if (client instanceof Answerable waits) {
      waits.accept();
    }
    while (!early.isEmpty()) {
      forward(early.poll(), channel, counts);
    }
    channel.flush();
    if (clientEnded) {
      endOutput(channel, false);
    }
    client.config().setAutoRead(channel.isWritable());
  }

  @Override
  public void connectFailed(Throwable cause) {
    worker.metrics().count(Counter.UPSTREAM_FAILED);
    if (cause instanceof Endpoint.TlsFailed) {
      worker.metrics().count(Counter.UPSTREAM_TLS_FAILED);
    }
    Cluster from = cluster;
    Generation within = generation;
    Target to = backend;
    if (over || from == null || within == null || to == null) {
      return;
    }
    Optional<Source> asks = source(within);
    if (!(cause instanceof Endpoint.Overloaded)) {
      from.health().failed(loop, to.endpoint(), ClusterHealth.Failure.CONNECT, cause);
    }
    if (cause instanceof Endpoint.Overloaded) {
      overloaded();
    } else if (from.size() > 1 && connects < MAX_CONNECTS && asks.isPresent()) {
      worker.metrics().count(Counter.RETRIED);
      if (tried.isEmpty()) {
        tried = new ArrayList<>(2);
      }
      tried.add(to.endpoint());
      pick(from, within, asks.get());
    } else {
      worker.log().refused("reset " + reached(to) + ": " + cause.getMessage());
      refuse(Counter.NO_BACKEND, "UF", Ending.RESET);
    }
  }

  private void overloaded() {
    worker.metrics().count(Counter.CIRCUIT_CONNECTIONS);
    refuse(Counter.NO_BACKEND, "UO", Ending.RESET);
  }

  private void forward(ByteBuf bytes, Channel to, StreamSeries counts) {
    counts.receive(bytes.readableBytes());
    received += bytes.readableBytes();
    var _ = to.write(bytes, to.voidPromise());
  }

  private final class Backend extends ChannelInboundHandlerAdapter {
    @Override
    public void channelRead(ChannelHandlerContext ctx, Object message) {
      StreamSeries counts = series;
      if (clientGone || counts == null || !(message instanceof ByteBuf bytes)) {
        ReferenceCountUtil.release(message);
        return;
      }
      lastActivity = loop.coarseNanos();
      counts.send(bytes.readableBytes());
      returned += bytes.readableBytes();
      var _ = client.write(bytes, client.voidPromise());
      if (!client.isWritable()) {
        ctx.channel().config().setAutoRead(false);
      }
    }

    @Override
    public void channelReadComplete(ChannelHandlerContext ctx) {
      client.flush();
    }

    @Override
    public void channelWritabilityChanged(ChannelHandlerContext ctx) {
      if (client.isActive() && !clientEnded) {
        client.config().setAutoRead(ctx.channel().isWritable());
      }
    }

    @Override
    public void userEventTriggered(ChannelHandlerContext ctx, Object event) {
      if (event instanceof ChannelInputShutdownEvent && !encrypted()) {
        backendEnded();
      }
    }

    @Override
    public void channelInactive(ChannelHandlerContext ctx) {
      upstreamGone = true;
      lastActivity = loop.coarseNanos();
      if (!over && !(clientEnded && backendEnded)) {
        if (backendEnded || encrypted()) {
          // Of TLS a cut would have been an error before.
          closeAfterFlush(client);
        } else {
          over = true;
          reset(client);
        }
      }
      finishIfGone();
    }

    @Override
    public void exceptionCaught(ChannelHandlerContext ctx, Throwable cause) {
      if (!over) {
        abort();
      }
    }
  }

  /** Whether TLS with the backend begins here; it has no end of one direction alone. */
  private boolean encrypted() {
    Target to = backend;
    return to != null && to.endpoint().isTls();
  }

  // ---- the client

  @Override
  public void channelRead(ChannelHandlerContext ctx, Object message) {
    Channel to = upstream;
    StreamSeries counts = series;
    if (over || upstreamGone || !(message instanceof ByteBuf bytes)) {
      ReferenceCountUtil.release(message);
    } else if (to == null || counts == null) {
      early.add(bytes);
    } else {
      lastActivity = loop.coarseNanos();
      forward(bytes, to, counts);
      if (!to.isWritable()) {
        client.config().setAutoRead(false);
      }
    }
  }

  @Override
  public void channelReadComplete(ChannelHandlerContext ctx) {
    Channel to = upstream;
    if (to != null) {
      to.flush();
    }
  }

  @Override
  public void channelWritabilityChanged(ChannelHandlerContext ctx) {
    Channel from = upstream;
    // One that has ended reads no more, and is not to be told so: epoll knows it no more.
    if (from != null && from.isActive() && !backendEnded) {
      from.config().setAutoRead(client.isWritable());
    }
  }

  @Override
  public void userEventTriggered(ChannelHandlerContext ctx, Object event) throws Exception {
    switch (event) {
      case ChannelInputShutdownEvent end -> {
        if (protocol != ListenerProtocol.TLS_TERMINATE) {
          clientEnded();
        } else if (!clientEnded) {
          // TLS was not ended before (RFC 8446 6.1): what came may be cut short.
          abort();
        }
      }
      case SslCloseCompletionEvent close -> {
        if (close.isSuccess() && !over) {
          clientEnded();
        }
      }
      case SslHandshakeCompletionEvent handshake -> {
        if (!handshake.isSuccess()) {
          worker.metrics().count(Counter.TLS_FAILED);
          over = true;
          var _ = client.close();
        } else if (!begun) {
          begin();
        }
      }
      default -> super.userEventTriggered(ctx, event);
    }
  }

  @Override
  public void channelInactive(ChannelHandlerContext ctx) {
    clientGone = true;
    lastActivity = loop.coarseNanos();
    releaseEarly();
    Channel to = upstream;
    if (!over && !(clientEnded && backendEnded)) {
      if (to == null) {
        over = true;
      } else if (clientEnded) {
        closeAfterFlush(to);
      } else {
        over = true;
        reset(to);
      }
    }
    finishIfGone();
  }

  @Override
  public void exceptionCaught(ChannelHandlerContext ctx, Throwable cause) {
    if (!over) {
      abort();
    }
  }

  // ---- endings

  private void clientEnded() {
    if (!clientEnded) {
      clientEnded = true;
      Channel to = upstream;
      if (to != null) {
        endOutput(to, false);
      }
      if (backendEnded && clientShut) {
        var _ = client.close();
      }
    }
  }

  private void backendEnded() {
    if (!backendEnded) {
      backendEnded = true;
      endOutput(client, true);
      Channel from = upstream;
      if (clientEnded && upstreamShut && from != null) {
        var _ = from.close();
      }
    }
  }

  /** Ends one direction once all of it is sent; the socket too, when it was the last one. */
  private void endOutput(Channel to, boolean toClient) {
    to.writeAndFlush(Unpooled.EMPTY_BUFFER)
        .addListener(
            sent -> {
              if (!sent.isSuccess()) {
                return; // It is closed, which is seen to elsewhere.
              }
              SslHandler tls = to.pipeline().get(SslHandler.class);
              if (clientEnded && backendEnded || tls != null && toClient) {
                var _ = to.close();
              } else if (tls != null) {
                var _ = tls.closeOutbound();
              } else if (to instanceof DuplexChannel duplex) {
                var _ = duplex.shutdownOutput();
                clientShut |= toClient;
                upstreamShut |= !toClient;
              }
            });
  }

  private static void closeAfterFlush(Channel channel) {
    var _ = channel.writeAndFlush(Unpooled.EMPTY_BUFFER).addListener(ChannelFutureListener.CLOSE);
  }

  /** So that nobody takes what came for all there was: RST, not FIN. */
  private static void reset(Channel channel) {
    if (channel.isActive()) {
      var _ = channel.config().setOption(ChannelOption.SO_LINGER, 0);
    }
    var _ = channel.close();
  }

  private void abort() {
    over = true;
    releaseEarly();
    reset(client);
    Channel to = upstream;
    if (to != null) {
      reset(to);
    }
  }

  private enum Ending {
    CLOSE,
    RESET,
    ALERT
  }

  private void refuse(Counter why, String flags, Ending how) {
    over = true;
    worker.metrics().count(why);
    StreamSeries counts = worker.metrics().streams(key(flags));
    counts.open();
    counts.close();
    tell(flags);
    releaseEarly();
    if (client instanceof Answerable waits) {
      waits.refuse(status(why));
    }
    switch (how) {
      case CLOSE -> {
        var _ = client.close();
      }
      case RESET -> reset(client);
      case ALERT -> {
        var _ =
            client
                .writeAndFlush(Alerts.unrecognizedName())
                .addListener(ChannelFutureListener.CLOSE);
      }
    }
  }

  /** As ztunnel answers, so that whoever is at the other end can tell. */
  private static int status(Counter why) {
    return switch (why) {
      case DENIED, UNKNOWN_SOURCE -> 403;
      case UNPLANNED, NO_ROUTE -> 404;
      default -> 503;
    };
  }

  private StreamKey key(String flags) {
    Target to = backend;
    return new StreamKey(
        source,
        to != null ? to.peer() : service.peer(),
        service.host(),
        service.name(),
        service.namespace(),
        flags,
        origin.reporter());
  }

  private void releaseEarly() {
    while (!early.isEmpty()) {
      early.poll().release();
    }
  }

  private void finishIfGone() {
    if (clientGone && (upstream == null || upstreamGone)) {
      loop.unwatch(watch);
      StreamSeries counts = series;
      series = null;
      if (counts != null) {
        counts.close();
        tell("-");
      }
    }
  }

  private void tell(String flags) {
    Telemetry.AccessLog rules = worker.current().get().telemetry().accessLog();
    if (worker.access().wants(rules, !flags.equals("-"))) {
      Target to = backend;
      worker
          .access()
          .write(
              new AccessEntry(
                  loop.nanos() - started,
                  "",
                  "",
                  "",
                  0,
                  flags,
                  details,
                  received,
                  returned,
                  to == null ? "" : to.endpoint().toString(),
                  "",
                  "",
                  "",
                  "",
                  "",
                  remoteAddress(),
                  "",
                  serverName,
                  source,
                  to != null ? to.peer() : service.peer(),
                  service.host()));
    }
  }

  private String remoteAddress() {
    String port =
        client.remoteAddress() instanceof InetSocketAddress remote ? ":" + remote.getPort() : "";
    return (origin.peer().isV4() ? origin.peer().toString() : "[" + origin.peer() + "]") + port;
  }

  private void look(long now) {
    Target to = backend;
    if (!over && to != null && upstream != null) {
      Generation inForce = worker.current().get();
      if (inForce != generation) {
        judge(inForce, to);
      }
    }
    boolean halfGone = clientGone || upstreamGone || over;
    if (now - lastActivity > (halfGone ? LINGER_NANOS : IDLE_NANOS)) {
      abort();
    }
  }
}
