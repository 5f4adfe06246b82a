// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.http;

import dev.weir.policy.plan.ProxyPlan;
import dev.weir.policy.plan.ProxyPlan.Filter;
import dev.weir.policy.route.Cors;
import dev.weir.policy.route.GrpcStatus;
import dev.weir.policy.route.LocalReply;
import dev.weir.policy.route.RequestTarget;
import dev.weir.policy.route.RequestView;
import dev.weir.policy.route.Rewrites;
import dev.weir.policy.route.RouteAction;
import dev.weir.policy.route.RouteMatch;
import dev.weir.proxy.loop.Loop;
import dev.weir.proxy.observe.Counter;
import dev.weir.proxy.outbound.Action;
import dev.weir.proxy.outbound.Cluster;
import dev.weir.proxy.outbound.Entrance;
import dev.weir.proxy.outbound.Generation;
import dev.weir.proxy.outbound.Sessions;
import dev.weir.proxy.outbound.Source;
import dev.weir.proxy.outbound.Target;
import dev.weir.proxy.resilience.RateLimits;
import dev.weir.proxy.resilience.TrafficSplit;
import dev.weir.proxy.upstream.Endpoint;
import dev.weir.proxy.wire.WebSocketKey;
import io.netty.handler.codec.http.FullHttpResponse;
import io.netty.handler.codec.http.HttpContent;
import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpHeaders;
import io.netty.handler.codec.http.HttpRequest;
import io.netty.handler.codec.http.HttpResponse;
import io.netty.handler.codec.http.HttpResponseStatus;
import io.netty.handler.codec.http.HttpVersion;
import io.netty.handler.codec.http.LastHttpContent;
import io.netty.util.AsciiString;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * One request and its response: what is read of the request, which route takes it, what of it goes
 * on, and what the client is told. How it reaches a backend is for its {@link Tries}. For the event
 * loop of the client's connection.
 */
final class Exchange implements RequestView {

  private static final AsciiString RATE_LIMIT = AsciiString.cached("ratelimit");
  private static final AsciiString GRPC_TIMEOUT = AsciiString.cached("grpc-timeout");

  /** Of another protocol than HTTP; as of any connection that is led on as it is. */
  private static final long UPGRADED_IDLE_NANOS = TimeUnit.HOURS.toNanos(1);

  /** Seconds. What is on its way now is mostly over then. */
  private static final String RETRY_AFTER = "1";

  private final ClientStream stream;
  private final Client client;
  private final Loop loop;
  private final HttpRequest request;
  private final long started;
  private final Outcome outcome;
  private long lastActivity;

  // The request, and what was found for it.
  private RequestTarget target = new RequestTarget("/", "", false);
  private String host = "";
  private boolean bodyless;
  private Optional<AsciiString> certificate = Optional.empty();
  private boolean grpc;
  // What the client asks to switch to; empty when nothing.
  private String upgrade = "";
  private @Nullable Action action;
  private @Nullable RouteMatch match;
  private RouteAction.@Nullable Choice choice;
  private int turnIndex;
  private @Nullable Tries tries;
  private Mirrors mirrors = Mirrors.NONE;

  // What goes into the response.
  private @Nullable Cors cors;
  private @Nullable String origin;
  private @Nullable Sessions sessions;
  private Sessions.@Nullable Held held;
  private @Nullable String givenKey;
  private RateLimits.@Nullable Ticket rates;
  private String retryAfter = "";
  private List<String> responseTrailers = List.of();

  // How far it is.
  private boolean requestComplete;
  private boolean responseStarted;
  private boolean interim;
  private boolean interimSent;
  private @Nullable HttpResponse switching;
  private boolean upgraded;
  private boolean over;
  private long answeredAt;

  Exchange(ClientStream stream, HttpRequest request) {
    this.stream = stream;
    this.client = stream.client();
    this.loop = client.worker().loop();
    this.request = request;
    this.started = loop.nanos();
    this.outcome = new Outcome(stream, request, started);
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
    host = good.get().host();
    outcome.asked(host, target);
    HttpHeaders headers = request.headers();
    RequestChecks.writePlainly(headers);
    bodyless =
        !headers.contains(HttpHeaderNames.TRANSFER_ENCODING)
            && (!headers.contains(HttpHeaderNames.CONTENT_LENGTH)
                || "0".equals(headers.get(HttpHeaderNames.CONTENT_LENGTH)));
    grpc = GrpcStatus.isCall(headers.get(HttpHeaderNames.CONTENT_TYPE));
    Generation generation = client.pinGeneration();
    if (client.source().isEmpty()) {
      // The plan no longer knows who this is: nothing can be decided for it.
      client.worker().metrics().count(Counter.UNKNOWN_SOURCE);
      stream.abort();
      return;
    }
    Source source = client.source().get();
    outcome.from(source, client.entrance().orElseThrow());
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
    outcome.from(source, in);
    if (client.misdirected(in)) {
      reply(LocalReply.MISDIRECTED, "NR");
      return;
    }
    certificate = client.certificate(in);
    Judge judge = new Judge(client, request, target, source, generation, client.leaving());
    String forbidden = judge.refusalAt(in);
    if (forbidden != null) {
      forbidden(forbidden);
      return;
    }
    Optional<RouteMatch> found = in.table().match(this);
    if (found.isEmpty()) {
      reply(LocalReply.NO_ROUTE, "NR");
      return;
    }
    RouteMatch met = found.get();
    match = met;
    outcome.matched(met);
    grpc |= met.route().kind() == ProxyPlan.RouteKind.GRPC;
    if (grpc) {
      outcome.call();
    }
    Action chosen = in.action(met);
    action = chosen;
    if (chosen.route().cors().isPresent()) {
      cors = chosen.route().cors().get();
      if (Cors.isPreflight(this)) {
        preflight(cors, chosen.route());
        return;
      }
      // Now: the route's filters may change what the backend is told of it.
      origin = header("origin");
    }
    if (!mayCome(in, chosen, source)) {
      return;
    }
    if (chosen.route().redirect().isPresent()) {
      redirect(chosen.route().redirect().get(), met, chosen.route());
      return;
    }
    choose(chosen, met, source, generation, judge);
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
      outcome.details("rate limit of " + ticket.by());
      reply(LocalReply.RATE_LIMITED, "RL");
      return false;
    }
    return true;
  }

  /** Sends it on by the rule that it met. */
  private void choose(
      Action chosen, RouteMatch met, Source source, Generation generation, Judge judge) {
    if (chosen.sessions().isPresent()) {
      Sessions kept = chosen.sessions().get();
      sessions = kept;
      held = kept.of(this).filter(h -> !chosen.split().isOut(h.place().choice())).orElse(null);
    }
    int index =
        held == null
            ? chosen.split().choose(met.schedule(), clientKey(chosen.split(), source))
            : held.place().choice();
    if (index < 0 || chosen.clusters().get(index).isEmpty()) {
      reply(LocalReply.NO_VALID_BACKEND, "-");
      return;
    }
    turnIndex = index;
    RouteAction.Choice turn = chosen.route().choices().get(index);
    choice = turn;
    Cluster picked = chosen.clusters().get(index).get();
    outcome.cluster(picked);
    if (picked.size() == 0) {
      reply(
          HttpResponseStatus.valueOf(LocalReply.NO_ENDPOINT.status()),
          "UH",
          picked.name() + " has " + LocalReply.NO_ENDPOINT.text());
      return;
    }
    // First what the filters make of it: a backend's policies are about what the backend gets.
    HttpHeaders copied = prepare(chosen, turn, met, picked, source, generation, judge);
    Target pinned = held == null ? null : held.place().target();
    Tries to =
        new Tries(this, stream, request, chosen, picked, source, judge, pinned, versionOf(picked));
    tries = to;
    if (!to.admitted()) {
      return;
    }
    if (copied != null) {
      mirrors =
          Mirrors.send(chosen, request, copied, bodyless, client, source, judge, this::versionOf);
    }
    long timeout = TimeUnit.MILLISECONDS.toNanos(chosen.route().requestTimeoutMillis());
    String asked = grpc ? request.headers().get(GRPC_TIMEOUT) : null;
    if (asked != null) {
      OptionalLong given = GrpcStatus.timeoutNanos(asked);
      if (given.isPresent() && (timeout == 0 || given.getAsLong() < timeout)) {
        timeout = Math.max(1, given.getAsLong());
      }
    }
    to.begin(timeout);
  }

  /**
   * What tells the client from others, where a rule splits its clients; given it if it has none.
   */
  private @Nullable String clientKey(TrafficSplit split, Source asks) {
    String key = split.key(this, asks.workload() ? asks.description() : "");
    if (key == null && split.givesKeys()) {
      key = RequestIds.next(loop.random()).toString();
      givenKey = key;
    }
    return key;
  }

  /**
   * Refuses the request.
   *
   * @param why decision and rule; the log has been told
   */
  void forbidden(String why) {
    outcome.details(why);
    if (rates != null) {
      rates.giveBack();
      rates = null;
    }
    reply(LocalReply.FORBIDDEN, "-");
  }

  /**
   * Makes of the request what the backend gets.
   *
   * @return the headers that mirrors get; null where the rule has none
   */
  private @Nullable HttpHeaders prepare(
      Action asked,
      RouteAction.Choice turn,
      RouteMatch met,
      Cluster cluster,
      Source source,
      Generation generation,
      Judge judge) {
    RouteAction chosen = asked.route();
    HttpHeaders headers = request.headers();
    // In HTTP/2 nobody can say so but who asks by a CONNECT, which this stands for.
    Optional<String> wanted = bodyless ? Hops.upgrade(request) : Optional.empty();
    Hops.stripRequest(headers);
    upgrade = wanted.orElse("");
    if (wanted.isPresent()) {
      Hops.upgrade(headers, upgrade);
    }
    if (request.protocolVersion().equals(HttpVersion.HTTP_1_0)) {
      request.setProtocolVersion(HttpVersion.HTTP_1_1);
      if (!headers.contains(HttpHeaderNames.HOST)) {
        headers.set(HttpHeaderNames.HOST, cluster.service().host());
      }
    }
    ForwardedHeaders.write(headers, client, source, certificate);
    RequestIds.pass(headers, loop.random());
    TraceContext.pass(headers, generation.telemetry().tracing(), loop.random());
    HttpHeaders copy = null;
    if (!asked.mirrors().isEmpty()) {
      copy = headers.copy();
      // A mirror gets the body as it comes; it is not asked whether it wants it.
      copy.remove(HttpHeaderNames.EXPECT);
      copy.remove(HttpHeaderNames.CONNECTION);
      copy.remove(HttpHeaderNames.UPGRADE);
      chosen.editMirrored(copy, FieldEditor.INSTANCE);
    }
    chosen.editRequest(headers, FieldEditor.INSTANCE, turn);
    RequestTarget out = chosen.target(target, met);
    judge.forwardedTo(out);
    String text = out.text();
    if (!text.equals(request.uri())) {
      request.setUri(text);
    }
    return copy;
  }

  /**
   * What the request is sent in: a call of gRPC is one of HTTP/2, whatever its backend's port says.
   * Of other protocols HTTP/2 carries WebSockets alone.
   */
  private Endpoint.Version versionOf(Cluster to) {
    boolean http2 =
        grpc
            || (upgrade.isEmpty() || WebSocketKey.isAskedFor(request))
                && switch (to.protocol()) {
                  case HTTP_1 -> false;
                  case HTTP_2 -> true;
                  case AS_CLIENT -> stream.http2();
                };
    return http2 ? Endpoint.Version.HTTP_2 : Endpoint.Version.HTTP_1;
  }

  /** Answers a browser that asks what a page may send. */
  private void preflight(Cors asked, RouteAction route) {
    FullHttpResponse response = LocalResponse.empty(Cors.PREFLIGHT_STATUS);
    asked.answerPreflight(this, response.headers(), FieldEditor.INSTANCE);
    route.response().apply(response.headers(), FieldEditor.INSTANCE);
    local(response);
  }

  private void redirect(Filter.Redirect redirect, RouteMatch met, RouteAction route) {
    String scheme = client.tls() ? "https" : "http";
    FullHttpResponse response = LocalResponse.empty(redirect.status());
    HttpHeaders headers = response.headers();
    headers.set(
        HttpHeaderNames.LOCATION,
        Rewrites.location(redirect, scheme, host, client.localPort(), target, met).text());
    if (cors != null) {
      cors.editResponse(origin, headers, FieldEditor.INSTANCE);
    }
    route.response().apply(headers, FieldEditor.INSTANCE);
    local(response);
  }

  // ---- the request's body

  /** How long there may be no byte either way, in nanoseconds. */
  long idleNanos() {
    return upgraded ? UPGRADED_IDLE_NANOS : ServerConnection.STREAM_IDLE_NANOS;
  }

  /** Whether the request's body has to wait for a connection. */
  boolean holdsContent() {
    return !bodyless && tries != null && tries.connecting();
  }

  boolean requestComplete() {
    return requestComplete;
  }

  long lastActivity() {
    return lastActivity;
  }

  /** Something came, or was sent. */
  void active() {
    lastActivity = loop.coarseNanos();
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
    active();
    outcome.request(content.content());
    boolean last = content instanceof LastHttpContent;
    if (last) {
      requestComplete = true;
    }
    Tries to = tries;
    if (to == null || bodyless || !to.sends()) {
      content.release();
      return;
    }
    if (last) {
      Hops.sieveTrailers(
          ((LastHttpContent) content).trailingHeaders(),
          request.headers().getAll(HttpHeaderNames.TRAILER),
          stream.http2());
    }
    mirrors.requestContent(content);
    to.requestContent(content);
  }

  void flushRequest() {
    if (tries != null) {
      tries.flush();
    }
    mirrors.flush();
  }

  /** Whether more of the request's body has a place to go. */
  boolean takesMore() {
    return requestComplete || bodyless || tries == null || tries.takesMore();
  }

  void clientWritabilityChanged() {
    if (tries != null) {
      tries.reading(stream.isWritable());
    }
  }

  // ---- the response

  /** The final one of the tries. */
  void respond(HttpResponse response) {
    responseStarted = true;
    if (action != null && action.split().measures()) {
      answeredAt = loop.nanos();
    }
    HttpHeaders headers = response.headers();
    int status = response.status().code();
    outcome.status(status);
    if (grpc) {
      // Without content it comes with the head; without any, status of HTTP says what it is.
      String told = headers.get(LocalResponse.GRPC_STATUS);
      outcome.grpcStatus(
          told != null ? GrpcStatus.of(told) : status == 200 ? 2 : GrpcStatus.ofHttp(status));
    }
    responseTrailers = headers.getAll(HttpHeaderNames.TRAILER);
    Hops.strip(headers);
    if (cors != null) {
      cors.editResponse(origin, headers, FieldEditor.INSTANCE);
    }
    if (action != null && choice != null) {
      action.route().editResponse(headers, FieldEditor.INSTANCE, choice);
    }
    Target answered = backend();
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

  private @Nullable Target backend() {
    return tries == null ? null : tries.backend();
  }

  /** One before the response, or of another protocol. */
  void interim(HttpResponse response) {
    if (response.status().equals(HttpResponseStatus.SWITCHING_PROTOCOLS)) {
      List<String> to = response.headers().getAll(HttpHeaderNames.UPGRADE);
      if (upgrade.isEmpty() || to.size() != 1 || !to.getFirst().equalsIgnoreCase(upgrade)) {
        Objects.requireNonNull(tries).bad("the backend switched protocols unasked");
      } else if (stream.http2()
          && !WebSocketKey.isAnswered(
              request.headers().get(HttpHeaderNames.SEC_WEBSOCKET_KEY),
              response.headers().get(HttpHeaderNames.SEC_WEBSOCKET_ACCEPT))) {
        // A client of HTTP/1.1 looks itself.
        Objects.requireNonNull(tries).bad("the backend's Sec-WebSocket-Accept is not for the key");
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
    if (tries != null) {
      tries.upgrading();
    }
    outcome.status(response.status().code());
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
    if (tries != null) {
      tries.upgrade(() -> told(response));
    }
  }

  /** Part of the response, with its reference. */
  void content(HttpContent content) {
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
    active();
    outcome.response(content.content());
    Tries from = tries;
    if (!(content instanceof LastHttpContent last) || from == null) {
      stream.write(content);
      return;
    }
    HttpHeaders trailers = last.trailingHeaders();
    Hops.sieveTrailers(trailers, responseTrailers, from.http2());
    if (grpc) {
      if (!trailers.isEmpty()) {
        outcome.grpcStatus(GrpcStatus.of(trailers.get(LocalResponse.GRPC_STATUS)));
      }
      from.answeredCall(outcome.grpcStatus());
    }
    stream.write(content);
    from.finished();
    done();
  }

  /** The backend's connection was reset after it had switched protocols. */
  void cut() {
    end(outcome.flags());
    stream.abort();
  }

  /** The response is complete. */
  void done() {
    end(outcome.flags());
    stream.exchangeDone();
  }

  // ---- what the tries want to know

  boolean bodyless() {
    return bodyless;
  }

  boolean grpc() {
    return grpc;
  }

  /** Whether nothing of the request is left to be sent. */
  boolean sentAll() {
    return requestComplete || bodyless;
  }

  /** Whether what comes now belongs to an interim response. */
  boolean inInterim() {
    return interim;
  }

  /** Whether the client got an interim response. */
  boolean interimSent() {
    return interimSent;
  }

  /** Whether the response is decided on: there are no more tries. */
  boolean responseStarted() {
    return responseStarted;
  }

  boolean upgraded() {
    return upgraded;
  }

  boolean over() {
    return over;
  }

  /** The response that follows is one to be retried, but was too often. */
  void retriesExceeded() {
    outcome.flags("URX");
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
      if (tries != null) {
        tries.late();
      }
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
    identify();
    reply(HttpResponseStatus.REQUEST_TIMEOUT, "-", "the request's head did not arrive in time");
  }

  /** The client went away. */
  void clientGone() {
    if (!over) {
      if (!responseStarted) {
        outcome.status(0);
      }
      end(upgraded ? outcome.flags() : "DC");
    }
  }

  /** The backend ended in the middle, or said what it must not. */
  void broken(String flag, String why) {
    if (responseStarted) {
      end(flag);
      stream.abort();
    } else {
      reply(HttpResponseStatus.BAD_GATEWAY, flag, why);
    }
  }

  /** Who asked what could not be read. */
  private void identify() {
    var _ = client.pinGeneration();
    outcome.from(client.source().orElse(null), client.entrance().orElse(null));
  }

  private void malformed(RequestChecks.Refusal refusal) {
    client.worker().metrics().count(Counter.MALFORMED);
    stream.distrust();
    identify();
    reply(refusal.status(), "DPE", refusal.why());
  }

  private void reply(LocalReply with, String flag) {
    reply(HttpResponseStatus.valueOf(with.status()), with.grpcStatus(), flag, with.text());
  }

  /** Answers in the backend's place. */
  void reply(HttpResponseStatus with, String flag, String why) {
    reply(with, GrpcStatus.ofHttp(with.code()), flag, why);
  }

  private void reply(HttpResponseStatus with, int grpcCode, String flag, String why) {
    outcome.flags(flag);
    outcome.details(why);
    if (grpc) {
      outcome.grpcStatus(grpcCode);
      local(LocalResponse.grpc(grpcCode, why));
    } else {
      local(LocalResponse.text(with, why));
    }
  }

  private void local(FullHttpResponse response) {
    responseStarted = true;
    HttpHeaders headers = response.headers();
    int length = response.content().readableBytes();
    outcome.status(response.status().code());
    outcome.responseBytes(length);
    if (response.status().code() != 204) {
      // RFC 9110 8.6: that one has no body to tell the length of.
      headers.set(HttpHeaderNames.CONTENT_LENGTH, length);
    }
    if (!retryAfter.isEmpty()) {
      headers.set(HttpHeaderNames.RETRY_AFTER, retryAfter);
    }
    if (rates != null) {
      rates.write(headers, FieldEditor.INSTANCE, false);
    }
    stream.answer(response);
    done();
    stream.flush();
  }

  /** Counts the request and lets go of the backend, unless that was done already. */
  private void end(String flag) {
    over = true;
    outcome.flags(flag);
    mirrors.requestEnded();
    mirrors = Mirrors.NONE;
    Tries to = tries;
    if (to != null) {
      if (to.end()) {
        measure(flag);
      }
      to.closeUpstream();
    }
    outcome.tell(loop.nanos(), backend());
  }

  /** How it went counts for the backend, unless the client did not wait for it. */
  private void measure(String flag) {
    int status = outcome.status();
    if (action != null && action.split().measures() && !flag.equals("DC") && status > 0) {
      long now = loop.nanos();
      long answered = answeredAt != 0 ? answeredAt : now;
      boolean error = status >= 500 || grpc && GrpcStatus.isServerError(outcome.grpcStatus());
      action.split().answered(turnIndex, error, answered - started, now);
    }
  }
}
