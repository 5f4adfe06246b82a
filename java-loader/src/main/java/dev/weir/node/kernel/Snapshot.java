// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.Verdict;
import java.util.List;
import java.util.Map;

/**
 * The kernel's counters at one moment, summed over processors. All of them only grow while the pins
 * live.
 *
 * @param pairs connections by pair
 * @param refusals refused and audited ones
 * @param counters by name in lower case without prefix ({@code events_lost}, {@code connects}, ...)
 */
public record Snapshot(List<Pair> pairs, List<Refusal> refusals, Map<String, Long> counters) {

  /** Copies the collections. */
  public Snapshot {
    pairs = List.copyOf(pairs);
    refusals = List.copyOf(refusals);
    counters = Map.copyOf(counters);
  }

  /**
   * Connections from one workload to another.
   *
   * @param source stable number
   * @param destination stable number
   * @param port destination port as judged
   * @param protocol transport
   * @param verdict as what they were let pass; {@code REFUSE} only in the overflow row
   * @param accepted counted where it was accepted: who made it has no socket on this node. Then
   *     connects are not timed, and retransmits and round-trip times are those of who accepted
   * @param opened connections established
   * @param closed connections closed
   * @param sentBytes by the source so far, of open connections too
   * @param receivedBytes by the source so far, of open connections too
   * @param retransmits so far, of open connections too
   * @param roundTripMicrosSum smoothed round-trip times, summed: of each connection at each reading
   *     of these counters while it is open, and at its close
   * @param roundTripSamples how many were summed
   * @param durationMicrosSum from established to closed, or until now, summed
   * @param connectMicrosSum from connect() to established, summed
   * @param failed allowed, and then refused or timed out by the peer
   * @param connectHistogram element i counts connects that took less than 2^i microseconds (and not
   *     less than 2^(i-1)); the last takes the rest
   */
  public record Pair(
      int source,
      int destination,
      int port,
      Protocol protocol,
      Verdict.Decision verdict,
      boolean accepted,
      long opened,
      long closed,
      long sentBytes,
      long receivedBytes,
      long retransmits,
      long roundTripMicrosSum,
      long roundTripSamples,
      long durationMicrosSum,
      long connectMicrosSum,
      long failed,
      List<Long> connectHistogram) {
    /** Copies the list. */
    public Pair {
      connectHistogram = List.copyOf(connectHistogram);
    }

    /** Whether this is the row of all pairs that found no room for one of their own. */
    public boolean isOverflow() {
      return source == 0 && destination == 0;
    }

    /** How many connects were timed. */
    public long timed() {
      return connectHistogram.stream().mapToLong(Long::longValue).sum();
    }

    /** Connections that are open now; UDP has none that close. */
    public long open() {
      return protocol == Protocol.TCP ? Math.max(0, opened - closed) : 0;
    }
  }

  /**
   * Refusals of one kind.
   *
   * @param source stable number
   * @param destination stable number
   * @param port destination port as asked for
   * @param protocol transport
   * @param rule stable number
   * @param reason why
   * @param audited reported only, not refused
   * @param turnedAway told where it came in, not where it was sent
   * @param count how many
   */
  public record Refusal(
      int source,
      int destination,
      int port,
      Protocol protocol,
      int rule,
      Reason reason,
      boolean audited,
      boolean turnedAway,
      long count) {

    /** Whether this is the row of all kinds that found no room for one of their own. */
    public boolean isOverflow() {
      return source == 0 && destination == 0 && reason == Reason.NONE;
    }
  }
}
