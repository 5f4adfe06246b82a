// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.plan;

/**
 * One row of the verdict table.
 *
 * <p>The kernel asks, in this order, and the first row found decides: source and destination both
 * exact with (protocol, port), (protocol, 0), (ANY, 0); then, only when the source is not
 * egress-isolated, the same three with source ANY; then, only when the destination is not
 * ingress-isolated, the same three with destination ANY. When neither side is isolated nothing is
 * asked and the connection is allowed; when no row is found it is refused in the name of the policy
 * that isolates the destination, else the source.
 *
 * @param source identity, or {@link Reserved#ANY}
 * @param destination identity, or {@link Reserved#ANY}, never both ANY
 * @param protocol transport; {@link Protocol#ANY} only with port 0
 * @param port destination port or port class, 0 for any
 * @param decision what happens
 * @param rule index of the rule that says so
 */
public record Verdict(
    int source, int destination, Protocol protocol, int port, Decision decision, int rule)
    implements Comparable<Verdict> {

  /** The ordinal is the number in a row ({@code enum weir_verdict}). */
  public enum Decision {
    /** The connection fails. */
    REFUSE,
    /** The connection is made. */
    ALLOW,
    /** Made, and reported as what would have been refused. */
    AUDIT,
    /** Made as far as the proxy, which decides the rest. */
    INSPECT
  }

  private static final Protocol[] PROTOCOLS = Protocol.values();
  private static final Decision[] DECISIONS = Decision.values();

  /** Orders rows by their key. */
  @Override
  public int compareTo(Verdict other) {
    return Long.compare(key(), other.key());
  }

  /** The 46 key bits of the row: source 0-13, destination 14-27, port 28-43, protocol 44-45. */
  public long key() {
    return key(source, destination, protocol, port);
  }

  /** The 46 key bits of a row with these parts. */
  public static long key(int source, int destination, Protocol protocol, int port) {
    return (long) source
        | (long) destination << 14
        | (long) port << 28
        | (long) protocol.ordinal() << 44;
  }

  /** The whole row: key, decision in bits 46-47, rule in bits 48-63. */
  public long row() {
    return key() | (long) decision.ordinal() << 46 | (long) rule << 48;
  }

  /** The verdict of a whole row ({@link #row}). */
  public static Verdict ofRow(long row) {
    return new Verdict(
        (int) row & 0x3fff,
        (int) (row >>> 14) & 0x3fff,
        PROTOCOLS[(int) (row >>> 44) & 3],
        (int) (row >>> 28) & 0xffff,
        DECISIONS[(int) (row >>> 46) & 3],
        (int) (row >>> 48) & 0xffff);
  }
}
