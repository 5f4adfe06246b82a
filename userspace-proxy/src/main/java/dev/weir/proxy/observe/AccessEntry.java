// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.observe;

/**
 * A finished request or connection as the access log tells it, named as Envoy names it. What is not
 * known is empty.
 *
 * @param durationNanos from its first byte to its end
 * @param method of the request; empty for a connection that is led on as it is
 * @param path as it came, normalised
 * @param protocol as {@code HTTP/1.1}
 * @param responseCode 0 without one
 * @param responseFlags as in the metrics, {@code -} for none
 * @param details why the proxy answered by itself; of a refusal rule, file and line
 * @param bytesReceived of the request's body, or from the client
 * @param bytesSent of the response's body, or to the client
 * @param upstreamHost address and port of the backend
 * @param userAgent header
 * @param requestId header
 * @param authority host that was asked for
 * @param forwardedFor header, as the backend got it
 * @param traceparent header, as the backend got it
 * @param remoteAddress address and port of the client
 * @param routeName {@code namespace/name}
 * @param serverName of the TLS handshake
 * @param source whom the kernel or its address named
 * @param destination whose the backend is
 * @param service that was asked
 */
public record AccessEntry(
    long durationNanos,
    String method,
    String path,
    String protocol,
    int responseCode,
    String responseFlags,
    String details,
    long bytesReceived,
    long bytesSent,
    String upstreamHost,
    String userAgent,
    String requestId,
    String authority,
    String forwardedFor,
    String traceparent,
    String remoteAddress,
    String routeName,
    String serverName,
    Peer source,
    Peer destination,
    String service) {

  void write(JsonLine line, long endMillis) {
    long millis = durationNanos / 1_000_000;
    boolean traced = traceparent.length() >= 55;
    line.begin()
        .text("start_time", Timestamps.text(endMillis - millis))
        .text("method", method)
        .text("path", path)
        .text("protocol", protocol)
        .number("response_code", responseCode)
        .text("response_flags", responseFlags)
        .text("response_code_details", details)
        .number("bytes_received", bytesReceived)
        .number("bytes_sent", bytesSent)
        .number("duration", millis)
        .text("upstream_host", upstreamHost)
        .text("user_agent", userAgent)
        .text("request_id", requestId)
        .text("authority", authority)
        .text("x_forwarded_for", forwardedFor)
        .text("downstream_remote_address", remoteAddress)
        .text("route_name", routeName)
        .text("requested_server_name", serverName)
        .text("source_workload", source.workload())
        .text("source_workload_namespace", source.namespace())
        .text("destination_workload", destination.workload())
        .text("destination_workload_namespace", destination.namespace())
        .text("destination_service", service)
        .text("trace_id", traced ? traceparent.substring(3, 35) : "")
        .text("span_id", traced ? traceparent.substring(36, 52) : "")
        .end();
  }
}
