// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import org.junit.jupiter.api.Test;

final class SlotTest {

  private static final long SECOND = 1_000_000_000L;

  @Test
  void aSlotWithoutADeadlineIsInForceForEver() {
    assertThat(new Slot(1, 0).word()).isEqualTo(1);
    assertThat(new Slot(1, 0).inForce(Long.MAX_VALUE)).isEqualTo(1);
    assertThat(new Slot(1, 0).left(5)).isEmpty();
  }

  @Test
  void fromItsDeadlineOnTheOtherSlotIsInForce() {
    Slot slot = Slot.of(new Slot(0, 100).word());
    assertThat(slot).isEqualTo(new Slot(0, 100));
    assertThat(slot.inForce(100 * SECOND - 1)).isZero();
    assertThat(slot.inForce(100 * SECOND)).isEqualTo(1);
    assertThat(slot.left(99 * SECOND)).contains(Duration.ofSeconds(1));
    assertThat(slot.left(100 * SECOND)).isEmpty();
  }

  @Test
  void aDeadlineIsNeverEarlierThanAsked() {
    assertThat(Slot.deadline(Duration.ZERO, 5 * SECOND)).isZero();
    assertThat(Slot.deadline(Duration.ofSeconds(2), 5 * SECOND + 1)).isEqualTo(8);
    assertThat(Slot.deadline(Duration.ofSeconds(2), 5 * SECOND)).isEqualTo(7);
  }
}
