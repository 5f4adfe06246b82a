// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import java.time.Duration;
import java.util.Optional;

/**
 * The word of {@code current}: which slot is in force, and until when.
 *
 * @param slot 0 or 1
 * @param deadline second of CLOCK_BOOTTIME from which the other slot is in force again; 0 for none
 */
record Slot(int slot, long deadline) {

  private static final long NANOS = 1_000_000_000L;

  static Slot of(long word) {
    return new Slot((int) (word & 1), word >>> 1);
  }

  long word() {
    return deadline << 1 | slot;
  }

  int other() {
    return slot ^ 1;
  }

  /** Whether a deadline has passed. */
  boolean expired(long bootNanos) {
    return deadline != 0 && bootNanos / NANOS >= deadline;
  }

  /** As {@code weir_slot_in_force}. */
  int inForce(long bootNanos) {
    return expired(bootNanos) ? other() : slot;
  }

  /** Time left until a deadline that has not passed. */
  Optional<Duration> left(long bootNanos) {
    return deadline == 0 || expired(bootNanos)
        ? Optional.empty()
        : Optional.of(Duration.ofNanos(deadline * NANOS - bootNanos));
  }

  /** The deadline at least this long from now; 0 for a length of zero. */
  static long deadline(Duration within, long bootNanos) {
    return within.isZero() ? 0 : (bootNanos + within.toNanos() + NANOS - 1) / NANOS;
  }
}
