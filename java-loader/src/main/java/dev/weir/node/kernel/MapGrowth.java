// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import dev.weir.node.bpf.BpfMap;
import java.nio.ByteBuffer;
import java.util.HashMap;
import java.util.Map;
import java.util.Set;

/**
 * Carries the entries of a pinned map into the larger one of a later version. Values grow at their
 * end, so what was in them stays where it was, and a field that is new is zero.
 */
final class MapGrowth {

  /** What becomes of a map for which a later version wants more room, or longer values. */
  enum Way {
    /**
     * It stays as it is: programs of both versions use it at once, or one after the other for the
     * same connection. Longer values are refused.
     */
    STAYS,
    /** The new one begins with its entries. */
    COPIED,
    /** The new one begins with its entries, and gets what is counted until nobody counts there. */
    ADDED_UP,
    /** The new one is written from the plan, or begins empty. */
    ANEW;

    static Way of(String map) {
      if (TABLES.contains(map)) {
        return ANEW;
      }
      return switch (map) {
        case Mesh.EJECTIONS, Mesh.AFFINITIES, Mesh.HOMES -> COPIED;
        case Mesh.PAIRS, Mesh.REFUSALS, Mesh.COUNTERS -> ADDED_UP;
        case Mesh.ADDRESSES, Mesh.EVENTS, Mesh.EVENT_BUDGETS -> ANEW;
        default -> STAYS;
      };
    }
  }

  /** Of a generation: one outgrown table means all of them, since they are written together. */
  static final Set<String> TABLES =
      java.util.Arrays.stream(Table.values())
          .map(Table::map)
          .collect(java.util.stream.Collectors.toUnmodifiableSet());

  private final Map<String, Map<ByteBuffer, ByteBuffer>> copied = new HashMap<>();

  private static ByteBuffer kept(ByteBuffer buffer, int size) {
    return BpfMap.newBuffer(size).put(0, buffer, 0, size);
  }

  private static int values(BpfMap map) {
    return map.type() == BpfMap.Type.PERCPU_HASH || map.type() == BpfMap.Type.PERCPU_ARRAY
        ? BpfMap.possibleCpus()
        : 1;
  }

  /** Writes all entries of one map into another. */
  void copy(String name, BpfMap from, BpfMap to) {
    Map<ByteBuffer, ByteBuffer> entries = new HashMap<>();
    from.forEach(
        (key, value) -> entries.put(kept(key, from.keySize()), kept(value, from.lookupSize())));
    entries.forEach(
        (key, value) -> {
          ByteBuffer wide = to.newValue();
          for (int i = 0; i < values(from); i++) {
            wide.put(at(to, i), value, at(from, i), from.valueSize());
          }
          to.update(key, wide);
        });
    copied.put(name, entries);
  }

  private static int at(BpfMap map, int value) {
    return map.lookupSize() / values(map) * value;
  }

  /**
   * Adds what was counted since the copy. Whoever counts in the new map at the same moment may be
   * missed; nobody counts in the old one any more.
   */
  void addRest(String name, BpfMap from, BpfMap to) {
    Map<ByteBuffer, ByteBuffer> before = copied.getOrDefault(name, Map.of());
    Map<ByteBuffer, ByteBuffer> changed = new HashMap<>();
    from.forEach(
        (key, value) -> {
          ByteBuffer now = kept(value, from.lookupSize());
          if (!now.equals(before.get(key))) {
            changed.put(kept(key, from.keySize()), now);
          }
        });
    changed.forEach(
        (key, now) -> {
          ByteBuffer then = before.getOrDefault(key, from.newValue());
          ByteBuffer sum = to.newValue();
          to.lookup(key, sum);
          for (int i = 0; i < values(from); i++) {
            for (int word = 0; word + Long.BYTES <= from.valueSize(); word += Long.BYTES) {
              int there = at(to, i) + word;
              int here = at(from, i) + word;
              sum.putLong(there, sum.getLong(there) + now.getLong(here) - then.getLong(here));
            }
          }
          to.update(key, sum);
        });
  }
}
