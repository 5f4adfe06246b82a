// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.steer;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.steer.Slots.Share;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import net.jqwik.api.constraints.Size;
import org.junit.jupiter.api.Test;

/** Weights as counts of slots. */
class SlotsTest {

  private static List<Integer> slots(List<Integer> weights) {
    long total = weights.stream().mapToLong(Integer::longValue).sum();
    List<Share> shares = new ArrayList<>();
    for (int i = 0; i < weights.size(); i++) {
      shares.add(new Share(i, "backend-" + i, weights.get(i), total));
    }
    return Slots.of(shares);
  }

  @Test
  void sharesThatSlotsCanHoldAreExact() {
    List<Integer> slots = slots(List.of(995, 5));
    assertThat(slots).hasSize(1000);
    assertThat(Collections.frequency(slots, 1)).isEqualTo(5);
  }

  @Test
  void thirdsAreExact() {
    List<Integer> slots = slots(List.of(1, 1, 1));
    assertThat(slots).hasSize(999);
    for (int target = 0; target < 3; target++) {
      assertThat(Collections.frequency(slots, target)).isEqualTo(333);
    }
  }

  @Property(tries = 200)
  void everyShareIsOffByLessThanATenthOfAPercent(
      @ForAll @Size(min = 1, max = 8) List<@IntRange(max = 1_000_000) Integer> weights) {
    List<Integer> slots = slots(weights);
    long total = weights.stream().mapToLong(Integer::longValue).sum();
    if (total == 0) {
      assertThat(slots).isEmpty();
      return;
    }
    assertThat(slots).hasSizeBetween(1, Slots.MAX);
    for (int i = 0; i < weights.size(); i++) {
      double wanted = (double) weights.get(i) / total;
      double got = (double) Collections.frequency(slots, i) / slots.size();
      // Whoever has a share at all has a slot; that slot comes from the others.
      assertThat(got).isBetween(wanted - 0.001 * weights.size(), wanted + 0.001);
      assertThat(got > 0).isEqualTo(weights.get(i) > 0);
    }
  }

  @Property(tries = 100)
  void raisingOneWeightMovesAboutAsManySlotsAsItMust(
      @ForAll @IntRange(min = 1, max = 999) int before,
      @ForAll @IntRange(min = 1, max = 999) int after) {
    List<Integer> old = slots(List.of(1000 - before, before));
    List<Integer> now = slots(List.of(1000 - after, after));
    int moved = 0;
    for (int i = 0; i < Slots.MAX; i++) {
      moved += old.get(i).equals(now.get(i)) ? 0 : 1;
    }
    assertThat(moved).isEqualTo(Math.abs(before - after));
  }

  @Test
  void aFurtherBackendTakesOnlyWhatItGets() {
    List<Integer> old = slots(List.of(500, 500));
    List<Integer> now = slots(List.of(400, 400, 200));
    int moved = 0;
    for (int i = 0; i < Slots.MAX; i++) {
      moved += old.get(i).equals(now.get(i)) ? 0 : 1;
    }
    assertThat(moved).isBetween(200, 260);
  }

  @Test
  void aWeightOfZeroGetsNothing() {
    assertThat(slots(List.of(0, 3))).containsOnly(1);
  }

  @Test
  void moreBackendsThanSlotsTakeWhatThereIs() {
    assertThat(slots(Collections.nCopies(20_000, 1))).hasSize(Slots.MAX).doesNotHaveDuplicates();
  }
}
