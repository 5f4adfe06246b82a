// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.cli;

import dev.weir.policy.answer.Routed;
import dev.weir.policy.answer.Routing;
import dev.weir.policy.route.LocalReply;
import dev.weir.policy.route.Location;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;

/** Answers of {@code route} as JSON values; the names are documented in docs/policy.md and stay. */
final class RouteReports {

  private RouteReports() {}

  /** What becomes of a request. */
  static Map<String, Object> routed(Routed routed) {
    Map<String, Object> report = new LinkedHashMap<>();
    report.put("status", routed.status());
    if (routed.connection() != Routed.Connection.MADE) {
      report.put("connection", word(routed.connection()));
    }
    if (routed.grpcStatus().isPresent()) {
      report.put("grpc_status", LocalReply.grpcName(routed.grpcStatus().getAsInt()));
      report.put("grpc_status_number", routed.grpcStatus().getAsInt());
    }
    report.put("why", routed.why());
    report.put("entrance", entrance(routed.entrance()));
    report.put("rule", routed.meets().map(Reports::rule));
    if (!routed.name().isEmpty()) {
      report.put("rule_name", routed.name());
    }
    if (routed.match() >= 0) {
      report.put("match", routed.match());
    }
    report.put("backends", routed.shares().stream().map(s -> share(s, routed)).toList());
    if (!routed.failing().isEmpty()) {
      report.put("failing", routed.failing().stream().map(RouteReports::failing).toList());
    }
    report.put("redirect", routed.redirect().map(RouteReports::redirect));
    if (!routed.shares().isEmpty()) {
      report.put("backend_request", request(routed.shares().getFirst().request()));
      report.put("response_headers", routed.shares().getFirst().response());
    } else {
      report.put("response_headers", routed.response());
    }
    List<Map<String, Object>> mirrors = new ArrayList<>();
    for (Routed.Mirror mirror : routed.mirrors()) {
      Map<String, Object> item = new LinkedHashMap<>();
      item.put("name", mirror.name());
      item.put("namespace", mirror.namespace());
      item.put("port", mirror.port());
      item.put("percent", number(mirror.percent()));
      mirrors.add(item);
    }
    report.put("mirrored_to", mirrors);
    routed
        .action()
        .ifPresent(
            action -> {
              if (action.requestTimeoutMillis() > 0) {
                report.put("request_timeout_ms", action.requestTimeoutMillis());
              }
              if (action.backendTimeoutMillis() > 0) {
                report.put("backend_timeout_ms", action.backendTimeoutMillis());
              }
            });
    routed
        .retry()
        .ifPresent(
            retry -> {
              Map<String, Object> item = new LinkedHashMap<>();
              item.put("codes", retry.codes());
              item.put("attempts", retry.attempts());
              item.put("backoff_ms", retry.backoffMillis());
              report.put("retry", item);
            });
    return report;
  }

  private static Map<String, Object> entrance(Routed.Entrance entrance) {
    Map<String, Object> report = new LinkedHashMap<>();
    report.put("kind", entrance.kind());
    report.put("name", entrance.name());
    if (!entrance.listener().isEmpty()) {
      report.put("listener", entrance.listener());
    }
    report.put("port", entrance.port());
    report.put("rule", entrance.place().map(Reports::rule));
    return report;
  }

  /** What differs between the backends is said with each, all else once. */
  private static Map<String, Object> share(Routed.Share share, Routed routed) {
    Map<String, Object> report = new LinkedHashMap<>();
    report.put("name", share.name());
    report.put("namespace", share.namespace());
    report.put("port", share.port());
    report.put("share", share.fraction());
    report.put("kind", share.kind());
    report.put("workloads", share.workloads());
    Routed.Share first = routed.shares().getFirst();
    if (!share.request().equals(first.request()) || !share.response().equals(first.response())) {
      report.put("backend_request", request(share.request()));
      report.put("response_headers", share.response());
    }
    return report;
  }

  private static Map<String, Object> failing(Routed.Failing failing) {
    Map<String, Object> report = new LinkedHashMap<>();
    if (failing.connection() == Routed.Connection.MADE) {
      report.put("status", failing.status());
    } else {
      report.put("connection", word(failing.connection()));
    }
    report.put("share", failing.fraction());
    report.put(
        "backend", failing.backend().isEmpty() ? Optional.empty() : Optional.of(failing.backend()));
    report.put("why", failing.why());
    return report;
  }

  private static String word(Routed.Connection connection) {
    return connection.name().toLowerCase(Locale.ROOT);
  }

  private static Map<String, Object> redirect(Location location) {
    Map<String, Object> report = new LinkedHashMap<>();
    report.put("scheme", location.scheme());
    if (!location.host().isEmpty()) {
      report.put("host", location.host());
    }
    if (location.port() != 0) {
      report.put("port", Integer.toString(location.port()));
    }
    report.put("path", location.target().path());
    if (location.target().hasQuery()) {
      report.put("query", location.target().query());
    }
    return report;
  }

  private static Map<String, Object> request(Routed.BackendRequest request) {
    Map<String, Object> report = new LinkedHashMap<>();
    report.put("method", request.method());
    if (!request.host().isEmpty()) {
      report.put("host", request.host());
    }
    report.put("path", request.path());
    report.put("headers", request.headers());
    return report;
  }

  /** Whole numbers without a point. */
  private static Object number(double value) {
    return value == Math.rint(value) ? (Object) (long) value : value;
  }

  static String percent(double fraction) {
    return Routing.Share.percent(fraction);
  }

  /** For people. */
  static String outcome(Routed routed) {
    if (routed.connection() != Routed.Connection.MADE) {
      return "the connection is " + word(routed.connection());
    }
    return routed.grpcStatus().isPresent()
        ? "gRPC "
            + LocalReply.grpcName(routed.grpcStatus().getAsInt())
            + " ("
            + routed.grpcStatus().getAsInt()
            + ")"
        : routed.shares().isEmpty() ? "the proxy answers " + routed.status() : "a backend answers";
  }
}
