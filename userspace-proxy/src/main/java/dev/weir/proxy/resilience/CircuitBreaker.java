// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.resilience;

import dev.weir.policy.plan.TrafficPolicy.CircuitLimits;
import dev.weir.proxy.loop.Loop;
import dev.weir.proxy.upstream.Endpoint;
import java.util.List;
import java.util.Optional;

/**
 * How much may be under way towards one cluster at a time, in one generation; what is under way is
 * shared with the others. Defaults are Envoy's.
 *
 * <p>Event loops look at what the others have under way without waiting for them: those that begin
 * something at the same moment may together go beyond a limit by one less than there are loops.
 */
public final class CircuitBreaker {

  /** Of connections, of requests that wait for one, of requests; where no policy says it. */
  static final int DEFAULT = 1024;

  /** Of the requests in flight, repeated tries; where no policy gives a number. */
  static final int RETRY_PERCENT = 20;

  /** As many repeated tries are always allowed then. */
  static final int MIN_RETRIES = 3;

  private final InFlight inFlight;
  private final List<Endpoint> endpoints;
  private final int connections;
  private final int waiting;
  private final int requests;
  private final int retries;

  /** Whether a connection may be opened. */
  public enum Opening {
    /** It may. */
    ALLOWED,
    /** There are too many. */
    CONNECTIONS,
    /** Too many requests wait for one. */
    WAITING
  }

  /**
   * Of a cluster.
   *
   * @param endpoints of it
   * @param loops number of event loops
   * @param policy where one says it; what it leaves open is the default
   * @param previous of the same cluster, whose requests go on
   */
  public CircuitBreaker(
      List<Endpoint> endpoints,
      int loops,
      Optional<CircuitLimits> policy,
      Optional<CircuitBreaker> previous) {
    this.inFlight = previous.map(p -> p.inFlight).orElseGet(() -> new InFlight(loops));
    this.endpoints = List.copyOf(endpoints);
    this.connections = limit(policy.map(CircuitLimits::connections).orElse(0));
    this.waiting = limit(policy.map(CircuitLimits::pendingRequests).orElse(0));
    this.requests = limit(policy.map(CircuitLimits::requests).orElse(0));
    this.retries = policy.map(CircuitLimits::retries).orElse(0);
  }

  private static int limit(int said) {
    return said > 0 ? said : DEFAULT;
  }

  /** A request begins, unless there are too many. */
  public boolean begin(Loop loop) {
    if (inFlight.requests() >= requests) {
      return false;
    }
    inFlight.add(loop, 1);
    return true;
  }

  /** One that {@link #begin} ends. */
  public void ended(Loop loop) {
    inFlight.add(loop, -1);
  }

  /** Takes a place for one of those in flight to be tried again, if there is one. */
  public boolean takeRetry() {
    int most =
        retries > 0
            ? retries
            : Math.max(MIN_RETRIES, (int) (inFlight.requests() * (long) RETRY_PERCENT / 100));
    if (inFlight.retrying.incrementAndGet() > most) {
      inFlight.retrying.decrementAndGet();
      return false;
    }
    return true;
  }

  /** Gives the place back. */
  public void giveRetry() {
    inFlight.retrying.decrementAndGet();
  }

  /** Takes a place for a request to wait for a connection to be opened, if it may. */
  public Opening takeWaiting(Loop loop, Endpoint endpoint) {
    if (!mayOpen(loop, endpoint)) {
      return Opening.CONNECTIONS;
    }
    if (inFlight.waiting.incrementAndGet() > waiting) {
      inFlight.waiting.decrementAndGet();
      return Opening.WAITING;
    }
    return Opening.ALLOWED;
  }

  /** Gives the place back: there is a connection, or will be none. */
  public void giveWaiting() {
    inFlight.waiting.decrementAndGet();
  }

  /**
   * Whether there may be one connection more. A loop that has none to the endpoint may always open
   * one: those of other loops are of no use to it.
   */
  public boolean mayOpen(Loop loop, Endpoint endpoint) {
    if (endpoint.open(loop) == 0) {
      return true;
    }
    int open = 0;
    for (int i = 0; i < endpoints.size(); i++) {
      open += endpoints.get(i).open();
    }
    return open < connections;
  }
}
