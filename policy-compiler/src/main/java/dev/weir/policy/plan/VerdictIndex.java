// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.plan;

import dev.weir.policy.plan.Verdict.Decision;
import java.util.Arrays;
import java.util.List;

/**
 * Answers as the kernel does, from a plan: the same rows, the same order of look-ups ({@link
 * Verdict}), the same meaning of a miss. The proxy asks it about each backend, {@code explain} and
 * the tests ask it instead of the kernel.
 *
 * <p>Rows lie in one open-addressed array of words, about 12 to 24 bytes a row. It is immutable and
 * safe for any thread; a look-up allocates at most its answer.
 */
public final class VerdictIndex {

  private static final long KEY = (1L << 46) - 1;

  private static final int INGRESS_ISOLATED = 1;
  private static final int EGRESS_ISOLATED = 2;

  private final long[] rows;
  private final int mask;
  private final byte[] isolation;
  private final char[] ingressRules;
  private final char[] egressRules;
  private final char[] classFirst;
  private final char[] classLast;
  private final boolean hostGoverned;
  private final boolean audit;
  private final List<Cidr> cidrs;

  /**
   * What happens, and in whose name.
   *
   * @param decision what happens to the connection
   * @param rule index of the rule that decides; 0 ({@code Mesh}) when nothing isolates either side
   */
  public record Answer(Decision decision, int rule) {
    /** Whether the connection is made, if only as far as the proxy. */
    public boolean made() {
      return decision != Decision.REFUSE;
    }
  }

  /** Indexes a plan, whole or cut for the proxy. */
  public VerdictIndex(Plan plan) {
    int capacity = Integer.highestOneBit(Math.max(4, plan.verdicts().size() * 3 / 2)) * 2;
    rows = new long[capacity];
    mask = capacity - 1;
    for (Verdict verdict : plan.verdicts()) {
      int at = hash(verdict.key()) & mask;
      while (rows[at] != 0) {
        at = at + 1 & mask;
      }
      rows[at] = verdict.row();
    }
    int identities = plan.identities().size();
    isolation = new byte[identities];
    ingressRules = new char[identities];
    egressRules = new char[identities];
    for (int i = 0; i < identities; i++) {
      Identity identity = plan.identities().get(i);
      isolation[i] =
          (byte)
              ((identity.ingressIsolated() ? INGRESS_ISOLATED : 0)
                  | (identity.egressIsolated() ? EGRESS_ISOLATED : 0));
      ingressRules[i] = (char) identity.ingressRule();
      egressRules[i] = (char) identity.egressRule();
    }
    int classes = plan.portClasses().size();
    classFirst = new char[classes];
    classLast = new char[classes];
    for (int i = 0; i < classes; i++) {
      classFirst[i] = (char) plan.portClasses().get(i).first();
      classLast[i] = (char) plan.portClasses().get(i).last();
    }
    hostGoverned = plan.settings().hostGoverned();
    audit = plan.settings().audit();
    cidrs = plan.cidrs();
  }

  private static int hash(long key) {
    long mixed = key * 0x9e3779b97f4a7c15L;
    return (int) (mixed >>> 32);
  }

  /**
   * May {@code source} reach {@code destination}?
   *
   * @param source identity
   * @param destination identity
   * @param protocol transport, not {@link Protocol#ANY}
   * @param port destination port, 0 to 65535
   * @throws IndexOutOfBoundsException for an identity that the plan does not have
   */
  public Answer lookup(int source, int destination, Protocol protocol, int port) {
    boolean egress = (isolation[source] & EGRESS_ISOLATED) != 0;
    boolean ingress = (isolation[destination] & INGRESS_ISOLATED) != 0;
    if (!egress && !ingress) {
      return new Answer(Decision.ALLOW, 0);
    }
    int portClass = portClass(port);
    long row = find(source, destination, protocol, portClass);
    if (row == 0 && !egress) {
      row = find(Reserved.ANY.index(), destination, protocol, portClass);
    }
    if (row == 0 && !ingress) {
      row = find(source, Reserved.ANY.index(), protocol, portClass);
    }
    if (row != 0) {
      Verdict verdict = Verdict.ofRow(row);
      return refusable(source, verdict.decision(), verdict.rule());
    }
    return refusable(
        source, Decision.REFUSE, ingress ? ingressRules[destination] : egressRules[source]);
  }

  private Answer refusable(int source, Decision decision, int rule) {
    if (decision == Decision.REFUSE) {
      if (source == Reserved.HOST.index() && !hostGoverned) {
        // The node's own processes are nobody's to refuse, whatever isolates the destination.
        return new Answer(Decision.ALLOW, 0);
      }
      if (audit) {
        return new Answer(Decision.AUDIT, rule);
      }
    }
    return new Answer(decision, rule);
  }

  private long find(int source, int destination, Protocol protocol, int portClass) {
    long row = find(Verdict.key(source, destination, protocol, portClass));
    if (row == 0) {
      row = find(Verdict.key(source, destination, protocol, 0));
    }
    if (row == 0) {
      row = find(Verdict.key(source, destination, Protocol.ANY, 0));
    }
    return row;
  }

  private long find(long key) {
    int at = hash(key) & mask;
    while (rows[at] != 0) {
      if ((rows[at] & KEY) == key) {
        return rows[at];
      }
      at = at + 1 & mask;
    }
    return 0;
  }

  /** The number under which rows know a port: its class's first port, or itself. */
  public int portClass(int port) {
    int at = Arrays.binarySearch(classFirst, (char) port);
    int candidate = at >= 0 ? at : -at - 2;
    return candidate >= 0 && port <= classLast[candidate] ? classFirst[candidate] : port;
  }

  /** The identity of an address that belongs to no workload and is not this node's. */
  public int outside(Address address) {
    int identity = Reserved.OUTSIDE.index();
    int longest = -1;
    for (Cidr cidr : cidrs) {
      if (cidr.prefixLength() > longest
          && address.prefix(cidr.prefixLength()).equals(cidr.address())) {
        longest = cidr.prefixLength();
        identity = cidr.identity();
      }
    }
    return identity;
  }
}
