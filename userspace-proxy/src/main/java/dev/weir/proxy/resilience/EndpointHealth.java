// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.resilience;

import java.util.concurrent.atomic.AtomicInteger;

/**
 * How an endpoint does as one of a cluster's. Shared by all event loops and by the generations that
 * name it there. What is asked for each request is read without a lock.
 */
final class EndpointHealth {

  /** Of slow start; Envoy's min_weight_percent has the same default. */
  private static final double LEAST_SHARE = 0.1;

  private final String endpoint;
  private final AtomicInteger errors = new AtomicInteger();
  private volatile boolean ejected;
  private volatile boolean ill;

  // Written under the cluster's lock.
  private volatile int ejections;
  private volatile long readmitAt;
  private long readmitted;

  /** When it began to get requests, or to get them again; 0 when it was there from the start. */
  private volatile long since;

  EndpointHealth(String endpoint) {
    this.endpoint = endpoint;
  }

  /** Its address, for people. */
  String endpoint() {
    return endpoint;
  }

  /** Whether it gets requests, as far as it alone is asked. */
  boolean usable() {
    return !ejected && !ill;
  }

  /** Whether it does not answer health checks as it should. */
  boolean ill() {
    return ill;
  }

  void ill(boolean now) {
    ill = now;
  }

  boolean ejected() {
    return ejected;
  }

  /** How often it was ejected, less what time or success has taken off. */
  int ejections() {
    return ejections;
  }

  /** When it comes back; only while it is ejected. */
  long readmitAt() {
    return readmitAt;
  }

  /** One more in a row. */
  int erred() {
    return errors.incrementAndGet();
  }

  /** None in a row; written only where that is news, so that loops do not contend for it. */
  void succeeded() {
    if (errors.getPlain() != 0) {
      errors.set(0);
    }
  }

  /**
   * How often in a row it will have been ejected with the next time.
   *
   * @param forgetNanos for each of these that it stayed in, one time is forgotten; 0: for none
   */
  int nextEjection(long now, long forgetNanos) {
    long forgotten =
        ejections == 0 || forgetNanos == 0 ? 0 : Math.max(0, now - readmitted) / forgetNanos;
    return (int) Math.max(0, ejections - forgotten) + 1;
  }

  void eject(int times, long until) {
    errors.set(0);
    ejections = times;
    readmitAt = until;
    ejected = true;
  }

  void readmit(long now) {
    errors.set(0);
    readmitted = now;
    begin(now);
    ejected = false;
  }

  /** It gets requests from now on that it did not get before. */
  void begin(long now) {
    since = now == 0 ? 1 : now;
  }

  /**
   * How much of an equal share it gets.
   *
   * @param windowNanos in which the share grows
   * @return from a tenth to 1
   */
  double share(long now, long windowNanos) {
    long begun = since;
    if (begun == 0) {
      return 1;
    }
    long age = now - begun;
    if (age >= windowNanos) {
      return 1;
    }
    return Math.max(LEAST_SHARE, (double) age / windowNanos);
  }

  void forgive() {
    ejections = 0;
  }
}
