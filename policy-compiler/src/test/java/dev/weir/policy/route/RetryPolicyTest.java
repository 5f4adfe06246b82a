// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.route;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.ProxyPlan.Retry;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

final class RetryPolicyTest {

  @Test
  void thePauseIsNeverLessThanTheBackoffAndGrowsToABound() {
    RetryPolicy policy = new RetryPolicy(new Retry(List.of(503), 100, 40));
    SplittableRandom random = new SplittableRandom(1);
    for (int retry = 1; retry <= 100; retry++) {
      long jitter = Math.min(250, 25L << Math.min(retry - 1, 20));
      for (int i = 0; i < 200; i++) {
        assertThat(policy.delayMillis(retry, random)).isBetween(40L, 40 + jitter);
      }
    }
  }

  @Test
  void onlyTheCodesOfTheRuleAreFailures() {
    RetryPolicy policy = new RetryPolicy(new Retry(List.of(500, 503), 1, 0));
    assertThat(policy.covers(503)).isTrue();
    assertThat(policy.covers(500)).isTrue();
    assertThat(policy.covers(502)).isFalse();
  }
}
