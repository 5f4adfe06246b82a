// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.http;

import dev.weir.policy.plan.Telemetry;
import dev.weir.policy.route.GrpcStatus;
import dev.weir.policy.route.RequestTarget;
import dev.weir.policy.route.RouteMatch;
import dev.weir.proxy.observe.AccessEntry;
import dev.weir.proxy.observe.Peer;
import dev.weir.proxy.observe.Series;
import dev.weir.proxy.observe.SeriesKey;
import dev.weir.proxy.outbound.Cluster;
import dev.weir.proxy.outbound.Entrance;
import dev.weir.proxy.outbound.Source;
import dev.weir.proxy.outbound.Target;
import io.netty.buffer.ByteBuf;
import io.netty.handler.codec.http.HttpRequest;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * What came of a request, as the metrics and the access log tell it. Written while the request
 * lasts, told once at its end. For the request's event loop.
 */
final class Outcome {

  private final ClientStream stream;
  private final Client client;
  private final HttpRequest request;
  private final long started;

  // Who asked whom for what, as far as it was found out.
  private @Nullable Source source;
  private @Nullable Entrance entrance;
  private @Nullable RouteMatch match;
  private @Nullable Cluster cluster;
  private String host = "";
  private @Nullable RequestTarget target;

  private int status;
  private int grpcStatus = GrpcStatus.NONE;
  private String flags = "-";
  private String details = "";
  private long requestBytes;
  private long responseBytes;

  // Only of a call of gRPC.
  private @Nullable MessageCount requestMessages;
  private @Nullable MessageCount responseMessages;

  /**
   * Nothing yet.
   *
   * @param started when the request came, by the loop's clock in nanoseconds
   */
  Outcome(ClientStream stream, HttpRequest request, long started) {
    this.stream = stream;
    this.client = stream.client();
    this.request = request;
    this.started = started;
  }

  /** Who asks by which entrance. */
  void from(@Nullable Source asks, @Nullable Entrance in) {
    source = asks;
    entrance = in;
  }

  /** What is asked for, once it could be read. */
  void asked(String host, RequestTarget target) {
    this.host = host;
    this.target = target;
  }

  void matched(RouteMatch by) {
    match = by;
  }

  void cluster(Cluster of) {
    cluster = of;
  }

  /** The status that the client gets; 0 as long as there is none. */
  void status(int code) {
    status = code;
  }

  int status() {
    return status;
  }

  /** Of a call of gRPC. */
  void grpcStatus(int code) {
    grpcStatus = code;
  }

  int grpcStatus() {
    return grpcStatus;
  }

  /** Envoy's response flags; {@code -} for none. */
  void flags(String told) {
    flags = told;
  }

  String flags() {
    return flags;
  }

  /** Why the proxy answers by itself, where nothing more exact was said before. */
  void details(String why) {
    details = details.isEmpty() ? why : details;
  }

  /** It is a call of gRPC: its messages are counted. */
  void call() {
    requestMessages = new MessageCount();
    responseMessages = new MessageCount();
  }

  /** A piece of the request's body. */
  void request(ByteBuf piece) {
    requestBytes += piece.readableBytes();
    if (requestMessages != null) {
      requestMessages.passed(piece);
    }
  }

  /** A piece of the response's body. */
  void response(ByteBuf piece) {
    responseBytes += piece.readableBytes();
    if (responseMessages != null) {
      responseMessages.passed(piece);
    }
  }

  /** A response's body that the proxy has made. */
  void responseBytes(int all) {
    responseBytes += all;
  }

  /** Counts the request, and writes its line of the access log where one is wanted. */
  void tell(long now, @Nullable Target backend) {
    long nanos = now - started;
    SeriesKey key = seriesKey(backend);
    Series counts = client.count(key, nanos, requestBytes, responseBytes);
    if (requestMessages != null && responseMessages != null) {
      counts.messages(requestMessages.messages(), responseMessages.messages());
    }
    boolean failed = status == 0 || status >= 400 || !flags.equals("-");
    Telemetry.AccessLog rules = client.worker().current().get().telemetry().accessLog();
    if (client.worker().access().wants(rules, failed)) {
      client.worker().access().write(entry(key, nanos, rules, backend));
    }
  }

  /** The key of the last request, if this one is of the same kind: most are. */
  private SeriesKey seriesKey(@Nullable Target to) {
    Source asks = source;
    Entrance in = entrance;
    RouteMatch by = match;
    Cluster of = cluster;
    Cluster.ServiceName service =
        of != null ? of.service() : in != null ? in.service() : Cluster.ServiceName.UNKNOWN;
    Peer destination = to != null ? to.peer() : service.peer();
    Peer from = asks != null ? client.sourcePeer() : Peer.NOBODY;
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
          && key.flags().equals(flags)) {
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
        flags,
        client.reporter());
  }

  private AccessEntry entry(
      SeriesKey key, long nanos, Telemetry.AccessLog rules, @Nullable Target to) {
    // What could not be read has no target; then it is told as it came.
    RequestTarget read = target;
    String asked = read == null ? request.uri() : read.text();
    int query = asked.indexOf('?');
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
        header("user-agent"),
        header("x-request-id"),
        host,
        header("x-forwarded-for"),
        header("traceparent"),
        client.remoteAddress(),
        key.route(),
        client.serverName(),
        key.source(),
        key.destination(),
        key.service());
  }

  private String header(String name) {
    List<String> values = request.headers().getAll(name);
    return values.size() == 1 ? values.getFirst() : String.join(", ", values);
  }
}
