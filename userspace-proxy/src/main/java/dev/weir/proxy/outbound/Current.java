// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.outbound;

import java.util.Optional;
import org.jspecify.annotations.Nullable;

/** Which generation is in force; the one thing that changes. Written by one thread, read by all. */
public final class Current {

  private volatile @Nullable Generation generation;

  /** None yet. */
  public Current() {}

  /**
   * The one in force.
   *
   * @throws IllegalStateException before the first update; no port is open then
   */
  public Generation get() {
    Generation now = generation;
    if (now == null) {
      throw new IllegalStateException("no update has come yet");
    }
    return now;
  }

  /** The one in force, if there was an update. */
  public Optional<Generation> find() {
    return Optional.ofNullable(generation);
  }

  /** Puts one in force. */
  public void set(Generation next) {
    generation = next;
  }
}
