// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.http;

import dev.weir.policy.plan.ProxyPlan;
import dev.weir.policy.plan.ProxyPlan.Filter;
import dev.weir.policy.plan.Telemetry;
import dev.weir.policy.rbac.AccessRules;
import dev.weir.policy.rbac.Attributes;
import dev.weir.policy.route.Cors;
import dev.weir.policy.route.GrpcStatus;
import dev.weir.policy.route.LocalReply;
import dev.weir.policy.route.RequestTarget;
import dev.weir.policy.route.RequestView;
import dev.weir.policy.route.RetryPolicy;
import dev.weir.policy.route.Rewrites;
import dev.weir.policy.route.RouteAction;
import dev.weir.policy.route.RouteMatch;
import dev.weir.proxy.loop.Loop;
import dev.weir.proxy.observe.AccessEntry;
import dev.weir.proxy.observe.Counter;
import dev.weir.proxy.observe.Peer;
import dev.weir.proxy.observe.Series;
import dev.weir.proxy.observe.SeriesKey;
import dev.weir.proxy.outbound.Action;
import dev.weir.proxy.outbound.Admission;
import dev.weir.proxy.outbound.Cluster;
import dev.weir.proxy.outbound.Entrance;
import dev.weir.proxy.outbound.Generation;
import dev.weir.proxy.outbound.Sessions;
import dev.weir.proxy.outbound.Source;
import dev.weir.proxy.outbound.Target;
import dev.weir.proxy.resilience.ClusterHealth;
import dev.weir.proxy.resilience.RateLimits;
import dev.weir.proxy.resilience.TrafficSplit;
import dev.weir.proxy.upstream.Endpoint;
import dev.weir.proxy.upstream.UpstreamListener;
import dev.weir.proxy.upstream.UpstreamStream;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.ConnectTimeoutException;
import io.netty.handler.codec.http.DefaultFullHttpResponse;
import io.netty.handler.codec.http.DefaultHttpRequest;
import io.netty.handler.codec.http.FullHttpResponse;
import io.netty.handler.codec.http.HttpContent;
import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpHeaderValues;
import io.netty.handler.codec.http.HttpHeaders;
import io.netty.handler.codec.http.HttpMethod;
import io.netty.handler.codec.http.HttpRequest;
import io.netty.handler.codec.http.HttpResponse;
import io.netty.handler.codec.http.HttpResponseStatus;
import io.netty.handler.codec.http.HttpStatusClass;
import io.netty.handler.codec.http.HttpUtil;
import io.netty.handler.codec.http.HttpVersion;
import io.netty.handler.codec.http.LastHttpContent;
import io.netty.util.AsciiString;
import io.netty.util.concurrent.Future;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/** One request and its response. */
final class Exchange implements UpstreamListener, RequestView, Admission.Question {

  private static final AsciiString X_FORWARDED_FOR = AsciiString.cached("x-forwarded-for");
  private static final AsciiString X_FORWARDED_PROTO = AsciiString.cached("x-forwarded-proto");
  private static final AsciiString X_FORWARDED_CLIENT_CERT =
      AsciiString.cached("x-forwarded-client-cert");
  private static final AsciiString RATE_LIMIT = AsciiString.cached("ratelimit");
  private static final AsciiString HTTP = AsciiString.cached("http");
  private static final AsciiString HTTPS = AsciiString.cached("https");
  private static final AsciiString GRPC_STATUS = AsciiString.cached("grpc-status");
  private static final AsciiString GRPC_MESSAGE = AsciiString.cached("grpc-message");
  private static final AsciiString GRPC_TIMEOUT = AsciiString.cached("grpc-timeout");
  private static final AsciiString TEXT_PLAIN = AsciiString.cached("text/plain; charset=utf-8");

  /** Of another protocol than HTTP; as of any connection that is led on as it is. */
  private static final long UPGRADED_IDLE_NANOS = TimeUnit.HOURS.toNanos(1);

  /** Seconds. What is on its way now is mostly over then. */
  private static final String RETRY_AFTER = "1";

  /** How many backends are tried when connecting fails; nothing was sent then. */
  private static final int MAX_CONNECTS = 3;

  private final ClientStream stream;
  private final Client client;
  private final Loop loop;
  private final HttpRequest request;
  private final long started;
  private long lastActivity;

  private RequestTarget target = new RequestTarget("/", "", false);
  private RequestTarget sent = target;
  private String host = "";
  private @Nullable Entrance entrance;
  private @Nullable Source source;
  private @Nullable Generation generation;
  private boolean leaving;
  private @Nullable RouteMatch match;
  private @Nullable Action action;
  private RouteAction.@Nullable Choice choice;
  private @Nullable Cors cors;
  private @Nullable String origin;
  private @Nullable Sessions sessions;
  private Sessions.@Nullable Held held;
  private @Nullable Target pinned;
  private @Nullable String givenKey;
  private int turnIndex;
  private long answeredAt;
  private RateLimits.@Nullable Ticket rates;
  private List<MirroredRequest> mirrors = List.of();
  private @Nullable Cluster cluster;
  private @Nullable Target backend;

  private @Nullable UpstreamStream upstream;
  private boolean connecting;
  private boolean acquiring;
  private int connects;
  private boolean retried;
  private boolean judged;
  private boolean waits;

  // Only where the rule asks for retries.
  private @Nullable RetryPolicy retry;
  private @Nullable ReplayBody replay;
  private @Nullable Attempt attempt;
  private List<Endpoint> tried = List.of();
  private int retries;
  private boolean retrying;
  private long deadline;
  private @Nullable Cluster counted;

  private boolean bodyless;
  private boolean grpc;
  private int grpcStatus = GrpcStatus.NONE;

  private boolean requestComplete;
  private boolean responseStarted;
  // What the client asks to switch to; empty when nothing.
  private String upgrade = "";
  private boolean upgraded;
  private @Nullable HttpResponse switching;
  private boolean interim;
  private boolean interimSent;
  private boolean upstreamKeepAlive;
  private boolean over;
  private List<String> responseTrailers = List.of();

  private int status;
  private String flags = "-";
  private String details = "";
  private String retryAfter = "";
  private long requestBytes;
  private long responseBytes;
  private @Nullable Future<?> requestTimer;
  private @Nullable Future<?> backendTimer;
  private @Nullable Future<?> retryTimer;

  Exchange(ClientStream stream, HttpRequest request) {
    this.stream = stream;
    this.client = stream.client();
    this.loop = client.worker().loop();
    this.request = request;
    this.started = loop.nanos();
    this.lastActivity = loop.coarseNanos();
  }

  // ---- what routes look at

  @Override
  public String method() {
    return request.method().name();
  }

  @Override
  public String host() {
    return host;
  }

  @Override
  public String path() {
    return target.path();
  }

  @Override
  public String query() {
    return target.query();
  }

  @Override
  public @Nullable String header(String name) {
    String first = request.headers().get(name);
    if (first == null) {
      return null;
    }
    List<String> all = request.headers().getAll(name);
    return all.size() == 1 ? first : String.join(", ", all);
  }

  // ---- the way in

  void begin() {
    Optional<RequestChecks.Refusal> refusal = RequestChecks.refusal(request);
    if (refusal.isPresent()) {
      malformed(refusal.get());
      return;
    }
    Optional<RequestChecks.Good> good = RequestChecks.target(request, client.tls());
    if (good.isEmpty()) {
      malformed(
          new RequestChecks.Refusal(
              HttpResponseStatus.BAD_REQUEST, "the request target or Host is not valid"));
      return;
    }
    target = good.get().target();
    sent = target;
    host = good.get().host();
    HttpHeaders headers = request.headers();
    RequestChecks.writePlainly(headers);
    bodyless =
        !headers.contains(HttpHeaderNames.TRANSFER_ENCODING)
            && (!headers.contains(HttpHeaderNames.CONTENT_LENGTH)
                || "0".equals(headers.get(HttpHeaderNames.CONTENT_LENGTH)));
    grpc = GrpcStatus.isCall(headers.get(HttpHeaderNames.CONTENT_TYPE));
    generation = client.pinGeneration();
    leaving = client.leaving();
    if (client.source().isEmpty()) {
      // The plan no longer knows who this is: nothing can be decided for it.
      client.worker().metrics().count(Counter.UNKNOWN_SOURCE);
      stream.abort();
      return;
    }
    source = client.source().get();
    entrance = client.entrance().orElseThrow();
    if (client.worker().pressure().high()) {
      client.worker().metrics().count(Counter.SHED);
      retryAfter = RETRY_AFTER;
      reply(HttpResponseStatus.SERVICE_UNAVAILABLE, "OM", "overloaded");
      return;
    }
    Optional<Entrance> door = client.entrance(host);
    if (door.isEmpty()) {
      reply(LocalReply.NO_ROUTE, "NR");
      return;
    }
    Entrance in = door.get();
    entrance = in;
    if (client.misdirected(in)) {
      reply(LocalReply.MISDIRECTED, "NR");
      return;
    }
    if (!passes(in, generation, source)) {
      return;
    }
    Optional<RouteMatch> found = in.table().match(this);
    if (found.isEmpty()) {
      reply(LocalReply.NO_ROUTE, "NR");
      return;
    }
    match = found.get();
    grpc |= match.route().kind() == ProxyPlan.RouteKind.GRPC;
    action = in.action(match);
    if (action.route().cors().isPresent()) {
      cors = action.route().cors().get();
      if (Cors.isPreflight(this)) {
        preflight(cors, action.route());
        return;
      }
      // Now: the route's filters may change what the backend is told of it.
      origin = header("origin");
    }
    if (!mayCome(in, action, source)) {
      return;
    }
    if (action.route().redirect().isPresent()) {
      redirect(action.route().redirect().get(), match);
      return;
    }
    choose(action, match);
  }

  /** Whether no rate has it as one too many. */
  private boolean mayCome(Entrance in, Action met, Source asks) {
    if (in.rates().isEmpty() && met.rates().isEmpty()) {
      return true;
    }
    RateLimits.Ticket ticket = in.rates().take(met.rates(), this, asks.rateKey(), loop.nanos());
    rates = ticket;
    if (ticket.refused()) {
      client.worker().metrics().count(Counter.RATE_LIMITED);
      details = "rate limit of " + ticket.by();
      reply(LocalReply.RATE_LIMITED, "RL");
      return false;
    }
    return true;
  }

  private void choose(Action chosen, RouteMatch matched) {
    if (chosen.sessions().isPresent()) {
      Sessions kept = chosen.sessions().get();
      sessions = kept;
      held = kept.of(this).filter(h -> !chosen.split().isOut(h.place().choice())).orElse(null);
      pinned = held == null ? null : held.place().target();
    }
    int index =
        held == null
            ? chosen.split().choose(matched.schedule(), clientKey(chosen.split()))
            : held.place().choice();
    if (index < 0 || chosen.clusters().get(index).isEmpty()) {
      reply(LocalReply.NO_VALID_BACKEND, "-");
      return;
    }
    turnIndex = index;
    RouteAction.Choice turn = chosen.route().choices().get(index);
    choice = turn;
    Cluster picked = chosen.clusters().get(index).get();
    cluster = picked;
    if (picked.size() == 0) {
      reply(
          HttpResponseStatus.valueOf(LocalReply.NO_ENDPOINT.status()),
          "UH",
          picked.name() + " has " + LocalReply.NO_ENDPOINT.text());
      return;
    }
    // First what the filters make of it: a backend's policies are about what the backend gets.
    Optional<HttpHeaders> copied = prepare(chosen, turn, matched);
    if (!pick(picked)) {
      return;
    }
    if (!picked.circuit().begin(loop)) {
      overloaded(Counter.CIRCUIT_REQUESTS, "too many requests to the backend");
      return;
    }
    counted = picked;
    if (copied.isPresent()) {
      mirror(chosen, copied.get());
    }
    long timeout = TimeUnit.MILLISECONDS.toNanos(chosen.route().requestTimeoutMillis());
    String asked = grpc ? request.headers().get(GRPC_TIMEOUT) : null;
    if (asked != null) {
      OptionalLong given = GrpcStatus.timeoutNanos(asked);
      if (given.isPresent() && (timeout == 0 || given.getAsLong() < timeout)) {
        timeout = Math.max(1, given.getAsLong());
      }
    }
    if (timeout > 0) {
      deadline = loop.nanos() + timeout;
      requestTimer = loop.executor().schedule(this::timedOut, timeout, TimeUnit.NANOSECONDS);
    }
    if (chosen.route().retry().isPresent()) {
      retry = chosen.route().retry().get();
    }
    if (!bodyless && (retry != null || versionOf(picked) == Endpoint.Version.HTTP_2)) {
      // A connection of HTTP/2 may be leaving when a request comes by it.
      replay = new ReplayBody(client.worker().bodies(), client.allocator());
    }
    connect(false);
  }

  /**
   * What tells the client from others, where a rule splits its clients; given it if it has none.
   */
  private @Nullable String clientKey(TrafficSplit split) {
    Source asks = source;
    String key = split.key(this, asks != null && asks.workload() ? asks.description() : "");
    if (key == null && split.givesKeys()) {
      key = RequestIds.next(loop.random()).toString();
      givenKey = key;
    }
    return key;
  }

  /** Takes the next backend, if this source may reach it. */
  private boolean pick(Cluster from) {
    Target stays = pinned;
    pinned = null;
    Target picked = stays != null ? stays : from.pick(loop, tried);
    Source asks = source;
    Generation within = generation;
    if (asks == null || within == null) {
      return false;
    }
    if (leaving) {
      // The route is an older generation's, and so are its numbers; the verdict is not.
      Optional<Target> known = within.target(picked.endpoint());
      if (known.isEmpty()) {
        reply(HttpResponseStatus.NOT_FOUND, "NR", "nothing is planned for this address any more");
        return false;
      }
      picked = known.get();
    }
    backend = picked;
    return switch (Admission.to(picked, asks, within, this)) {
      case Admission.Allowed allowed -> true;
      case Admission.Audited(String rule) -> {
        audited(asks, reached(picked), rule);
        yield true;
      }
      case Admission.Refused(boolean asked, String decision, String rule) -> {
        forbidden(asks, (asked ? asking() + " of " : "reach ") + reached(picked), decision, rule);
        yield false;
      }
    };
  }

  @Override
  public Attributes asked(Target to) {
    return asked(request, to);
  }

  private Attributes asked(HttpRequest copy, Target to) {
    return new AskedOfBackend(
        copy,
        sent,
        Objects.requireNonNull(source),
        client.origin().peer(),
        to.address(),
        to.port(),
        client.serverName());
  }

  private static String reached(Target picked) {
    return picked.description() + " (" + picked.endpoint() + ")";
  }

  /** Whether the policies about requests through a gateway let this one pass. */
  private boolean passes(Entrance in, Generation within, Source asks) {
    if (in.guards().isEmpty()) {
      return true;
    }
    AskedOfBackend asked =
        new AskedOfBackend(
            request,
            target,
            asks,
            client.origin().peer(),
            Attributes.NOWHERE,
            client.localPort(),
            client.serverName());
    for (AccessRules guard : in.guards()) {
      String gateway = "Gateway " + in.service().host();
      switch (Admission.by(guard, within, asked)) {
        case Admission.Allowed allowed -> {}
        case Admission.Audited(String rule) -> audited(asks, gateway, rule);
        case Admission.Refused(boolean asking, String decision, String rule) -> {
          forbidden(asks, asking() + " of " + gateway, decision, rule);
          return false;
        }
      }
    }
    return true;
  }

  private void audited(Source asks, String what, String rule) {
    client.worker().metrics().count(Counter.AUDITED);
    client
        .worker()
        .log()
        .refused(
            "audit: "
                + asks.description()
                + " may "
                + asking()
                + " of "
                + what
                + " only until "
                + rule
                + " is enforced");
  }

  private String asking() {
    return "ask " + request.method().name() + " " + sent.path();
  }

  private void forbidden(Source asks, String what, String decision, String rule) {
    client.worker().metrics().count(Counter.FORBIDDEN);
    client
        .worker()
        .log()
        .refused(
            "403 " + asks.description() + " may not " + what + ": " + decision + " by " + rule);
    details = decision + " by " + rule;
    if (rates != null) {
      rates.giveBack();
      rates = null;
    }
    reply(LocalReply.FORBIDDEN, "-");
  }

  /**
   * Makes of the request what the backend gets.
   *
   * @return the headers that mirrors get, where the rule has any
   */
  private Optional<HttpHeaders> prepare(Action asked, RouteAction.Choice turn, RouteMatch matched) {
    RouteAction chosen = asked.route();
    HttpHeaders headers = request.headers();
    Optional<String> wanted =
        bodyless && !stream.http2() ? Hops.upgrade(request) : Optional.empty();
    Hops.stripRequest(headers);
    upgrade = wanted.orElse("");
    if (wanted.isPresent()) {
      Hops.upgrade(headers, upgrade);
    }
    if (request.protocolVersion().equals(HttpVersion.HTTP_1_0)) {
      request.setProtocolVersion(HttpVersion.HTTP_1_1);
      if (!headers.contains(HttpHeaderNames.HOST) && cluster != null) {
        headers.set(HttpHeaderNames.HOST, cluster.service().host());
      }
    }
    forwarded(headers);
    Optional<HttpHeaders> copied = Optional.empty();
    if (!asked.mirrors().isEmpty()) {
      HttpHeaders copy = headers.copy();
      // A mirror gets the body as it comes; it is not asked whether it wants it.
      copy.remove(HttpHeaderNames.EXPECT);
      copy.remove(HttpHeaderNames.CONNECTION);
      copy.remove(HttpHeaderNames.UPGRADE);
      chosen.editMirrored(copy, FieldEditor.INSTANCE);
      copied = Optional.of(copy);
    }
    chosen.editRequest(headers, FieldEditor.INSTANCE, turn);
    RequestTarget out = chosen.target(target, matched);
    sent = out;
    String text = out.text();
    if (!text.equals(request.uri())) {
      request.setUri(text);
    }
    return copied;
  }

  /** Sends copies to the mirrors whose turn it is. */
  private void mirror(Action chosen, HttpHeaders copied) {
    for (Action.Mirror mirror : chosen.mirrors()) {
      if (mirror.share().next() == 0) {
        HttpRequest copy =
            new DefaultHttpRequest(
                request.protocolVersion(), request.method(), request.uri(), copied.copy());
        Optional<Target> to = mayReach(mirror.cluster().pick(loop), copy);
        if (to.isPresent() && source != null) {
          MirroredRequest sending =
              MirroredRequest.send(
                  client.worker(),
                  to.get().endpoint().by(source.caller()),
                  versionOf(mirror.cluster()),
                  copy,
                  bodyless,
                  client.allocator());
          if (sending != null && !bodyless) {
            if (mirrors.isEmpty()) {
              mirrors = new ArrayList<>(1);
            }
            mirrors.add(sending);
          }
        }
      }
    }
  }

  /** A mirror, if the client might have sent the copy itself. */
  private Optional<Target> mayReach(Target mirror, HttpRequest copy) {
    Source asks = source;
    Generation within = generation;
    if (asks == null || within == null) {
      return Optional.empty();
    }
    Optional<Target> known = leaving ? within.target(mirror.endpoint()) : Optional.of(mirror);
    if (known.isPresent()
        && Admission.to(known.get(), asks, within, to -> asked(copy, to))
            instanceof Admission.Refused(boolean asked, String decision, String rule)) {
      client.worker().metrics().count(Counter.MIRROR_LOST);
      client
          .worker()
          .log()
          .refused(
              "not mirrored: "
                  + asks.description()
                  + " may not reach "
                  + reached(known.get())
                  + ": "
                  + rule);
      return Optional.empty();
    }
    return known;
  }

  /** Headers that tell the backend about the client. */
  private void forwarded(HttpHeaders headers) {
    boolean trusted = source != null && source.workload();
    AsciiString peer = client.peerText();
    String before = trusted ? header("x-forwarded-for") : null;
    headers.set(X_FORWARDED_FOR, before == null ? peer : before + ", " + peer);
    headers.set(X_FORWARDED_PROTO, client.tls() ? HTTPS : HTTP);
    headers.remove(X_FORWARDED_CLIENT_CERT);
    RequestIds.pass(headers, loop.random());
    if (generation != null) {
      TraceContext.pass(headers, generation.telemetry().tracing(), loop.random());
    }
  }

  /** Answers a browser that asks what a page may send. */
  private void preflight(Cors asked, RouteAction route) {
    status = Cors.PREFLIGHT_STATUS;
    FullHttpResponse response =
        new DefaultFullHttpResponse(
            HttpVersion.HTTP_1_1, HttpResponseStatus.valueOf(status), Unpooled.EMPTY_BUFFER);
    asked.answerPreflight(this, response.headers(), FieldEditor.INSTANCE);
    route.response().apply(response.headers(), FieldEditor.INSTANCE);
    local(response);
  }

  private void redirect(Filter.Redirect redirect, RouteMatch matched) {
    String location =
        Rewrites.location(
                redirect,
                client.tls() ? "https" : "http",
                host,
                client.localPort(),
                target,
                matched)
            .text();
    status = redirect.status();
    FullHttpResponse response =
        new DefaultFullHttpResponse(
            HttpVersion.HTTP_1_1, HttpResponseStatus.valueOf(status), Unpooled.EMPTY_BUFFER);
    response.headers().set(HttpHeaderNames.LOCATION, location);
    if (cors != null) {
      cors.editResponse(origin, response.headers(), FieldEditor.INSTANCE);
    }
    if (action != null) {
      action.route().response().apply(response.headers(), FieldEditor.INSTANCE);
    }
    local(response);
  }

  // ---- towards the backend

  private void connect(boolean fresh) {
    Target to = backend;
    Source asks = source;
    if (to == null || asks == null || !mayConnect(to.endpoint().by(asks.caller()), fresh)) {
      return;
    }
    connecting = true;
    judged = false;
    connects++;
    if (action != null && action.route().backendTimeoutMillis() > 0) {
      backendTimer =
          loop.executor()
              .schedule(
                  this::attemptTimedOut,
                  action.route().backendTimeoutMillis(),
                  TimeUnit.MILLISECONDS);
    }
    UpstreamListener listener = this;
    if (retry != null) {
      Attempt next = new Attempt();
      attempt = next;
      listener = next;
    }
    acquiring = true;
    to.endpoint().by(asks.caller()).acquire(loop, listener, versionOf(cluster), fresh);
    acquiring = false;
  }

  /** Whether there may be a connection for it, where one has to be opened. */
  private boolean mayConnect(Endpoint to, boolean fresh) {
    Cluster from = cluster;
    if (from == null || !fresh && to.ready(loop, versionOf(from))) {
      return true;
    }
    return switch (from.circuit().takeWaiting(loop, to)) {
      case ALLOWED -> {
        waits = true;
        yield true;
      }
      case CONNECTIONS -> {
        overloaded(Counter.CIRCUIT_CONNECTIONS, "too many connections to the backend");
        yield false;
      }
      case WAITING -> {
        overloaded(Counter.CIRCUIT_WAITING, "too many requests wait for the backend");
        yield false;
      }
    };
  }

  /** No connection is waited for any more. */
  private void waited() {
    if (waits && cluster != null) {
      waits = false;
      cluster.circuit().giveWaiting();
    }
  }

  private void overloaded(Counter why, String text) {
    client.worker().metrics().count(why);
    connecting = false;
    reply(HttpResponseStatus.SERVICE_UNAVAILABLE, "UO", text);
  }

  /**
   * What the request is sent in: a call of gRPC is one of HTTP/2, whatever its backend's port says.
   */
  private Endpoint.Version versionOf(@Nullable Cluster to) {
    boolean http2 =
        grpc
            || upgrade.isEmpty()
                && to != null
                && switch (to.protocol()) {
                  case HTTP_1 -> false;
                  case HTTP_2 -> true;
                  case AS_CLIENT -> stream.http2();
                };
    return http2 ? Endpoint.Version.HTTP_2 : Endpoint.Version.HTTP_1;
  }

  /**
   * One try of a request that may have several: what still comes of one that was given up is not
   * for this exchange.
   */
  private final class Attempt implements UpstreamListener {

    private boolean current() {
      return attempt == this;
    }

    @Override
    public void connected(UpstreamStream connection) {
      if (current()) {
        Exchange.this.connected(connection);
      } else {
        connection.release();
      }
    }

    @Override
    public void connectFailed(Throwable cause) {
      if (current()) {
        Exchange.this.connectFailed(cause);
      } else {
        client.worker().metrics().count(Counter.UPSTREAM_FAILED);
      }
    }

    @Override
    public void response(HttpResponse response) {
      if (current()) {
        Exchange.this.response(response);
      }
    }

    @Override
    public void content(HttpContent content) {
      if (current()) {
        Exchange.this.content(content);
      } else {
        content.release();
      }
    }

    @Override
    public void readComplete() {
      Exchange.this.readComplete();
    }

    @Override
    public void writabilityChanged() {
      if (current()) {
        Exchange.this.writabilityChanged();
      }
    }

    @Override
    public void closed(Throwable cause) {
      if (current()) {
        Exchange.this.closed(cause);
      }
    }

    @Override
    public void refused(Throwable cause) {
      if (current()) {
        Exchange.this.refused(cause);
      }
    }

    @Override
    public void malformed(Throwable cause) {
      if (current()) {
        Exchange.this.malformed(cause);
      }
    }
  }

  /**
   * Begins another try after one that failed, if the rule, the time, the body and the budget let
   * it. The connection of the one that failed is closed, unless somebody took it before.
   */
  private boolean tryAgain() {
    RetryPolicy policy = retry;
    Cluster from = cluster;
    if (policy == null
        || from == null
        || backend == null
        || responseStarted
        || interimSent
        || retries >= policy.attempts()
        || !(bodyless || replay != null && replay.whole())) {
      return false;
    }
    long delay = policy.delayMillis(retries + 1, loop.random());
    if (deadline != 0 && loop.nanos() + TimeUnit.MILLISECONDS.toNanos(delay) - deadline >= 0) {
      // The request's own time would be over by then: what is known now is the better answer.
      return false;
    }
    if (!retrying && !from.circuit().takeRetry()) {
      client.worker().metrics().count(Counter.RETRY_OVERFLOW);
      return false;
    }
    client.worker().metrics().count(Counter.RETRIED);
    retrying = true;
    retries++;
    triedBackend();
    waited();
    cancel(backendTimer);
    attempt = null;
    UpstreamStream left = upstream;
    upstream = null;
    if (left != null) {
      left.close();
    }
    connecting = true;
    retryTimer = loop.executor().schedule(this::nextTry, delay, TimeUnit.MILLISECONDS);
    return true;
  }

  private void triedBackend() {
    Target last = backend;
    if (last != null) {
      if (tried.isEmpty()) {
        tried = new ArrayList<>(2);
      }
      tried.add(last.endpoint());
    }
  }

  private void nextTry() {
    Cluster from = cluster;
    if (over || from == null || !pick(from)) {
      return;
    }
    lastActivity = loop.coarseNanos();
    connect(false);
    // Over a connection that was there the request lies written: nobody else sends it.
    stream.drain();
  }

  /** The backend answered a call; told once per try. */
  private void answered(int status) {
    answered(status, GrpcStatus.isServerError(status));
  }

  private void answered(int told, boolean error) {
    Cluster from = cluster;
    Target to = backend;
    if (!judged && from != null && to != null) {
      judged = true;
      from.health().answered(loop, to.endpoint(), told, error);
    }
  }

  /** The backend did not answer a try; told once per try. */
  private void failed(ClusterHealth.Failure how, @Nullable Throwable cause) {
    Cluster from = cluster;
    Target to = backend;
    if (!judged && from != null && to != null) {
      judged = true;
      from.health().failed(loop, to.endpoint(), how, cause);
    }
  }

  /** Time is over; the backend is to blame where it had all of the request. */
  private void late() {
    if (!responseStarted && (requestComplete || bodyless)) {
      failed(ClusterHealth.Failure.NO_ANSWER, null);
    }
  }

  /** A single try took too long. */
  private void attemptTimedOut() {
    if (!over) {
      late();
    }
    if (!over && !tryAgain()) {
      timedOut();
    }
  }

  private void noMoreTries() {
    if (retrying && cluster != null) {
      retrying = false;
      cluster.circuit().giveRetry();
    }
    if (replay != null) {
      replay.release();
      replay = null;
    }
  }

  @Override
  public void connected(UpstreamStream connection) {
    connecting = false;
    waited();
    if (over) {
      // Whoever wanted it is gone; nothing was sent on it, so it is as good as new.
      connection.release();
      return;
    }
    upstream = connection;
    if (!connection.reused()) {
      client.worker().metrics().count(Counter.UPSTREAM_OPENED);
    }
    connection.expectHead(request.method().equals(HttpMethod.HEAD));
    if (!stream.isWritable()) {
      connection.reading(false);
    }
    connection.write(request);
    if (bodyless) {
      connection.write(LastHttpContent.EMPTY_LAST_CONTENT);
    } else if (replay != null) {
      replay.writeTo(connection);
    }
    if (!acquiring) {
      stream.drain();
    }
  }

  @Override
  public void connectFailed(Throwable cause) {
    connecting = false;
    waited();
    if (over) {
      return;
    }
    client.worker().metrics().count(Counter.UPSTREAM_FAILED);
    if (cause instanceof Endpoint.TlsFailed) {
      client.worker().metrics().count(Counter.UPSTREAM_TLS_FAILED);
    }
    cancel(backendTimer);
    Cluster from = cluster;
    if (!(cause instanceof Endpoint.Overloaded)) {
      failed(ClusterHealth.Failure.CONNECT, cause);
    }
    if (cause instanceof Endpoint.Overloaded) {
      overloaded(Counter.CIRCUIT_CONNECTIONS, "too many connections to the backend");
    } else if (retry == null && from != null && from.size() > 1 && connects < MAX_CONNECTS) {
      client.worker().metrics().count(Counter.RETRIED);
      triedBackend();
      if (pick(from)) {
        connect(false);
        stream.drain();
      }
    } else if (!tryAgain()) {
      client.worker().log().refused("502 " + describeBackend() + ": " + cause.getMessage());
      boolean late = cause instanceof ConnectTimeoutException;
      reply(
          late ? HttpResponseStatus.GATEWAY_TIMEOUT : HttpResponseStatus.BAD_GATEWAY,
          "UF",
          "the backend cannot be reached");
    }
  }

  private String describeBackend() {
    Target to = backend;
    return to == null ? "no backend" : to.description() + " (" + to.endpoint() + ")";
  }

  /** How long there may be no byte either way, in nanoseconds. */
  long idleNanos() {
    return upgraded ? UPGRADED_IDLE_NANOS : ServerConnection.STREAM_IDLE_NANOS;
  }

  /** Whether the request's body has to wait for a connection. */
  boolean holdsContent() {
    return connecting && !bodyless;
  }

  boolean requestComplete() {
    return requestComplete;
  }

  long lastActivity() {
    return lastActivity;
  }

  /** Part of the request's body, with its reference. */
  void requestContent(HttpContent content) {
    if (content.decoderResult().isFailure()) {
      content.release();
      client.worker().metrics().count(Counter.MALFORMED);
      stream.distrust();
      if (responseStarted) {
        end("DPE");
        stream.abort();
      } else {
        reply(HttpResponseStatus.BAD_REQUEST, "DPE", "the request's body is malformed");
      }
      return;
    }
    lastActivity = loop.coarseNanos();
    requestBytes += content.content().readableBytes();
    boolean last = content instanceof LastHttpContent;
    if (last) {
      requestComplete = true;
    }
    UpstreamStream to = upstream;
    if (to == null || bodyless) {
      content.release();
    } else {
      if (last) {
        Hops.sieveTrailers(
            ((LastHttpContent) content).trailingHeaders(),
            request.headers().getAll(HttpHeaderNames.TRAILER),
            stream.http2());
      }
      if (replay != null) {
        replay.keep(content);
      }
      if (!mirrors.isEmpty()) {
        mirrors.forEach(mirror -> mirror.requestContent(content));
      }
      to.write(content);
    }
  }

  void flushRequest() {
    UpstreamStream to = upstream;
    if (to != null) {
      to.flush();
    }
    if (!mirrors.isEmpty()) {
      mirrors.forEach(MirroredRequest::flush);
    }
  }

  /** Whether more of the request's body has a place to go. */
  boolean takesMore() {
    UpstreamStream to = upstream;
    return requestComplete || bodyless || (to == null ? !connecting : to.isWritable());
  }

  void clientWritabilityChanged() {
    UpstreamStream from = upstream;
    if (from != null) {
      from.reading(stream.isWritable());
    }
  }

  // ---- from the backend

  @Override
  public void response(HttpResponse response) {
    lastActivity = loop.coarseNanos();
    if (response.status().codeClass() == HttpStatusClass.INFORMATIONAL) {
      interim(response);
      return;
    }
    HttpHeaders headers = response.headers();
    if (responseStarted || !framingIsPlain(headers)) {
      bad("the backend's response is malformed");
      return;
    }
    String early = grpc ? headers.get(GRPC_STATUS) : null;
    if (early != null) {
      answered(GrpcStatus.of(early));
    } else if (!grpc || response.status().code() != 200) {
      answered(response.status().code(), response.status().code() >= 500);
    }
    if (retry != null && retriedInstead(response)) {
      return;
    }
    responseStarted = true;
    noMoreTries();
    if (action != null && action.split().measures()) {
      answeredAt = loop.nanos();
    }
    cancel(backendTimer);
    status = response.status().code();
    if (grpc) {
      // Without content it comes with the head; without any, status of HTTP says what it is.
      String told = headers.get(GRPC_STATUS);
      grpcStatus =
          told != null ? GrpcStatus.of(told) : status == 200 ? 2 : GrpcStatus.ofHttp(status);
    }
    upstreamKeepAlive = HttpUtil.isKeepAlive(response);
    responseTrailers = headers.getAll(HttpHeaderNames.TRAILER);
    Hops.strip(headers);
    if (cors != null) {
      cors.editResponse(origin, headers, FieldEditor.INSTANCE);
    }
    if (action != null && choice != null) {
      action.route().editResponse(headers, FieldEditor.INSTANCE, choice);
    }
    Target answered = backend;
    RouteMatch met = match;
    if (sessions != null && answered != null && met != null) {
      sessions.write(headers, FieldEditor.INSTANCE, held, answered.endpoint(), met, client.tls());
    }
    if (rates != null) {
      rates.write(headers, FieldEditor.INSTANCE, headers.contains(RATE_LIMIT));
    }
    String given = givenKey;
    if (given != null
        && action != null
        && headers.getAll(HttpHeaderNames.SET_COOKIE).stream().noneMatch(action.split()::isKey)) {
      action.split().give(headers, FieldEditor.INSTANCE, given, client.tls());
    }
    stream.respond(response);
  }

  /** Whether the response is one that the rule wants another one for, and there will be one. */
  private boolean retriedInstead(HttpResponse response) {
    RetryPolicy policy = retry;
    if (policy == null || !policy.covers(response.status().code())) {
      return false;
    }
    UpstreamStream from = upstream;
    boolean sentAll = requestComplete || bodyless;
    if (sentAll) {
      upstream = null;
    }
    if (tryAgain()) {
      if (sentAll && from != null) {
        from.discard(HttpUtil.isKeepAlive(response));
      }
      return true;
    }
    upstream = from;
    if (retries >= policy.attempts()) {
      flags = "URX";
    }
    return false;
  }

  /**
   * Whether the encoding is none or chunked: another one was not asked for (TE is not passed on).
   */
  private static boolean framingIsPlain(HttpHeaders headers) {
    if (!headers.contains(HttpHeaderNames.TRANSFER_ENCODING)) {
      return true;
    }
    List<String> codings = headers.getAll(HttpHeaderNames.TRANSFER_ENCODING);
    return codings.size() == 1
        && HttpHeaderValues.CHUNKED.contentEqualsIgnoreCase(codings.getFirst());
  }

  private void interim(HttpResponse response) {
    if (response.status().equals(HttpResponseStatus.SWITCHING_PROTOCOLS)) {
      List<String> to = response.headers().getAll(HttpHeaderNames.UPGRADE);
      if (upgrade.isEmpty() || to.size() != 1 || !to.getFirst().equalsIgnoreCase(upgrade)) {
        bad("the backend switched protocols unasked");
      } else {
        upgraded(response);
      }
      return;
    }
    interim = true;
    Hops.strip(response.headers());
    interimSent |= stream.interim(response);
  }

  /**
   * Both sides speak another protocol now: there are no more tries, requests or timeouts of HTTP.
   */
  private void upgraded(HttpResponse response) {
    responseStarted = true;
    noMoreTries();
    cancel(backendTimer);
    cancel(requestTimer);
    status = response.status().code();
    HttpHeaders headers = response.headers();
    Hops.strip(headers);
    if (action != null && choice != null) {
      action.route().editResponse(headers, FieldEditor.INSTANCE, choice);
    }
    Hops.upgrade(headers, upgrade);
    // When the end of the head is there: what comes after it is not HTTP.
    switching = response;
  }

  private void told(HttpResponse response) {
    if (!stream.upgrade(response)) {
      end("DPE");
      stream.abort();
    }
  }

  private void switched(HttpResponse response) {
    switching = null;
    upgraded = true;
    bodyless = false;
    requestComplete = false;
    UpstreamStream to = upstream;
    if (to != null) {
      to.upgrade(() -> told(response));
      stream.flush();
      stream.updateReading();
    }
  }

  @Override
  public void content(HttpContent content) {
    HttpResponse next = switching;
    if (next != null) {
      content.release();
      switched(next);
      return;
    }
    if (interim) {
      interim = !(content instanceof LastHttpContent);
      content.release();
      return;
    }
    lastActivity = loop.coarseNanos();
    responseBytes += content.content().readableBytes();
    if (!(content instanceof LastHttpContent last)) {
      stream.write(content);
      return;
    }
    HttpHeaders trailers = last.trailingHeaders();
    Hops.sieveTrailers(trailers, responseTrailers, versionOf(cluster) == Endpoint.Version.HTTP_2);
    if (grpc && !trailers.isEmpty()) {
      grpcStatus = GrpcStatus.of(trailers.get(GRPC_STATUS));
    }
    if (grpc) {
      answered(grpcStatus);
    }
    stream.write(content);
    boolean sentAll = requestComplete || bodyless;
    UpstreamStream from = upstream;
    upstream = null;
    if (from != null) {
      if (upstreamKeepAlive && sentAll) {
        from.release();
      } else {
        from.close();
      }
    }
    end(flags);
    stream.exchangeDone();
  }

  @Override
  public void readComplete() {
    stream.flush();
  }

  @Override
  public void writabilityChanged() {
    stream.updateReading();
  }

  @Override
  public void closed(Throwable cause) {
    UpstreamStream from = upstream;
    upstream = null;
    if (over) {
      return;
    }
    if (upgraded) {
      // However that protocol ends: nothing of HTTP is left unfinished.
      end(flags);
      stream.exchangeDone();
      return;
    }
    if (!responseStarted
        && !interim
        && from != null
        && from.reused()
        && !retried
        && bodyless
        && idempotent()) {
      // The backend closed an idle connection just as the request went out. Sending it again does
      // no harm: it is idempotent and there is no body to have been lost.
      retried = true;
      client.worker().metrics().count(Counter.RETRIED);
      cancel(backendTimer);
      connect(true);
      return;
    }
    // Of a call the answer is its trailers.
    if (!responseStarted || grpc) {
      failed(ClusterHealth.Failure.NO_ANSWER, cause);
    }
    if (tryAgain()) {
      return;
    }
    if (responseStarted) {
      client.worker().log().refused("aborted: " + describeBackend() + ": " + cause.getMessage());
      end("UC");
      stream.abort();
    } else {
      client.worker().log().refused("502 " + describeBackend() + ": " + cause.getMessage());
      reply(HttpResponseStatus.BAD_GATEWAY, "UC", "the backend closed the connection");
    }
  }

  /** Nothing came of it, so that it may be sent once more, as long as all of it is still there. */
  @Override
  public void refused(Throwable cause) {
    upstream = null;
    if (!over && !responseStarted && !retried && (bodyless || replay != null && replay.whole())) {
      retried = true;
      client.worker().metrics().count(Counter.RETRIED);
      cancel(backendTimer);
      connect(true);
    } else {
      closed(cause);
    }
  }

  @Override
  public void malformed(Throwable cause) {
    upstream = null;
    if (!over) {
      bad("the backend's response is malformed");
    }
  }

  private boolean idempotent() {
    HttpMethod method = request.method();
    return method.equals(HttpMethod.GET)
        || method.equals(HttpMethod.HEAD)
        || method.equals(HttpMethod.OPTIONS)
        || method.equals(HttpMethod.PUT)
        || method.equals(HttpMethod.DELETE)
        || method.equals(HttpMethod.TRACE);
  }

  private void bad(String why) {
    if (!responseStarted) {
      failed(ClusterHealth.Failure.NO_ANSWER, null);
    }
    client.worker().log().refused("502 " + describeBackend() + ": " + why);
    if (responseStarted) {
      end("UPE");
      stream.abort();
    } else {
      reply(HttpResponseStatus.BAD_GATEWAY, "UPE", why);
    }
  }

  // ---- endings

  /** A deadline of the request passed. */
  void timedOut() {
    if (over) {
      return;
    }
    if (responseStarted) {
      end("UT");
      stream.abort();
    } else {
      late();
      reply(
          HttpResponseStatus.GATEWAY_TIMEOUT,
          GrpcStatus.DEADLINE_EXCEEDED,
          "UT",
          "the backend did not answer in time");
    }
  }

  /** The body comes too slowly. */
  void bodyTimedOut() {
    stream.distrust();
    reply(HttpResponseStatus.REQUEST_TIMEOUT, "-", "the request's body did not arrive in time");
  }

  /**
   * Whether more of the request has to come before there can be a response. Of a call of gRPC
   * nobody knows: messages may come one by one, and a deadline is its own.
   */
  boolean awaitsBody() {
    return !requestComplete && !responseStarted && !grpc;
  }

  /** The rest of the head did not come. */
  void headTimedOut() {
    stream.distrust();
    var _ = client.pinGeneration();
    source = client.source().orElse(null);
    entrance = client.entrance().orElse(null);
    reply(HttpResponseStatus.REQUEST_TIMEOUT, "-", "the request's head did not arrive in time");
  }

  /** The client went away. */
  void clientGone() {
    if (!over) {
      status = responseStarted ? status : 0;
      end(upgraded ? flags : "DC");
    }
  }

  private void malformed(RequestChecks.Refusal refusal) {
    client.worker().metrics().count(Counter.MALFORMED);
    stream.distrust();
    var _ = client.pinGeneration();
    source = client.source().orElse(null);
    entrance = client.entrance().orElse(null);
    reply(refusal.status(), "DPE", refusal.why());
  }

  private void reply(LocalReply with, String flag) {
    reply(HttpResponseStatus.valueOf(with.status()), with.grpcStatus(), flag, with.text());
  }

  /** Answers in the backend's place. */
  private void reply(HttpResponseStatus with, String flag, String why) {
    reply(with, GrpcStatus.ofHttp(with.code()), flag, why);
  }

  private void reply(HttpResponseStatus with, int grpcCode, String flag, String why) {
    flags = flag;
    if (grpc) {
      grpcReply(grpcCode, why);
      return;
    }
    status = with.code();
    details = details.isEmpty() ? why : details;
    ByteBuf body = Unpooled.copiedBuffer(why + "\n", StandardCharsets.US_ASCII);
    FullHttpResponse response = new DefaultFullHttpResponse(HttpVersion.HTTP_1_1, with, body);
    response.headers().set(HttpHeaderNames.CONTENT_TYPE, TEXT_PLAIN);
    local(response);
  }

  /** What gRPC calls trailers only: its status comes in the head of a response that is well. */
  private void grpcReply(int code, String why) {
    status = 200;
    grpcStatus = code;
    FullHttpResponse response =
        new DefaultFullHttpResponse(
            HttpVersion.HTTP_1_1, HttpResponseStatus.OK, Unpooled.EMPTY_BUFFER);
    response.headers().set(HttpHeaderNames.CONTENT_TYPE, GrpcStatus.CONTENT_TYPE);
    response.headers().setInt(GRPC_STATUS, code);
    response.headers().set(GRPC_MESSAGE, GrpcStatus.message(why));
    local(response);
  }

  private void local(FullHttpResponse response) {
    responseStarted = true;
    responseBytes = response.content().readableBytes();
    if (status != 204) {
      // RFC 9110 8.6: that one has no body to tell the length of.
      response.headers().set(HttpHeaderNames.CONTENT_LENGTH, responseBytes);
    }
    if (!retryAfter.isEmpty()) {
      response.headers().set(HttpHeaderNames.RETRY_AFTER, retryAfter);
    }
    if (rates != null) {
      rates.write(response.headers(), FieldEditor.INSTANCE, false);
    }
    stream.answer(response);
    end(flags);
    stream.exchangeDone();
    stream.flush();
  }

  /** Counts the request and lets go of the backend, unless that was done already. */
  private void end(String flag) {
    over = true;
    cancel(requestTimer);
    cancel(backendTimer);
    cancel(retryTimer);
    attempt = null;
    waited();
    noMoreTries();
    if (!mirrors.isEmpty()) {
      mirrors.forEach(MirroredRequest::requestEnded);
      mirrors = List.of();
    }
    Cluster asked = counted;
    counted = null;
    if (asked != null) {
      asked.circuit().ended(loop);
      measure(flag);
    }
    UpstreamStream from = upstream;
    upstream = null;
    if (from != null) {
      from.close();
    }
    long nanos = loop.nanos() - started;
    SeriesKey key = seriesKey(flag);
    client.count(key, nanos, requestBytes, responseBytes);
    boolean failed = status == 0 || status >= 400 || !flag.equals("-");
    Telemetry.AccessLog rules = client.worker().current().get().telemetry().accessLog();
    if (client.worker().access().wants(rules, failed)) {
      client.worker().access().write(entry(key, nanos, rules));
    }
  }

  /** How it went counts for the backend, unless the client did not wait for it. */
  private void measure(String flag) {
    if (action != null && action.split().measures() && !flag.equals("DC") && status > 0) {
      long now = loop.nanos();
      long answered = answeredAt != 0 ? answeredAt : now;
      boolean error = status >= 500 || grpc && GrpcStatus.isServerError(grpcStatus);
      action.split().answered(turnIndex, error, answered - started, now);
    }
  }

  private AccessEntry entry(SeriesKey key, long nanos, Telemetry.AccessLog rules) {
    // What could not be read has no target; then it is told as it came.
    String asked = host.isEmpty() ? request.uri() : target.text();
    int query = asked.indexOf('?');
    Target to = backend;
    return new AccessEntry(
        nanos,
        request.method().name(),
        query >= 0 && !rules.query() ? asked.substring(0, query) : asked,
        stream.protocol(),
        status,
        key.flags(),
        details,
        requestBytes,
        responseBytes,
        to == null ? "" : to.endpoint().toString(),
        headerOrNone("user-agent"),
        headerOrNone("x-request-id"),
        host,
        headerOrNone("x-forwarded-for"),
        headerOrNone("traceparent"),
        client.remoteAddress(),
        key.route(),
        client.serverName(),
        key.source(),
        key.destination(),
        key.service());
  }

  private String headerOrNone(String name) {
    String value = header(name);
    return value == null ? "" : value;
  }

  private static void cancel(@Nullable Future<?> timer) {
    if (timer != null) {
      timer.cancel(false);
    }
  }

  private SeriesKey seriesKey(String flag) {
    Source asks = source;
    Entrance in = entrance;
    RouteMatch by = match;
    Target to = backend;
    Cluster of = cluster;
    Cluster.ServiceName service =
        of != null ? of.service() : in != null ? in.service() : Cluster.ServiceName.UNKNOWN;
    Peer destination = to != null ? to.peer() : service.peer();
    Peer from = asks != null ? asks.peer() : Peer.NOBODY;
    String route = by != null ? by.route().name() : "";
    Series last = client.lastSeries();
    if (last != null) {
      SeriesKey key = last.key();
      if (key.code() == status
          && key.route().equals(route)
          && key.destination().equals(destination)
          && key.source().equals(from)
          && key.service().equals(service.host())
          && key.grpcStatus() == grpcStatus
          && key.flags().equals(flag)) {
        return key;
      }
    }
    return new SeriesKey(
        route,
        from,
        destination,
        service.host(),
        service.name(),
        service.namespace(),
        status,
        grpcStatus,
        flag,
        client.reporter());
  }
}
