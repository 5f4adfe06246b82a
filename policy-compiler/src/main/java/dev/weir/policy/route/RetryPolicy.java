// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.route;

import dev.weir.policy.plan.ProxyPlan.Retry;
import java.util.BitSet;
import java.util.random.RandomGenerator;

/**
 * Which tries of a request are repeated, and when (Gateway API HTTPRouteRetry). A try fails when no
 * connection can be made, when the connection ends before the response's head, when the rule's
 * timeout for a single try passes, and when the backend answers one of the rule's codes. The method
 * does not matter: who asks for retries says that a request may be made twice.
 */
public final class RetryPolicy {

  /** Of the first pause, at most; it doubles with each further try. */
  static final long BASE_MILLIS = 25;

  /** Of any pause. The rule's backoff comes on top of it. */
  static final long MAX_MILLIS = 250;

  private final BitSet codes = new BitSet();
  private final int attempts;
  private final long backoffMillis;

  /** As a rule has it. */
  public RetryPolicy(Retry retry) {
    retry.codes().forEach(codes::set);
    this.attempts = retry.attempts();
    this.backoffMillis = retry.backoffMillis();
  }

  /** Tries after the first one, at most. */
  public int attempts() {
    return attempts;
  }

  /** Whether a backend that answers so failed. */
  public boolean covers(int status) {
    return codes.get(status);
  }

  /**
   * How long to wait: never less than the rule's backoff, and a random time more, so that clients
   * that failed together do not come back together.
   *
   * @param retry from 1
   * @return milliseconds
   */
  public long delayMillis(int retry, RandomGenerator random) {
    long most = Math.min(MAX_MILLIS, BASE_MILLIS << Math.min(retry - 1, 10));
    return backoffMillis + random.nextLong(most + 1);
  }
}
