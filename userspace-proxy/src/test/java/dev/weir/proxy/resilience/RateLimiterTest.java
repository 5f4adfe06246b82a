// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.resilience;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.TrafficPolicy.RequestKey;
import dev.weir.policy.plan.TrafficPolicy.RequestRate;
import dev.weir.proxy.observe.Log;
import java.io.OutputStream;
import java.io.PrintStream;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicIntegerArray;
import java.util.stream.IntStream;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import net.jqwik.api.constraints.LongRange;
import org.junit.jupiter.api.Test;

final class RateLimiterTest {

  private static final long SECOND = TimeUnit.SECONDS.toNanos(1);

  private final Journal journal =
      new Journal(
          new Log(new PrintStream(OutputStream.nullOutputStream(), true, StandardCharsets.UTF_8)));

  private RateLimiter limiter(int requests, int unit, int burst, RequestKey key, long now) {
    return new RateLimiter(
        new RequestRate(requests, unit, burst, key, "x-tenant"), "p", "p", journal, now);
  }

  private RateLimiter total(int requests, int unit, int burst) {
    return limiter(requests, unit, burst, RequestKey.TOTAL, 0);
  }

  @Test
  void theBurstGetsThroughAtOnceAndThenOneForEachPartOfTheUnit() {
    RateLimiter limiter = total(3, 1, 2);
    assertThat(limiter.take("", 0).granted()).isTrue();
    assertThat(limiter.take("", 0).granted()).isTrue();
    assertThat(limiter.take("", 0).granted()).isFalse();
    assertThat(limiter.take("", SECOND / 3 - 10).granted()).isFalse();
    assertThat(limiter.take("", SECOND / 3 + 1).granted()).isTrue();
    assertThat(limiter.take("", SECOND / 3 + 1).granted()).isFalse();
    for (int i = 0; i < 2; i++) {
      assertThat(limiter.take("", 100 * SECOND).granted()).isTrue();
    }
    assertThat(limiter.take("", 100 * SECOND).granted()).isFalse();
  }

  /** The same algorithm in whole numbers of any size; time in requests times nanoseconds. */
  private static final class Exact {
    private final BigInteger interval;
    private final BigInteger most;
    private final BigInteger requests;
    private BigInteger tat = BigInteger.ZERO;

    Exact(int requests, int unit, int burst) {
      this.requests = BigInteger.valueOf(requests);
      this.interval = BigInteger.valueOf(unit * SECOND);
      this.most = interval.multiply(BigInteger.valueOf(burst));
    }

    boolean take(long now) {
      BigInteger time = BigInteger.valueOf(now).multiply(requests);
      BigInteger next = tat.max(time).add(interval);
      if (next.subtract(time).compareTo(most) > 0) {
        return false;
      }
      tat = next;
      return true;
    }
  }

  /** At times that parts of a request's time stand for exactly, so does each decision. */
  @Property(tries = 300)
  void whoGetsThroughIsAsOfExactNumbers(
      @ForAll @IntRange(min = 1, max = 2_000) int requests,
      @ForAll @IntRange(min = 0, max = 2) int unit,
      @ForAll @IntRange(min = 1, max = 50) int burst,
      @ForAll long seed) {
    int seconds = List.of(1, 60, 3600).get(unit);
    long step = List.of(1_953_125L, 234_375_000L, 3_515_625_000L).get(unit);
    RateLimiter limiter = total(requests, seconds, burst);
    Exact exact = new Exact(requests, seconds, burst);
    SplittableRandom random = new SplittableRandom(seed);
    long most = Math.max(1, 2L * seconds * SECOND / requests / step);
    long now = 0;
    for (int i = 0; i < 400; i++) {
      now += step * random.nextLong(most + 1);
      assertThat(limiter.take("", now).granted()).isEqualTo(exact.take(now));
    }
  }

  /**
   * At any time a request may be a tick early or late, once in each busy period; but no more get
   * through than with one more at once, and no fewer than with one less.
   */
  @Property(tries = 300)
  void asManyGetThroughAsOfExactNumbers(
      @ForAll @IntRange(min = 1, max = 2_000_000) int requests,
      @ForAll @IntRange(min = 0, max = 2) int unit,
      @ForAll @IntRange(min = 2, max = 50) int burst,
      @ForAll @LongRange(max = 100_000_000L) long start,
      @ForAll long seed) {
    int seconds = List.of(1, 60, 3600).get(unit);
    RateLimiter limiter = total(requests, seconds, burst);
    Exact more = new Exact(requests, seconds, burst + 1);
    Exact less = new Exact(requests, seconds, burst - 1);
    SplittableRandom random = new SplittableRandom(seed);
    long now = start * SECOND;
    long interval = Math.max(1, seconds * SECOND / requests);
    int granted = 0;
    int atMost = 0;
    int atLeast = 0;
    for (int i = 0; i < 400; i++) {
      now += random.nextLong(2 * interval);
      granted += limiter.take("", now).granted() ? 1 : 0;
      atMost += more.take(now) ? 1 : 0;
      atLeast += less.take(now) ? 1 : 0;
      assertThat(granted).isBetween(atLeast, atMost);
    }
  }

  @Test
  void eventLoopsTogetherGetTheBurstAndNoMore() throws Exception {
    RateLimiter limiter = total(1, 3600, 1000);
    AtomicInteger granted = new AtomicInteger();
    List<Thread> threads = new ArrayList<>();
    for (int t = 0; t < 4; t++) {
      threads.add(
          Thread.ofPlatform()
              .start(
                  () -> {
                    for (int i = 0; i < 2000; i++) {
                      if (limiter.take("", 5).granted()) {
                        granted.incrementAndGet();
                      }
                    }
                  }));
    }
    for (Thread thread : threads) {
      thread.join();
    }
    assertThat(granted).hasValue(1000);
  }

  @Test
  void manyKeysAreBoundedAndNobodyGetsMoreByThem() {
    RateLimiter limiter = limiter(1, 60, 2, RequestKey.HEADER, 0);
    int granted = 0;
    for (int key = 0; key < 3 * RateLimiter.MAX_KEYS; key++) {
      granted += limiter.take("key" + key, SECOND).granted() ? 1 : 0;
    }
    assertThat(limiter.keys()).isEqualTo(RateLimiter.MAX_KEYS);
    // Those without a place are together what one key is.
    assertThat(granted).isEqualTo(RateLimiter.MAX_KEYS + 2);
    // Who has a place has what is left of it, and no new burst.
    assertThat(limiter.take("key0", SECOND).granted()).isTrue();
    assertThat(limiter.take("key0", SECOND).granted()).isFalse();
    assertThat(journal.counted(Journal.Event.RATE_KEYS_FULL)).isPositive();
    // Whoever has all of its burst again may be forgotten: key0 has not.
    long later = SECOND + 61 * SECOND;
    assertThat(limiter.take("new", later).granted()).isTrue();
    assertThat(limiter.keys()).isLessThan(10);
    assertThat(limiter.take("key0", later).granted()).isTrue();
    assertThat(limiter.take("key0", later).granted()).isFalse();
  }

  @Test
  void whatIsForgottenWhileItIsUsedIsCountedAllTheSame() throws Exception {
    // Half of the keys come again and again; the others only take places, so that sweeps go on.
    long origin = System.nanoTime();
    RateLimiter limiter = limiter(10, 1, 1, RequestKey.HEADER, origin);
    int regulars = 16;
    AtomicIntegerArray granted = new AtomicIntegerArray(regulars);
    long end = origin + 2 * SECOND;
    List<Thread> threads =
        IntStream.range(0, 4)
            .mapToObj(
                t ->
                    Thread.ofPlatform()
                        .start(
                            () -> {
                              for (int i = 0; System.nanoTime() < end; i++) {
                                int key = i % regulars;
                                if (limiter.take("regular" + key, System.nanoTime()).granted()) {
                                  granted.incrementAndGet(key);
                                }
                                limiter.take("other" + t + "-" + i, System.nanoTime());
                              }
                            }))
            .toList();
    for (Thread thread : threads) {
      thread.join();
    }
    double seconds = (System.nanoTime() - origin) / 1e9;
    for (int key = 0; key < regulars; key++) {
      assertThat((double) granted.get(key)).isLessThanOrEqualTo(1 + 10 * seconds + 1);
    }
  }

  @Test
  void whatIsGivenBackMayBeTakenAgain() {
    RateLimiter limiter = total(1, 60, 1);
    RateLimiter.Taken taken = limiter.take("", 7);
    assertThat(taken.granted()).isTrue();
    assertThat(limiter.take("", 7).granted()).isFalse();
    taken.giveBack();
    assertThat(limiter.take("", 7).granted()).isTrue();
  }

  @Test
  void whatIsLeftAndWhenTheNextComesBackIsTold() {
    RateLimiter limiter = total(60, 60, 10);
    assertThat(limiter.windowSeconds()).isEqualTo(10);
    RateLimiter.Taken first = limiter.take("", 0);
    assertThat(first.remaining()).isEqualTo(9);
    assertThat(first.seconds()).isEqualTo(1);
    for (int i = 0; i < 9; i++) {
      limiter.take("", 0);
    }
    RateLimiter.Taken refused = limiter.take("", 0);
    assertThat(refused.granted()).isFalse();
    assertThat(refused.remaining()).isZero();
    assertThat(refused.seconds()).isEqualTo(1);
    assertThat(total(1, 3600, 1).take("", 0).seconds()).isEqualTo(3600);
  }
}
