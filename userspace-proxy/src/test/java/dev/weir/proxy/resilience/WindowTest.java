// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.resilience;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.LongRange;
import net.jqwik.api.constraints.Size;
import org.junit.jupiter.api.Test;

final class WindowTest {

  private static final long SECOND = TimeUnit.SECONDS.toNanos(1);

  @Property
  void aBucketHoldsItsValuesAndIsNarrow(@ForAll @LongRange(max = Integer.MAX_VALUE) long micros) {
    int bucket = Window.bucket(micros);
    assertThat(Window.least(bucket)).isLessThanOrEqualTo(micros);
    assertThat(Window.least(bucket + 1)).isGreaterThan(micros);
    assertThat(Window.least(bucket + 1) - Window.least(bucket))
        .isLessThanOrEqualTo(Math.max(1, micros / 32));
  }

  @Property(tries = 200)
  void theQuantileLiesWithinItsBounds(
      @ForAll @Size(min = 1, max = 500) List<@LongRange(max = 10_000_000) Long> micros) {
    Window window = new Window(10 * SECOND, 0);
    for (long value : micros) {
      window.add(false, value * 1000, SECOND);
    }
    List<Long> sorted = micros.stream().sorted().toList();
    long p99 = sorted.get(Math.ceilDiv(99 * sorted.size(), 100) - 1);
    Window.Sums sums = window.sums(SECOND);
    assertThat(sums.requests()).isEqualTo(micros.size());
    assertThat(p99).isBetween(sums.p99Low(), sums.p99High() - 1);
  }

  @Test
  void whatIsOlderThanTheWindowCountsNoMore() {
    Window window = new Window(10 * SECOND, 0);
    for (int second = 0; second < 100; second++) {
      window.add(second % 2 == 0, SECOND, second * SECOND);
      assertThat(window.requests(second * SECOND)).isEqualTo(Math.min(second + 1, 10));
      assertThat(window.sums(second * SECOND).errors()).isEqualTo(second < 9 ? second / 2 + 1 : 5);
    }
    assertThat(window.requests(200 * SECOND)).isZero();
  }

  @Test
  void threadsLoseNothing() throws Exception {
    Window window = new Window(10 * SECOND, 0);
    List<Thread> threads =
        IntStream.range(0, 4)
            .mapToObj(
                t ->
                    Thread.ofPlatform()
                        .start(
                            () -> {
                              for (int i = 0; i < 20_000; i++) {
                                window.add(i % 4 == 0, i, SECOND * (i / 4000));
                              }
                            }))
            .toList();
    for (Thread thread : threads) {
      thread.join();
    }
    Window.Sums sums = window.sums(5 * SECOND);
    assertThat(sums.requests()).isEqualTo(80_000);
    assertThat(sums.errors()).isEqualTo(20_000);
  }
}
