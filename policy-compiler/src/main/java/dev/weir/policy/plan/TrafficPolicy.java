// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.plan;

import java.util.List;

/**
 * What a {@code TrafficPolicy} demands of where it is attached.
 *
 * @param rule that stands for it
 * @param targets where it holds
 * @param settings at most one of each type
 */
public record TrafficPolicy(int rule, List<Target> targets, List<Setting> settings) {
  /** Copies the lists. */
  public TrafficPolicy {
    targets = List.copyOf(targets);
    settings = List.copyOf(settings);
  }

  /** What a target is. */
  public enum TargetKind {
    /** A Service: {@code index} is its place in {@link Plan#workloads}. */
    SERVICE,
    /** A workload: {@code index} is its place in {@link Plan#workloads}. */
    WORKLOAD,
    /** A Gateway: {@code index} is the rule that stands for it, or for its listener. */
    GATEWAY,
    /** A route: {@code index} is the rule that stands for it. */
    ROUTE
  }

  /**
   * Where a policy holds.
   *
   * @param kind what it is
   * @param index which one, see {@link TargetKind}
   * @param section port of a Service, listener of a Gateway or rule of a route; empty for all
   * @param port number of the port of a Service that the section names; else 0
   */
  public record Target(TargetKind kind, int index, String section, int port) {

    /** The whole of it, or a section that is no port. */
    public Target(TargetKind kind, int index, String section) {
      this(kind, index, section, 0);
    }
  }

  /** One demand. */
  public sealed interface Setting {}

  /** Of whom a rate is the limit. */
  public enum Scope {
    /** Of all sources together. */
    TOTAL,
    /** Of each source identity by itself. */
    SOURCE_IDENTITY
  }

  /**
   * New TCP connections, refused by the kernel beyond the rate.
   *
   * @param perSecond at least 1
   * @param burst most at once, at least 1
   * @param scope whose
   */
  public record ConnectionRate(int perSecond, int burst, Scope scope) implements Setting {}

  /**
   * UDP packets, dropped by the kernel beyond the rate.
   *
   * @param perSecond at least 1
   * @param burst most at once, at least 1
   * @param scope whose
   */
  public record PacketRate(int perSecond, int burst, Scope scope) implements Setting {}

  /**
   * HTTP requests, answered 429 by the proxy beyond any of the rates.
   *
   * @param rates at least one
   */
  public record RequestRates(List<RequestRate> rates) implements Setting {
    /** Copies the list. */
    public RequestRates {
      rates = List.copyOf(rates);
    }
  }

  /** What requests are counted by. */
  public enum RequestKey {
    /** All together. */
    TOTAL,
    /** Each source identity by itself. */
    SOURCE_IDENTITY,
    /** Each value of a request header by itself; requests without it share one count. */
    HEADER
  }

  /**
   * A rate of requests.
   *
   * @param requests at least 1
   * @param unitSeconds 1, 60 or 3600
   * @param burst most at once, at least 1
   * @param key what they are counted by
   * @param header name in lower case with {@link RequestKey#HEADER}, else empty
   */
  public record RequestRate(
      int requests, int unitSeconds, int burst, RequestKey key, String header) {}

  /**
   * A backend that keeps failing gets no requests for a while.
   *
   * @param consecutiveErrors answers 5xx, failed connects or timeouts in a row that eject
   * @param intervalMillis between looks
   * @param baseEjectionMillis of the first ejection; the n-th lasts n times as long
   * @param maxEjectedPercent of a Service's backends, 1 to 100
   */
  public record OutlierEjection(
      int consecutiveErrors, int intervalMillis, int baseEjectionMillis, int maxEjectedPercent)
      implements Setting {}

  /**
   * Most of each at once towards one port of a Service, answered 503 beyond; 0 is the default:
   * 1024, and of retries a share of the requests under way.
   *
   * @param connections open
   * @param pendingRequests waiting for a connection
   * @param requests under way
   * @param retries under way
   */
  public record CircuitLimits(int connections, int pendingRequests, int requests, int retries)
      implements Setting {}

  /** How a backend is asked whether it is well. */
  public enum HealthCheckType {
    /** A GET is answered with an expected status. */
    HTTP,
    /** A connection is accepted. */
    TCP,
    /** The gRPC health service answers SERVING. */
    GRPC
  }

  /**
   * Asks each backend.
   *
   * @param type how
   * @param port of the backend; 0 for the one that is served
   * @param path with HTTP; else empty
   * @param host with HTTP; empty for the Service's name
   * @param intervalMillis between two
   * @param timeoutMillis of one, at most the interval
   * @param healthyThreshold in a row that make it well again
   * @param unhealthyThreshold in a row that make it ill
   * @param firstStatus lowest expected status
   * @param lastStatus highest expected status
   */
  public record HealthCheck(
      HealthCheckType type,
      int port,
      String path,
      String host,
      int intervalMillis,
      int timeoutMillis,
      int healthyThreshold,
      int unhealthyThreshold,
      int firstStatus,
      int lastStatus)
      implements Setting {}

  /**
   * A backend that is new, or back, gets a share that grows to what the others have.
   *
   * @param windowMillis for how long it grows
   */
  public record SlowStart(int windowMillis) implements Setting {}

  /** How near a backend is. */
  public enum Level {
    /** On this node. */
    NODE,
    /** In this node's zone. */
    ZONE
  }

  /**
   * Which backends go first.
   *
   * @param prefer the nearest first; others only when none of these is well
   */
  public record Locality(List<Level> prefer) implements Setting {
    /** Copies the list. */
    public Locality {
      prefer = List.copyOf(prefer);
    }
  }

  /**
   * Takes a backend's weight away when it does worse than the route's others.
   *
   * @param service {@code namespace/name} of the backend
   * @param errorMarginPercent percentage points of answers 5xx more than the others; -1 to not look
   * @param p99MarginPercent how much slower the 99th percentile is; -1 to not look
   * @param windowSeconds over which both are measured
   * @param minimumRequests in the window, below which nothing is judged
   */
  public record CanaryRollback(
      String service,
      int errorMarginPercent,
      int p99MarginPercent,
      int windowSeconds,
      int minimumRequests)
      implements Setting {}

  /** By what the clients of a route are told apart. */
  public enum StickyKey {
    /** The value of a cookie. */
    COOKIE,
    /** The value of a request header. */
    HEADER,
    /** The workload that the request comes from. */
    SOURCE_IDENTITY
  }

  /**
   * The weights of a route's rules are shares of its clients, each of whom stays with a backend.
   *
   * @param key by what clients are told apart; requests without it are split one by one
   * @param name of the cookie, or of the header in lower case; else empty
   * @param cookieSeconds for how long the proxy gives a client a cookie that comes without one; 0
   *     to give none
   */
  public record StickySplit(StickyKey key, String name, int cookieSeconds) implements Setting {}

  /** What happens to connections for the proxy while there is none. */
  public enum Unavailable {
    /** They are refused. */
    REFUSE,
    /** The kernel picks a backend as for a service without routes. */
    BYPASS
  }

  /**
   * What happens while the proxy is gone.
   *
   * @param action with them
   */
  public record ProxyUnavailable(Unavailable action) implements Setting {}
}
