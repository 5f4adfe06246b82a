// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

final class HeapGrowthTest {

  private static final long MIB = 1 << 20;

  private final HeapGrowth heap = new HeapGrowth();

  @Test
  void aHeapThatHasGrownByAQuarterIsCollected() {
    assertThat(heap.isDue(16 * MIB)).isFalse();
    assertThat(heap.isDue(20 * MIB - 1)).isFalse();
    assertThat(heap.isDue(20 * MIB)).isTrue();
  }

  @Test
  void aSmallHeapIsLeftToGrow() {
    assertThat(heap.isDue(4 * MIB)).isFalse();
    assertThat(heap.isDue(5 * MIB)).isFalse();
    assertThat(heap.isDue(6 * MIB)).isTrue();
  }

  @Test
  void whatIsLeftAfterACollectionIsNotCollectedAgain() {
    assertThat(heap.isDue(10 * MIB)).isFalse();
    assertThat(heap.isDue(30 * MIB)).isTrue();
    heap.collected(28 * MIB);
    assertThat(heap.isDue(30 * MIB)).isFalse();
    assertThat(heap.isDue(35 * MIB)).isTrue();
  }

  @Test
  void aHeapThatShrankByItselfCountsFromThere() {
    assertThat(heap.isDue(30 * MIB)).isFalse();
    assertThat(heap.isDue(10 * MIB)).isFalse();
    assertThat(heap.isDue(13 * MIB)).isTrue();
  }
}
