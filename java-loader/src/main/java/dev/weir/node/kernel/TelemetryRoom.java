// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import dev.weir.node.bpf.BpfMap;
import java.util.Map;
import java.util.Set;

/**
 * How many rows telemetry has room for within its quarter of the node's memory budget. A row is
 * counted once per possible processor, so the more of them there are, the fewer rows: what finds no
 * row of its own is counted in the overflow row.
 *
 * @param pairs rows of {@code pairs}
 * @param refusals rows of {@code refusals}
 */
record TelemetryRoom(int pairs, int refusals) {

  /** Maps whose size this is about. */
  static final Set<String> MAPS = Set.of(Mesh.PAIRS, Mesh.REFUSALS);

  /** The ring of events, and per processor the counters and the events' budgets. */
  private static final long RING = 256L << 10;

  private static final long COUNTERS_PER_CPU = 1L << 10;

  /**
   * Bytes of one element of a hash with values per processor: the element itself (header, key,
   * pointer) and each processor's share, in the size classes of the kernel's allocator for BPF (16,
   * 32, 64, 96, 128, 192, 256), which keeps 8 bytes before a share.
   */
  private static final long ELEMENT = 96;

  private static final long PAIR_SHARE = 192;
  private static final long REFUSAL_SHARE = 16;

  /** One in so many rows is a kind of refusal's, which is small. */
  private static final int REFUSALS_PART = 2;

  private static final int LEAST = 64;
  private static final int MOST = 8192;

  /**
   * For this machine.
   *
   * @param budget bytes of all kernel maps together
   */
  static TelemetryRoom here(long budget) {
    return within(budget / 4, BpfMap.possibleCpus());
  }

  /**
   * The rows for which there is room.
   *
   * @param bytes for all of telemetry
   * @param cpus possible processors
   */
  static TelemetryRoom within(long bytes, int cpus) {
    long left = bytes - RING - cpus * COUNTERS_PER_CPU;
    long pair = ELEMENT + cpus * PAIR_SHARE;
    long refusal = ELEMENT + cpus * REFUSAL_SHARE;
    long pairs = left / (pair + refusal / REFUSALS_PART);
    int rows = Math.clamp(pairs, LEAST, MOST);
    return new TelemetryRoom(rows, Math.max(LEAST, rows / REFUSALS_PART));
  }

  Map<String, Integer> sizes() {
    return Map.of(Mesh.PAIRS, pairs, Mesh.REFUSALS, refusals);
  }
}
