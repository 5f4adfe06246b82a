// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.plan;

import dev.weir.policy.plan.Identity.StrictPorts;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * An identity's {@link Identity#strict} as the kernel has it: what holds for most of its ports, and
 * blocks of ports for which something else does.
 *
 * @param rule that demands mutual TLS on all other ports; 0 when none does
 * @param exceptions without overlap, ascending
 */
public record StrictTable(int rule, List<Block> exceptions) {

  private static final int BITS = 16;
  private static final int PORTS = 1 << BITS;

  /** Copies the list. */
  public StrictTable {
    exceptions = List.copyOf(exceptions);
  }

  /**
   * Ports that have their first {@code length} bits in common.
   *
   * @param first lowest port, whose other bits are 0
   * @param length 0 to 16
   * @param rule that demands mutual TLS on them; 0 when none does
   */
  public record Block(int first, int length, int rule) {}

  private record Range(int first, int end, int rule) {}

  /** What one identity demands. */
  public static StrictTable of(Identity identity) {
    List<Range> ranges = ranges(identity.strict());
    Map<Integer, Integer> ports = new TreeMap<>();
    ranges.forEach(r -> ports.merge(r.rule(), r.end() - r.first(), Integer::sum));
    int most =
        ports.entrySet().stream()
            .max(Map.Entry.comparingByValue())
            .map(Map.Entry::getKey)
            .orElse(0);
    List<Block> exceptions = new ArrayList<>();
    ranges.stream().filter(r -> r.rule() != most).forEach(r -> split(r, exceptions));
    return new StrictTable(most, exceptions);
  }

  /** All ports, those on which nothing is demanded with the others. */
  private static List<Range> ranges(List<StrictPorts> strict) {
    List<Range> ranges = new ArrayList<>();
    int next = 0;
    for (StrictPorts ports :
        strict.stream().sorted(Comparator.comparingInt(StrictPorts::first)).toList()) {
      if (next < ports.first()) {
        ranges.add(new Range(next, ports.first(), 0));
      }
      ranges.add(new Range(ports.first(), ports.last() + 1, ports.rule()));
      next = ports.last() + 1;
    }
    if (next < PORTS) {
      ranges.add(new Range(next, PORTS, 0));
    }
    return ranges;
  }

  private static void split(Range range, List<Block> blocks) {
    int at = range.first();
    while (at < range.end()) {
      int size = at == 0 ? PORTS : Integer.lowestOneBit(at);
      while (at + size > range.end()) {
        size /= 2;
      }
      blocks.add(new Block(at, BITS - Integer.numberOfTrailingZeros(size), range.rule()));
      at += size;
    }
  }
}
