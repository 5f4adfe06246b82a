// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.observe;

import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.Function;
import java.util.function.ToLongFunction;
import org.HdrHistogram.Histogram;

/** Prometheus text (exposition format 0.0.4) of all loops' counts together. */
public final class Exposition {

  private static final double[] QUANTILES = {0.5, 0.9, 0.99, 0.999};

  private final Map<String, Series> byLabels = new TreeMap<>();
  private final Map<String, Histogram> latencies = new TreeMap<>();
  private final Map<String, StreamSeries> streams = new TreeMap<>();
  private final long[] counters = new long[Counter.values().length];
  private final StringBuilder text = new StringBuilder();

  private Exposition(List<LoopMetrics.Copy> loops) {
    for (LoopMetrics.Copy loop : loops) {
      for (Series series : loop.series()) {
        byLabels.computeIfAbsent(labels(series.key()), l -> new Series(series.key())).add(series);
        latencies
            .computeIfAbsent(latencyLabels(series.key()), l -> Series.latencyHistogram())
            .add(series.latencyMicros());
      }
      for (StreamSeries series : loop.streams()) {
        streams
            .computeIfAbsent(labels(series.key()), l -> new StreamSeries(series.key()))
            .add(series);
      }
      for (Counter counter : Counter.values()) {
        counters[counter.ordinal()] += loop.counted(counter);
      }
    }
  }

  /**
   * The text of what these loops counted.
   *
   * @param loops one copy per loop
   * @param gauges what is so now, by family and perhaps labels, those of a family together
   */
  public static String text(List<LoopMetrics.Copy> loops, Map<String, Number> gauges) {
    return new Exposition(loops).write(gauges);
  }

  private String write(Map<String, Number> gauges) {
    head("istio_requests_total", "counter", "Requests by source, destination and response.");
    byLabels.forEach((labels, series) -> sample("istio_requests_total", labels, series.requests()));
    histogram(
        "istio_request_duration_milliseconds",
        "From the request's first byte to the response's last.",
        Series::duration);
    histogram("istio_request_bytes", "Bytes of request bodies.", Series::requestBytes);
    histogram("istio_response_bytes", "Bytes of response bodies.", Series::responseBytes);
    messages(
        "istio_request_messages_total",
        "Messages of gRPC that clients sent, counted when the call ends.",
        Series::requestMessages);
    messages(
        "istio_response_messages_total",
        "Messages of gRPC that clients got, counted when the call ends.",
        Series::responseMessages);
    head(
        "weir_proxy_request_duration_seconds",
        "summary",
        "Quantiles since the start, within 1 %, by route and destination.");
    latencies.forEach(
        (labels, latency) -> {
          for (double quantile : QUANTILES) {
            sample(
                "weir_proxy_request_duration_seconds",
                labels + ",quantile=\"" + number(quantile) + "\"",
                latency.getValueAtPercentile(quantile * 100) / 1e6);
          }
          sample("weir_proxy_request_duration_seconds_count", labels, latency.getTotalCount());
        });
    stream("istio_tcp_connections_opened_total", "Connections opened.", StreamSeries::opened);
    stream("istio_tcp_connections_closed_total", "Connections closed.", StreamSeries::closed);
    stream(
        "istio_tcp_sent_bytes_total",
        "Bytes sent as response by the destination, open connections included.",
        StreamSeries::sent);
    stream(
        "istio_tcp_received_bytes_total",
        "Bytes received as request by the destination, open connections included.",
        StreamSeries::received);
    String family = "";
    for (Counter counter : Counter.values()) {
      if (!counter.family().equals(family)) {
        family = counter.family();
        head(family, "counter", counter.help());
      }
      text.append(counter.sample()).append(' ').append(counters[counter.ordinal()]).append('\n');
    }
    Set<String> families = new HashSet<>();
    gauges.forEach(
        (name, value) -> {
          int brace = name.indexOf('{');
          String named = brace < 0 ? name : name.substring(0, brace);
          if (families.add(named)) {
            text.append("# TYPE ").append(named).append(" gauge\n");
          }
          text.append(name).append(' ').append(number(value.doubleValue())).append('\n');
        });
    return text.toString();
  }

  private void stream(String name, String help, ToLongFunction<StreamSeries> count) {
    head(name, "counter", help);
    streams.forEach((labels, series) -> sample(name, labels, count.applyAsLong(series)));
  }

  /** Calls of gRPC alone have them. */
  private void messages(String name, String help, ToLongFunction<Series> count) {
    head(name, "counter", help);
    byLabels.forEach(
        (labels, series) -> {
          if (series.key().grpcStatus() >= 0) {
            sample(name, labels, count.applyAsLong(series));
          }
        });
  }

  private void histogram(String name, String help, Function<Series, Series.Buckets> part) {
    head(name, "histogram", help);
    byLabels.forEach(
        (labels, series) -> {
          Series.Buckets buckets = part.apply(series);
          long below = 0;
          for (int i = 0; i < Series.Buckets.edges(); i++) {
            below += buckets.count(i);
            sample(
                name + "_bucket", labels + ",le=\"" + number(Series.Buckets.edge(i)) + "\"", below);
          }
          sample(name + "_bucket", labels + ",le=\"+Inf\"", series.requests());
          sample(name + "_sum", labels, buckets.sum());
          sample(name + "_count", labels, series.requests());
        });
  }

  private void head(String name, String type, String help) {
    text.append("# HELP ").append(name).append(' ').append(help).append('\n');
    text.append("# TYPE ").append(name).append(' ').append(type).append('\n');
  }

  private void sample(String name, String labels, double value) {
    text.append(name).append('{').append(labels).append("} ").append(number(value)).append('\n');
  }

  private void sample(String name, String labels, long value) {
    text.append(name).append('{').append(labels).append("} ").append(value).append('\n');
  }

  private static String number(double value) {
    return value == Math.rint(value) && Math.abs(value) < 1e15
        ? Long.toString((long) value)
        : String.format(Locale.ROOT, "%s", value);
  }

  private static String labels(SeriesKey key) {
    StringBuilder labels = new StringBuilder(900);
    label(labels, "reporter", key.reporter().text());
    peer(labels, "source", key.source(), "unknown");
    peer(labels, "destination", key.destination(), key.serviceName());
    label(labels, "destination_service", key.service());
    label(labels, "destination_service_name", key.serviceName());
    label(labels, "destination_service_namespace", key.serviceNamespace());
    boolean call = key.grpcStatus() >= 0;
    label(labels, "request_protocol", call ? "grpc" : "http");
    label(labels, "response_code", Integer.toString(key.code()));
    label(labels, "grpc_response_status", call ? Integer.toString(key.grpcStatus()) : "");
    label(labels, "response_flags", key.flags());
    label(labels, "connection_security_policy", key.reporter().securityPolicy());
    return labels.toString();
  }

  private static String labels(StreamKey key) {
    StringBuilder labels = new StringBuilder(900);
    label(labels, "reporter", key.reporter().text());
    peer(labels, "source", key.source(), "unknown");
    peer(labels, "destination", key.destination(), key.serviceName());
    label(labels, "destination_service", key.service());
    label(labels, "destination_service_name", key.serviceName());
    label(labels, "destination_service_namespace", key.serviceNamespace());
    label(labels, "request_protocol", "tcp");
    label(labels, "response_flags", key.flags());
    label(labels, "connection_security_policy", key.reporter().securityPolicy());
    return labels.toString();
  }

  private static void peer(StringBuilder labels, String side, Peer peer, String service) {
    label(labels, side + "_workload", peer.workload());
    label(labels, side + "_workload_namespace", peer.namespace());
    label(labels, side + "_principal", peer.principal());
    label(labels, side + "_app", peer.app());
    label(labels, side + "_version", peer.version());
    label(
        labels,
        side + "_canonical_service",
        peer.app().equals(Peer.UNKNOWN)
            ? service.equals("unknown") ? peer.workload() : service
            : peer.app());
    label(
        labels,
        side + "_canonical_revision",
        peer.version().equals(Peer.UNKNOWN) ? "latest" : peer.version());
    label(labels, side + "_cluster", Peer.UNKNOWN);
  }

  private static String latencyLabels(SeriesKey key) {
    StringBuilder labels = new StringBuilder(200);
    label(labels, "route", key.route());
    label(labels, "destination_workload", key.destination().workload());
    label(labels, "destination_workload_namespace", key.destination().namespace());
    return labels.toString();
  }

  private static void label(StringBuilder labels, String name, String value) {
    if (!labels.isEmpty()) {
      labels.append(',');
    }
    labels.append(name).append("=\"");
    for (int i = 0; i < value.length(); i++) {
      char c = value.charAt(i);
      switch (c) {
        case '\\' -> labels.append("\\\\");
        case '"' -> labels.append("\\\"");
        case '\n' -> labels.append("\\n");
        default -> labels.append(c);
      }
    }
    labels.append('"');
  }
}
