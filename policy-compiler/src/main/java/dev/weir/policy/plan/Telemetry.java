// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.plan;

/**
 * What the proxy tells of each request, beside its counts.
 *
 * @param accessLog which requests have a line of their own
 * @param tracing what becomes of requests that belong to no trace
 */
public record Telemetry(AccessLog accessLog, Tracing tracing) {

  /** What holds unless the Mesh says otherwise: no access log, and traces begin here. */
  public static final Telemetry DEFAULT = new Telemetry(AccessLog.OFF, new Tracing(true, 100));

  /**
   * Which requests have a line in the access log.
   *
   * @param oneIn every so-manieth request has one: 1 for all, 0 for none
   * @param errors those that fail have one in any case: answered 400 or above, or not at all
   * @param perSecond most lines in a second, at least 1; what comes beyond is counted
   * @param query whether a path is told with its query
   */
  public record AccessLog(int oneIn, boolean errors, int perSecond, boolean query) {

    /** {@code perSecond} unless the Mesh says otherwise. */
    public static final int PER_SECOND = 1000;

    /** No request has a line. */
    public static final AccessLog OFF = new AccessLog(0, false, PER_SECOND, false);

    /** Checks the ranges. */
    public AccessLog {
      if (oneIn < 0 || perSecond < 1) {
        throw new IllegalArgumentException("access log: " + oneIn + ", " + perSecond);
      }
    }

    /** Whether any request may have a line. */
    public boolean on() {
      return oneIn > 0 || errors;
    }
  }

  /**
   * What becomes of a request that belongs to no trace that can be read (W3C Trace Context).
   *
   * @param begin whether a trace begins here for one that brings no {@code traceparent}
   * @param sampledPercent how many of the traces that begin here are said to be sampled, 0 to 100
   */
  public record Tracing(boolean begin, int sampledPercent) {

    /** Checks the range. */
    public Tracing {
      if (sampledPercent < 0 || sampledPercent > 100) {
        throw new IllegalArgumentException("sampledPercent: " + sampledPercent);
      }
    }
  }
}
