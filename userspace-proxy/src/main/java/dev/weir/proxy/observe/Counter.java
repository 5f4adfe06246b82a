// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.observe;

/** Events the proxy counts about itself. */
public enum Counter {
  /** Client connections taken. */
  ACCEPTED("weir_proxy_connections_opened_total", "Client connections taken."),
  /** Client connections ended. */
  CLOSED("weir_proxy_connections_closed_total", "Client connections ended."),
  /** Closed at once: the kernel handed nothing over. */
  NO_ORIGIN(
      "weir_proxy_connections_refused_total{reason=\"no_origin\"}",
      "Client connections closed at once, by reason."),
  /** Closed at once: the source's number is not in the plan. */
  UNKNOWN_SOURCE("weir_proxy_connections_refused_total{reason=\"unknown_source\"}", ""),
  /** Closed at once: nothing is planned for the original destination. */
  UNPLANNED("weir_proxy_connections_refused_total{reason=\"unplanned_destination\"}", ""),
  /** Closed at once: too many connections. */
  TOO_MANY("weir_proxy_connections_refused_total{reason=\"limit\"}", ""),
  /** Closed at once: memory is short. */
  SHORT_OF_MEMORY("weir_proxy_connections_refused_total{reason=\"memory\"}", ""),
  /** Closed: no listener or route of connections is for its server name, or for any. */
  NO_ROUTE("weir_proxy_connections_refused_total{reason=\"no_route\"}", ""),
  /** Closed: its route has no backend for it, or none that can be reached. */
  NO_BACKEND("weir_proxy_connections_refused_total{reason=\"no_backend\"}", ""),
  /** Closed: by a verdict on it, as a whole. */
  DENIED("weir_proxy_connections_refused_total{reason=\"verdict\"}", ""),
  /** Closed when a new plan came that does not allow it. */
  REVOKED(
      "weir_proxy_connections_revoked_total",
      "Connections led on as they are that a later plan did not allow any more."),
  /** Connections let pass that a policy in audit would have refused. */
  CONNECTION_AUDITED(
      "weir_proxy_connections_audited_total",
      "Connections led on as they are that a policy in audit would have refused."),
  /** Requests that are not HTTP as it should be. */
  MALFORMED("weir_proxy_requests_malformed_total", "Requests refused for how they were written."),
  /** Requests answered 403. */
  FORBIDDEN("weir_proxy_requests_forbidden_total", "Requests refused by a verdict."),
  /** Requests let pass that a policy in audit, or one enforced without it, would have refused. */
  AUDITED(
      "weir_proxy_requests_audited_total",
      "Requests let pass that a policy in audit would have refused."),
  /** Requests answered 429. */
  RATE_LIMITED("weir_proxy_requests_rate_limited_total", "Requests refused by a rate limit."),
  /** Connections of HTTP/2 ended for frames without content, resets or malformed requests. */
  FLOOD(
      "weir_proxy_connection_floods_total",
      "Client connections of HTTP/2 ended for more frames without content, resets or malformed"
          + " requests than there is any use for."),
  /** Requests answered 503 because memory was short. */
  SHED("weir_proxy_requests_shed_total", "Requests refused early, because memory was short."),
  /** Heads that did not come in time. */
  HEAD_TIMEOUT("weir_proxy_head_timeouts_total", "Request heads that did not arrive in time."),
  /** Bodies that came too slowly. */
  BODY_TIMEOUT(
      "weir_proxy_body_timeouts_total", "Request bodies that came too slowly, before a response."),
  /** Requests tried a second time. */
  RETRIED("weir_proxy_upstream_retries_total", "Requests sent again on another connection."),
  /** Requests that were not tried again because too many others were. */
  RETRY_OVERFLOW(
      "weir_proxy_upstream_retries_refused_total",
      "Requests not sent again because too many others were."),
  /** Refused: too many connections to the cluster. */
  CIRCUIT_CONNECTIONS(
      "weir_proxy_circuit_overflow_total{limit=\"connections\"}",
      "Requests and connections refused since too much was under way to their backend."),
  /** Refused: too many requests wait for connections to the cluster. */
  CIRCUIT_WAITING("weir_proxy_circuit_overflow_total{limit=\"pending_requests\"}", ""),
  /** Refused: too many requests to the cluster. */
  CIRCUIT_REQUESTS("weir_proxy_circuit_overflow_total{limit=\"requests\"}", ""),
  /** Copies of requests begun to be sent. */
  MIRRORED("weir_proxy_mirrored_requests_total", "Copies of requests sent to mirrors."),
  /** Copies that were not sent, or not whole, or not answered. */
  MIRROR_LOST(
      "weir_proxy_mirrored_requests_lost_total",
      "Copies of requests that a mirror did not get whole, or did not answer."),
  /** Connections opened to backends. */
  UPSTREAM_OPENED("weir_proxy_upstream_connections_opened_total", "Connections to backends."),
  /** Connections to backends that failed. */
  UPSTREAM_FAILED(
      "weir_proxy_upstream_connections_failed_total", "Connections to backends that failed."),
  /** TLS handshakes with backends that failed. */
  UPSTREAM_TLS_FAILED(
      "weir_proxy_upstream_tls_handshakes_failed_total",
      "TLS handshakes with backends that failed."),
  /** TLS handshakes with clients that failed. */
  TLS_FAILED("weir_proxy_tls_handshakes_failed_total", "TLS handshakes with clients that failed."),
  /** TLS handshakes that failed for what a client showed, or did not show. */
  CLIENT_CERTIFICATE_REFUSED(
      "weir_proxy_client_certificates_refused_total",
      "TLS handshakes with clients that showed no certificate the listener believes."),
  /** Lines handed to the access log. */
  ACCESS_LOGGED("weir_proxy_access_log_lines_total", "Lines of the access log."),
  /** Lines of the access log that had no room, or no reader. */
  ACCESS_LOST(
      "weir_proxy_access_log_lost_total",
      "Lines that the access log had no room for: more than perSecond, or nobody took them."),
  /** Tunnels of other nodes taken. */
  TUNNEL_ACCEPTED("weir_proxy_tunnels_accepted_total", "Tunnels that other nodes have made."),
  /** Tunnels whose handshake failed, or that were no HTTP/2. */
  TUNNEL_REFUSED(
      "weir_proxy_tunnels_refused_total",
      "Tunnels of other nodes closed before they carried anything."),
  /** Tunnels made to other nodes. */
  TUNNEL_OPENED("weir_proxy_tunnels_opened_total", "Tunnels made to other nodes."),
  /** Tunnels that could not be made. */
  TUNNEL_FAILED(
      "weir_proxy_tunnels_failed_total", "Tunnels to other nodes that could not be made."),
  /** Connections that came by a tunnel. */
  TUNNEL_STREAM(
      "weir_proxy_tunnel_streams_total{direction=\"inbound\"}", "Connections within tunnels."),
  /** Connections that went by a tunnel. */
  TUNNEL_STREAM_OUT("weir_proxy_tunnel_streams_total{direction=\"outbound\"}", ""),
  /** Connections of tunnels refused before they were looked at. */
  TUNNEL_MALFORMED(
      "weir_proxy_tunnel_streams_refused_total{reason=\"malformed\"}",
      "Connections within tunnels refused, by reason."),
  /** Whoever came has proved to be nobody that the plan knows on another node. */
  TUNNEL_UNKNOWN("weir_proxy_tunnel_streams_refused_total{reason=\"unknown_source\"}", ""),
  /** Nobody on this node is meant. */
  TUNNEL_UNPLANNED("weir_proxy_tunnel_streams_refused_total{reason=\"unplanned_destination\"}", ""),
  /** Too many connections, or draining. */
  TUNNEL_FULL("weir_proxy_tunnel_streams_refused_total{reason=\"limit\"}", ""),
  /** Connections cut off because they were not read and took too much room. */
  TUNNEL_OVERWHELMED(
      "weir_proxy_tunnel_streams_cut_total",
      "Connections within tunnels cut off because nobody read them and room ran out."),
  /** Requests counted in the overflow row. */
  SERIES_OVERFLOW(
      "weir_proxy_metric_overflow_total", "Requests counted in the overflow row of istio metrics.");

  private final String sample;
  private final String help;

  Counter(String sample, String help) {
    this.sample = sample;
    this.help = help;
  }

  String sample() {
    return sample;
  }

  String family() {
    int brace = sample.indexOf('{');
    return brace < 0 ? sample : sample.substring(0, brace);
  }

  String help() {
    return help;
  }
}
