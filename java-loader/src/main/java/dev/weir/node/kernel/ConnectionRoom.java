// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import java.util.Map;
import java.util.Set;

/**
 * How much the kernel can remember of connections within their part, three sixteenths, of the
 * node's memory budget. Elements are counted with their buckets (a power of two, of 16 bytes).
 *
 * @param handovers between the SYN of a client and the accepted socket, which ends an entry
 * @param replies peers of UDP sockets that may be answered, or stand for a virtual address
 * @param limits pairs of source and destination whose rate is limited
 * @param ejections backends as one source has met them
 * @param affinities clients of services that keep to a backend
 * @param datagrams whose they are that go to another network namespace of the node
 * @param homes network namespaces that are workloads' own
 */
record ConnectionRoom(
    int handovers,
    int replies,
    int limits,
    int ejections,
    int affinities,
    int datagrams,
    int homes) {

  /** Maps whose size this is about. */
  static final Set<String> MAPS =
      Set.of(
          "handovers",
          "reply_peers",
          "limit_states",
          "ejections",
          "affinities",
          "datagrams",
          "homes");

  private static final int LEAST = 256;

  /**
   * The entries for which there is room.
   *
   * @param budget bytes of all kernel maps together
   */
  static ConnectionRoom within(long budget) {
    return new ConnectionRoom(
        entries(budget / 128 * 5, 176),
        entries(budget / 16, 136),
        entries(budget / 32, 128),
        entries(budget / 64, 128),
        entries(budget / 64, 128),
        entries(budget / 64, 144),
        entries(budget / 128, 96));
  }

  private static int entries(long bytes, int each) {
    return Math.clamp(bytes / each, LEAST, 1 << 20);
  }

  Map<String, Integer> sizes() {
    return Map.of(
        "handovers", handovers,
        "reply_peers", replies,
        "limit_states", limits,
        "ejections", ejections,
        "affinities", affinities,
        "datagrams", datagrams,
        "homes", homes);
  }
}
