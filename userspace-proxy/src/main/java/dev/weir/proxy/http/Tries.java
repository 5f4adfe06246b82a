// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.http;

import dev.weir.policy.route.GrpcStatus;
import dev.weir.policy.route.RetryPolicy;
import dev.weir.proxy.loop.Loop;
import dev.weir.proxy.observe.Counter;
import dev.weir.proxy.outbound.Action;
import dev.weir.proxy.outbound.Cluster;
import dev.weir.proxy.outbound.Source;
import dev.weir.proxy.outbound.Target;
import dev.weir.proxy.resilience.ClusterHealth;
import dev.weir.proxy.upstream.Ended;
import dev.weir.proxy.upstream.Endpoint;
import dev.weir.proxy.upstream.UpstreamListener;
import dev.weir.proxy.upstream.UpstreamStream;
import io.netty.channel.ConnectTimeoutException;
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
import io.netty.handler.codec.http.LastHttpContent;
import io.netty.util.concurrent.Future;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * The way of one request to a backend of its cluster: which one, over which connection, how long,
 * and once more where that is allowed. What is the final answer, or that there is none, it tells
 * its exchange. For the request's event loop.
 */
final class Tries implements UpstreamListener {

  /** How many backends are tried when connecting fails; nothing was sent then. */
  private static final int MAX_CONNECTS = 3;

  private final Exchange exchange;
  private final ClientStream stream;
  private final Worker worker;
  private final Loop loop;
  private final HttpRequest request;
  private final Action action;
  private final Cluster cluster;
  private final Source asks;
  private final Judge judge;
  private Endpoint.Version version;

  private @Nullable Target pinned;
  private @Nullable Target backend;
  private @Nullable UpstreamStream upstream;
  // In the cluster's circuit breaker: the request, and that it waits for a connection.
  private boolean counted;
  private boolean waits;
  private boolean connecting;
  private boolean acquiring;
  private int connects;
  // Sent once more since nobody looked at it, whatever the rule says.
  private boolean resent;
  private boolean judged;
  private boolean keepAlive;

  // Only where it may be sent more than once.
  private @Nullable ReplayBody replay;
  private @Nullable RetryPolicy retry;
  private @Nullable Attempt attempt;
  private List<Endpoint> tried = List.of();
  private int retries;
  private boolean retrying;

  private long deadline;
  private @Nullable Future<?> requestTimer;
  private @Nullable Future<?> backendTimer;
  private @Nullable Future<?> retryTimer;

  /**
   * None yet.
   *
   * @param pinned the backend that the first is to go to; null for the next one in turn
   * @param version of HTTP that the cluster is spoken to in
   */
  Tries(
      Exchange exchange,
      ClientStream stream,
      HttpRequest request,
      Action action,
      Cluster cluster,
      Source asks,
      Judge judge,
      @Nullable Target pinned,
      Endpoint.Version version) {
    this.exchange = exchange;
    this.stream = stream;
    this.worker = stream.client().worker();
    this.loop = worker.loop();
    this.request = request;
    this.action = action;
    this.cluster = cluster;
    this.asks = asks;
    this.judge = judge;
    this.pinned = pinned;
    this.version = version;
  }

  /** The backend of the last try; null as long as none was allowed. */
  @Nullable Target backend() {
    return backend;
  }

  /** Whether the backend is spoken to in HTTP/2. */
  boolean http2() {
    return version == Endpoint.Version.HTTP_2;
  }

  // ---- the way there

  /** Takes a first backend, if the source may reach it and its cluster has room. */
  boolean admitted() {
    if (!pick()) {
      return false;
    }
    if (!cluster.circuit().begin(loop)) {
      overloaded(Counter.CIRCUIT_REQUESTS, "too many requests to the backend");
      return false;
    }
    counted = true;
    return true;
  }

  /**
   * Begins the first try.
   *
   * @param timeoutNanos for all of them; 0 for none
   */
  void begin(long timeoutNanos) {
    if (timeoutNanos > 0) {
      deadline = loop.nanos() + timeoutNanos;
      requestTimer =
          loop.executor().schedule(exchange::timedOut, timeoutNanos, TimeUnit.NANOSECONDS);
    }
    retry = action.route().retry().orElse(null);
    if (!exchange.bodyless() && (retry != null || http2())) {
      // A connection of HTTP/2 may be leaving when a request comes by it.
      replay = new ReplayBody(worker.bodies(), stream.client().allocator());
    }
    connect(false);
  }

  /** Takes the next backend, if this source may reach it. */
  private boolean pick() {
    Target stays = pinned;
    pinned = null;
    Target picked = judge.inForce(stays != null ? stays : cluster.pick(loop, tried));
    if (picked == null) {
      exchange.reply(
          HttpResponseStatus.NOT_FOUND, "NR", "nothing is planned for this address any more");
      return false;
    }
    backend = picked;
    String refusal = judge.refusal(picked);
    if (refusal != null) {
      exchange.forbidden(refusal);
      return false;
    }
    return true;
  }

  private void connect(boolean fresh) {
    Target to = backend;
    if (to == null || !mayConnect(to.endpoint().by(asks.caller()), fresh)) {
      return;
    }
    connecting = true;
    judged = false;
    connects++;
    long timeout = action.route().backendTimeoutMillis();
    if (timeout > 0) {
      backendTimer =
          loop.executor().schedule(this::attemptTimedOut, timeout, TimeUnit.MILLISECONDS);
    }
    UpstreamListener listener = this;
    if (retry != null) {
      Attempt next = new Attempt();
      attempt = next;
      listener = next;
    }
    acquiring = true;
    to.endpoint().by(asks.caller()).acquire(loop, listener, version, fresh);
    acquiring = false;
  }

  /** Whether there may be a connection for it, where one has to be opened. */
  private boolean mayConnect(Endpoint to, boolean fresh) {
    if (!fresh && to.ready(loop, version)) {
      return true;
    }
    return switch (cluster.circuit().takeWaiting(loop, to)) {
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

  private void overloaded(Counter why, String text) {
    worker.metrics().count(why);
    connecting = false;
    exchange.reply(HttpResponseStatus.SERVICE_UNAVAILABLE, "UO", text);
  }

  /** No connection is waited for any more. */
  private void waited() {
    if (waits) {
      waits = false;
      cluster.circuit().giveWaiting();
    }
  }

  @Override
  public void connected(UpstreamStream connection) {
    connecting = false;
    waited();
    if (exchange.over()) {
      // Whoever wanted it is gone; nothing was sent on it, so it is as good as new.
      connection.release();
      return;
    }
    upstream = connection;
    if (!connection.reused()) {
      worker.metrics().count(Counter.UPSTREAM_OPENED);
    }
    connection.expectHead(request.method().equals(HttpMethod.HEAD));
    if (!stream.isWritable()) {
      connection.reading(false);
    }
    connection.write(request);
    if (exchange.bodyless()) {
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
    if (exchange.over()) {
      return;
    }
    worker.metrics().count(Counter.UPSTREAM_FAILED);
    if (cause instanceof Endpoint.TlsFailed) {
      worker.metrics().count(Counter.UPSTREAM_TLS_FAILED);
    }
    cancel(backendTimer);
    if (cause instanceof Endpoint.Overloaded) {
      overloaded(Counter.CIRCUIT_CONNECTIONS, "too many connections to the backend");
      return;
    }
    failed(ClusterHealth.Failure.CONNECT, cause);
    if (retry == null && cluster.size() > 1 && connects < MAX_CONNECTS) {
      worker.metrics().count(Counter.RETRIED);
      triedBackend();
      if (pick()) {
        connect(false);
        stream.drain();
      }
    } else if (!tryAgain()) {
      log("502 ", cause);
      exchange.reply(
          cause instanceof ConnectTimeoutException
              ? HttpResponseStatus.GATEWAY_TIMEOUT
              : HttpResponseStatus.BAD_GATEWAY,
          "UF",
          "the backend cannot be reached");
    }
  }

  // ---- the request's body

  /** Whether it has to wait for a connection. */
  boolean connecting() {
    return connecting;
  }

  /** Whether more of it has a place to go. */
  boolean takesMore() {
    UpstreamStream to = upstream;
    return to == null ? !connecting : to.isWritable();
  }

  /** Part of it, with its reference. */
  void requestContent(HttpContent content) {
    UpstreamStream to = upstream;
    if (to == null) {
      content.release();
      return;
    }
    if (replay != null) {
      replay.keep(content);
    }
    to.write(content);
  }

  /** Whether there is somebody to send it to now. */
  boolean sends() {
    return upstream != null;
  }

  void flush() {
    UpstreamStream to = upstream;
    if (to != null) {
      to.flush();
    }
  }

  /** Reads on or pauses: backpressure from a slow client. */
  void reading(boolean on) {
    UpstreamStream from = upstream;
    if (from != null) {
      from.reading(on);
    }
  }

  // ---- the response

  @Override
  public void response(HttpResponse response) {
    exchange.active();
    if (response.status().codeClass() == HttpStatusClass.INFORMATIONAL) {
      exchange.interim(response);
      return;
    }
    HttpHeaders headers = response.headers();
    if (exchange.responseStarted() || !framingIsPlain(headers)) {
      bad("the backend's response is malformed");
      return;
    }
    String early = exchange.grpc() ? headers.get(LocalResponse.GRPC_STATUS) : null;
    if (early != null) {
      answeredCall(GrpcStatus.of(early));
    } else if (!exchange.grpc() || response.status().code() != 200) {
      answered(response.status().code(), response.status().code() >= 500);
    }
    if (retry != null && retriedInstead(response)) {
      return;
    }
    answering();
    keepAlive = HttpUtil.isKeepAlive(response);
    exchange.respond(response);
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

  /** What comes now is the answer, whatever becomes of it. */
  private void answering() {
    noMoreTries();
    cancel(backendTimer);
  }

  @Override
  public void content(HttpContent content) {
    exchange.content(content);
  }

  /** The response is complete: the connection is somebody else's, or nobody's. */
  void finished() {
    UpstreamStream from = upstream;
    upstream = null;
    if (from == null) {
      return;
    }
    if (keepAlive && exchange.sentAll()) {
      from.release();
    } else {
      from.close();
    }
  }

  /**
   * The backend has switched protocols: there are no more tries or timeouts of HTTP.
   *
   * @param told tells the client
   */
  void upgrade(Runnable told) {
    UpstreamStream to = upstream;
    if (to != null) {
      to.upgrade(told);
      stream.flush();
      stream.updateReading();
    }
  }

  /** The backend is about to switch protocols. */
  void upgrading() {
    answering();
    cancel(requestTimer);
  }

  @Override
  public void readComplete() {
    stream.flush();
  }

  @Override
  public void writabilityChanged() {
    stream.updateReading();
  }

  // ---- how the backend did

  /** The backend answered a call with trailers. */
  void answeredCall(int grpcStatus) {
    answered(grpcStatus, GrpcStatus.isServerError(grpcStatus));
  }

  /** The backend answered; told once per try. */
  private void answered(int status, boolean error) {
    Target to = backend;
    if (!judged && to != null) {
      judged = true;
      cluster.health().answered(loop, to.endpoint(), status, error);
    }
  }

  /** The backend did not answer a try; told once per try. */
  private void failed(ClusterHealth.Failure how, @Nullable Throwable cause) {
    Target to = backend;
    if (!judged && to != null) {
      judged = true;
      cluster.health().failed(loop, to.endpoint(), how, cause);
    }
  }

  /** Time is over; the backend is to blame where it had all of the request. */
  void late() {
    if (!exchange.responseStarted() && exchange.sentAll()) {
      failed(ClusterHealth.Failure.NO_ANSWER, null);
    }
  }

  // ---- once more

  /** Whether the response is one that the rule wants another one for, and there will be one. */
  private boolean retriedInstead(HttpResponse response) {
    RetryPolicy policy = retry;
    if (policy == null || !policy.covers(response.status().code())) {
      return false;
    }
    UpstreamStream from = upstream;
    boolean sentAll = exchange.sentAll();
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
      exchange.retriesExceeded();
    }
    return false;
  }

  /**
   * Begins another try after one that failed, if the rule, the time, the body and the budget let
   * it. The connection of the one that failed is closed, unless somebody took it before.
   */
  private boolean tryAgain() {
    RetryPolicy policy = retry;
    if (policy == null
        || backend == null
        || exchange.responseStarted()
        || exchange.interimSent()
        || retries >= policy.attempts()
        || !(exchange.bodyless() || replay != null && replay.whole())) {
      return false;
    }
    long delay = policy.delayMillis(retries + 1, loop.random());
    if (deadline != 0 && loop.nanos() + TimeUnit.MILLISECONDS.toNanos(delay) - deadline >= 0) {
      // The request's own time would be over by then: what is known now is the better answer.
      return false;
    }
    if (!retrying && !cluster.circuit().takeRetry()) {
      worker.metrics().count(Counter.RETRY_OVERFLOW);
      return false;
    }
    worker.metrics().count(Counter.RETRIED);
    retrying = true;
    retries++;
    triedBackend();
    waited();
    cancel(backendTimer);
    attempt = null;
    closeUpstream();
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
    if (exchange.over() || !pick()) {
      return;
    }
    exchange.active();
    connect(false);
    // Over a connection that was there the request lies written: nobody else sends it.
    stream.drain();
  }

  /** Sends it by a new connection, since nobody looked at it. */
  private void resend() {
    resent = true;
    worker.metrics().count(Counter.RETRIED);
    cancel(backendTimer);
    connect(true);
  }

  /** A single try took too long. */
  private void attemptTimedOut() {
    if (exchange.over()) {
      return;
    }
    late();
    if (!tryAgain()) {
      exchange.timedOut();
    }
  }

  private void noMoreTries() {
    if (retrying) {
      retrying = false;
      cluster.circuit().giveRetry();
    }
    if (replay != null) {
      replay.release();
      replay = null;
    }
  }

  // ---- endings

  @Override
  public void closed(Throwable cause) {
    UpstreamStream from = upstream;
    upstream = null;
    if (exchange.over()) {
      return;
    }
    if (exchange.upgraded()) {
      // However that protocol ends: nothing of HTTP is left unfinished. A stream can tell its
      // client that it did not end well; a connection is closed.
      if (stream.http2() && Ended.isReset(cause)) {
        exchange.cut();
      } else {
        exchange.done();
      }
      return;
    }
    boolean started = exchange.responseStarted();
    if (!started
        && !exchange.inInterim()
        && from != null
        && from.reused()
        && !resent
        && exchange.bodyless()
        && idempotent()) {
      // The backend closed an idle connection just as the request went out. Sending it again does
      // no harm: it is idempotent and there is no body to have been lost.
      resend();
      return;
    }
    // Of a call the answer is its trailers.
    if (!started || exchange.grpc()) {
      failed(ClusterHealth.Failure.NO_ANSWER, cause);
    }
    if (!tryAgain()) {
      log(started ? "aborted: " : "502 ", cause);
      exchange.broken("UC", "the backend closed the connection");
    }
  }

  /** Nothing came of it, so that it may be sent once more, as long as all of it is still there. */
  @Override
  public void refused(Throwable cause) {
    upstream = null;
    if (!exchange.over()
        && !exchange.responseStarted()
        && !resent
        && (exchange.bodyless() || replay != null && replay.whole())) {
      resend();
    } else {
      closed(cause);
    }
  }

  @Override
  public void cannotSwitch() {
    upstream = null;
    if (!exchange.over()) {
      version = Endpoint.Version.HTTP_1;
      cancel(backendTimer);
      connect(false);
      stream.drain();
    }
  }

  @Override
  public void malformed(Throwable cause) {
    upstream = null;
    if (!exchange.over()) {
      bad("the backend's response is malformed");
    }
  }

  /** The backend said what it must not. */
  void bad(String why) {
    if (!exchange.responseStarted()) {
      failed(ClusterHealth.Failure.NO_ANSWER, null);
    }
    worker.log().refused("502 " + describeBackend() + ": " + why);
    exchange.broken("UPE", why);
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

  /**
   * The request is over: lets go of everything but the backend, unless that was done already.
   *
   * @return whether it was under way until now
   */
  boolean end() {
    cancel(requestTimer);
    cancel(backendTimer);
    cancel(retryTimer);
    attempt = null;
    waited();
    noMoreTries();
    boolean was = counted;
    counted = false;
    if (was) {
      cluster.circuit().ended(loop);
    }
    return was;
  }

  /** Closes the connection of a try that is not finished. */
  void closeUpstream() {
    UpstreamStream from = upstream;
    upstream = null;
    if (from != null) {
      from.close();
    }
  }

  private void log(String what, Throwable cause) {
    worker.log().refused(what + describeBackend() + ": " + cause.getMessage());
  }

  private String describeBackend() {
    Target to = backend;
    return to == null ? "no backend" : to.description() + " (" + to.endpoint() + ")";
  }

  private static void cancel(@Nullable Future<?> timer) {
    if (timer != null) {
      timer.cancel(false);
    }
  }

  /**
   * One try of a request that may have several: what still comes of one that was given up is not
   * for this request.
   */
  private final class Attempt implements UpstreamListener {

    private boolean current() {
      return attempt == this;
    }

    @Override
    public void connected(UpstreamStream connection) {
      if (current()) {
        Tries.this.connected(connection);
      } else {
        connection.release();
      }
    }

    @Override
    public void connectFailed(Throwable cause) {
      if (current()) {
        Tries.this.connectFailed(cause);
      } else {
        worker.metrics().count(Counter.UPSTREAM_FAILED);
      }
    }

    @Override
    public void response(HttpResponse response) {
      if (current()) {
        Tries.this.response(response);
      }
    }

    @Override
    public void content(HttpContent content) {
      if (current()) {
        Tries.this.content(content);
      } else {
        content.release();
      }
    }

    @Override
    public void readComplete() {
      Tries.this.readComplete();
    }

    @Override
    public void writabilityChanged() {
      if (current()) {
        Tries.this.writabilityChanged();
      }
    }

    @Override
    public void closed(Throwable cause) {
      if (current()) {
        Tries.this.closed(cause);
      }
    }

    @Override
    public void refused(Throwable cause) {
      if (current()) {
        Tries.this.refused(cause);
      }
    }

    @Override
    public void cannotSwitch() {
      if (current()) {
        Tries.this.cannotSwitch();
      }
    }

    @Override
    public void malformed(Throwable cause) {
      if (current()) {
        Tries.this.malformed(cause);
      }
    }
  }
}
