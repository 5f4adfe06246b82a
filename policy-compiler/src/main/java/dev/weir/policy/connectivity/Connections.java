// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.connectivity;

import dev.weir.policy.plan.Protocol;
import java.util.Arrays;

/**
 * A set of (protocol, destination port). Immutable.
 *
 * <p>Kept as ascending, disjoint, non-adjacent intervals of codes: protocols in the order in which
 * they are written, then ports. Port 0 is in no set, so no interval reaches over two protocols.
 */
public final class Connections {

  /** In the order of their names, as texts have them. */
  private static final Protocol[] PROTOCOLS = {Protocol.SCTP, Protocol.TCP, Protocol.UDP};

  private static final int LAST_PORT = 65535;

  /** No connection at all. */
  public static final Connections NONE = new Connections(new int[0]);

  /** TCP, UDP and SCTP on every port. */
  public static final Connections ALL =
      of(Protocol.SCTP, 1, LAST_PORT)
          .or(of(Protocol.TCP, 1, LAST_PORT))
          .or(of(Protocol.UDP, 1, LAST_PORT));

  /** First and last of each interval. */
  private final int[] bounds;

  /** As it is written, once somebody has asked; rows by the million share one. */
  private String text = "";

  private Connections(int[] bounds) {
    this.bounds = bounds;
  }

  /**
   * One range of ports, both ends included.
   *
   * @throws IllegalArgumentException when the range is empty or not within 1 to 65535
   */
  public static Connections of(Protocol protocol, int first, int last) {
    if (first < 1 || last > LAST_PORT || first > last) {
      throw new IllegalArgumentException(
          "ports: " + first + "-" + last + " (expected: within 1-" + LAST_PORT + ")");
    }
    int base = base(protocol);
    return new Connections(new int[] {base + first, base + last});
  }

  /** Every port of one protocol. */
  public static Connections of(Protocol protocol) {
    return of(protocol, 1, LAST_PORT);
  }

  private static int base(Protocol protocol) {
    int index = Arrays.asList(PROTOCOLS).indexOf(protocol);
    if (index < 0) {
      throw new IllegalArgumentException("protocol: " + protocol + " (expected: one of the three)");
    }
    return index << 16;
  }

  /** Whether there is none. */
  public boolean isEmpty() {
    return bounds.length == 0;
  }

  /** Those of either. */
  public Connections or(Connections other) {
    return isEmpty() ? other : other.isEmpty() || equals(other) ? this : combine(other, 1);
  }

  /** Those of both. */
  public Connections and(Connections other) {
    return isEmpty() || equals(other) ? this : other.isEmpty() ? NONE : combine(other, 2);
  }

  /** Those that the other lacks. */
  public Connections minus(Connections other) {
    return isEmpty() || other.isEmpty() ? this : and(other.complement());
  }

  private Connections complement() {
    // Not only real ports: the gaps vanish again when this is cut with a set.
    int[] result = new int[bounds.length + 2];
    int size = 0;
    int next = 0;
    for (int i = 0; i < bounds.length; i += 2) {
      if (bounds[i] > next) {
        result[size++] = next;
        result[size++] = bounds[i] - 1;
      }
      next = bounds[i + 1] + 1;
    }
    result[size++] = next;
    result[size++] = Integer.MAX_VALUE - 1;
    return new Connections(Arrays.copyOf(result, size));
  }

  /** Sweeps over both: what lies in at least so many of the two. */
  private Connections combine(Connections other, int wanted) {
    int[] result = new int[bounds.length + other.bounds.length];
    int size = 0;
    int depth = 0;
    int a = 0;
    int b = 0;
    while (a < bounds.length || b < other.bounds.length) {
      // Where an interval begins (its first) or has ended (behind its last).
      int nextA = a < bounds.length ? bounds[a] + (a & 1) : Integer.MAX_VALUE;
      int nextB = b < other.bounds.length ? other.bounds[b] + (b & 1) : Integer.MAX_VALUE;
      int at = Math.min(nextA, nextB);
      int before = depth;
      while (a < bounds.length && bounds[a] + (a & 1) == at) {
        depth += (a++ & 1) == 0 ? 1 : -1;
      }
      while (b < other.bounds.length && other.bounds[b] + (b & 1) == at) {
        depth += (b++ & 1) == 0 ? 1 : -1;
      }
      if (before < wanted && depth >= wanted) {
        result[size++] = at;
      } else if (before >= wanted && depth < wanted) {
        result[size++] = at - 1;
      }
    }
    return size == 0 ? NONE : new Connections(Arrays.copyOf(result, size));
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof Connections connections && Arrays.equals(bounds, connections.bounds);
  }

  @Override
  public int hashCode() {
    return Arrays.hashCode(bounds);
  }

  /**
   * {@code All Connections}, {@code No Connections}, or as {@code TCP 80,8080-8090,UDP 53}:
   * protocols by name, their ports ascending, ranges as short as they can be.
   */
  @Override
  public String toString() {
    if (text.isEmpty()) {
      text = written();
    }
    return text;
  }

  private String written() {
    if (isEmpty()) {
      return "No Connections";
    }
    if (equals(ALL)) {
      return "All Connections";
    }
    StringBuilder result = new StringBuilder();
    int written = -1;
    for (int i = 0; i < bounds.length; i += 2) {
      int protocol = bounds[i] >>> 16;
      result.append(result.isEmpty() ? "" : ",");
      if (protocol != written) {
        written = protocol;
        result.append(PROTOCOLS[protocol]).append(' ');
      }
      int first = bounds[i] & 0xffff;
      int last = bounds[i + 1] & 0xffff;
      result.append(first);
      if (last != first) {
        result.append('-').append(last);
      }
    }
    return result.toString();
  }
}
