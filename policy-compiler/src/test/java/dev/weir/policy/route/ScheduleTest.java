// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.route;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import net.jqwik.api.constraints.LongRange;
import net.jqwik.api.constraints.Size;
import org.junit.jupiter.api.Test;

final class ScheduleTest {

  @Property
  void anyWindowOfTwoBackendsIsWithinOneRequestOfTheShare(
      @ForAll @IntRange(min = 1, max = 1_000_000) int first,
      @ForAll @IntRange(min = 1, max = 1_000_000) int second,
      @ForAll @LongRange(min = 0, max = Long.MAX_VALUE / 2) long start,
      @ForAll @IntRange(min = 1, max = 500) int length) {
    Schedule schedule = Schedule.of(List.of(first, second));
    int count = 0;
    for (long turn = start; turn < start + length; turn++) {
      count += schedule.at(turn) == 0 ? 1 : 0;
    }
    assertThat(Math.abs(count - share(length, first, (long) first + second))).isLessThan(1);
  }

  @Property
  void anyWindowOfManyBackendsIsWithinTwoRequestsOfTheShare(
      @ForAll @Size(min = 1, max = 16) List<@IntRange(min = 0, max = 1000) Integer> weights,
      @ForAll @LongRange(min = 0, max = 1_000_000) long start,
      @ForAll @IntRange(min = 1, max = 500) int length) {
    Schedule schedule = Schedule.of(weights);
    int[] counts = new int[weights.size()];
    long total = weights.stream().mapToLong(Integer::longValue).sum();
    for (long turn = start; turn < start + length; turn++) {
      int pick = schedule.at(turn);
      assertThat(pick >= 0).isEqualTo(total > 0);
      if (pick >= 0) {
        counts[pick]++;
      }
    }
    for (int i = 0; i < counts.length && total > 0; i++) {
      assertThat(Math.abs(counts[i] - share(length, weights.get(i), total))).isLessThan(2);
    }
  }

  @Property
  void aPeriodHoldsExactlyTheWeights(
      @ForAll @Size(min = 1, max = 16) List<@IntRange(min = 1, max = 100) Integer> weights) {
    Schedule schedule = Schedule.of(weights);
    int total = weights.stream().mapToInt(Integer::intValue).sum();
    int[] counts = new int[weights.size()];
    for (int turn = 0; turn < total; turn++) {
      counts[schedule.at(turn)]++;
    }
    assertThat(counts).containsExactly(weights.stream().mapToInt(Integer::intValue).toArray());
  }

  private static double share(int length, int weight, long total) {
    return (double) length * weight / total;
  }

  @Test
  void weightZeroIsNeverPicked() {
    Schedule schedule = Schedule.of(List.of(0, 3));
    for (int i = 0; i < 10; i++) {
      assertThat(schedule.next()).isEqualTo(1);
    }
    assertThat(Schedule.of(List.of(0)).next()).isEqualTo(-1);
    assertThat(Schedule.of(List.of()).next()).isEqualTo(-1);
  }

  @Test
  void threadsShareTheTurns() throws Exception {
    Schedule schedule = Schedule.of(List.of(99, 1));
    AtomicInteger canary = new AtomicInteger();
    List<Thread> threads =
        IntStream.range(0, 4)
            .mapToObj(
                t ->
                    Thread.ofPlatform()
                        .start(
                            () -> {
                              for (int i = 0; i < 25_000; i++) {
                                if (schedule.next() == 1) {
                                  canary.incrementAndGet();
                                }
                              }
                            }))
            .toList();
    for (Thread thread : threads) {
      thread.join();
    }
    assertThat(canary).hasValue(1000);
  }

  @Property(tries = 20)
  void anyHundredTurnsAreWithinOneOfTheCanarysShareHoweverManyThreadsTakeThem(
      @ForAll @IntRange(min = 1, max = 99) int canary,
      @ForAll @IntRange(min = 2, max = 6) int threads)
      throws Exception {
    Schedule schedule = Schedule.of(List.of(100 - canary, canary));
    int perThread = 2_000;
    // Each thread notes which turns it got; together they are one sequence without gaps.
    int[] byTurn = new int[threads * perThread];
    List<Thread> running =
        IntStream.range(0, threads)
            .mapToObj(
                t ->
                    Thread.ofPlatform()
                        .start(
                            () -> {
                              for (int i = 0; i < perThread; i++) {
                                long turn = schedule.take();
                                byTurn[(int) turn] = 1 + schedule.at(turn);
                              }
                            }))
            .toList();
    for (Thread thread : running) {
      thread.join();
    }
    assertThat(byTurn).doesNotContain(0);
    int inWindow = 0;
    for (int turn = 0; turn < byTurn.length; turn++) {
      inWindow += byTurn[turn] - 1;
      if (turn >= 100) {
        inWindow -= byTurn[turn - 100] - 1;
      }
      if (turn >= 99) {
        assertThat(Math.abs(inWindow - canary)).isLessThanOrEqualTo(1);
      }
    }
  }
}
