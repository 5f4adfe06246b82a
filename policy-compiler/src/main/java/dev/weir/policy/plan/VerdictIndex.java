// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.plan;

import dev.weir.policy.plan.Verdict.Decision;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

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
  private static final int INGRESS_AUDIT = 4;
  private static final int EGRESS_AUDIT = 8;

  private final long[] rows;
  private final int mask;
  private final byte[] isolation;
  private final char[] ingressRules;
  private final char[] egressRules;
  private final char[] classFirst;
  private final char[] classLast;
  private final boolean hostGoverned;
  private final boolean audit;
  private final List<Identity> identities;
  private final Outside outside;

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
    identities = plan.identities();
    int count = identities.size();
    isolation = new byte[count];
    ingressRules = new char[count];
    egressRules = new char[count];
    for (int i = 0; i < count; i++) {
      Identity identity = plan.identities().get(i);
      isolation[i] =
          (byte)
              ((identity.ingressIsolated() ? INGRESS_ISOLATED : 0)
                  | (identity.egressIsolated() ? EGRESS_ISOLATED : 0)
                  | (identity.ingressAudit() ? INGRESS_AUDIT : 0)
                  | (identity.egressAudit() ? EGRESS_AUDIT : 0));
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
    outside = new Outside(plan.cidrs());
  }

  private static int hash(long key) {
    long mixed = key * 0x9e3779b97f4a7c15L;
    return (int) (mixed >>> 32);
  }

  /**
   * May {@code source} reach {@code destination}? Whoever is no process of this node comes over a
   * wire, in plain text: where PeerAuthentication demands mutual TLS, that is refused.
   *
   * @param source identity
   * @param destination identity
   * @param protocol transport, not {@link Protocol#ANY}
   * @param port destination port, 0 to 65535
   * @throws IndexOutOfBoundsException for an identity that the plan does not have
   */
  public Answer lookup(int source, int destination, Protocol protocol, int port) {
    Answer answer = lookupFromHere(source, destination, protocol, port);
    if (protocol == Protocol.TCP && answer.made() && outside.isOverWire(source)) {
      for (Identity.StrictPorts strict : identities.get(destination).strict()) {
        if (strict.first() <= port && port <= strict.last()) {
          return refusable(source, Decision.REFUSE, strict.rule());
        }
      }
    }
    return answer;
  }

  /**
   * The same for a connection that is made on this node, be it in the name of somebody elsewhere,
   * as the proxy makes them for clients of Gateways: nothing goes over a wire. The kernel answers
   * so.
   */
  public Answer lookupFromHere(int source, int destination, Protocol protocol, int port) {
    int from = isolation[source];
    int to = isolation[destination];
    boolean egress = (from & EGRESS_ISOLATED) != 0;
    boolean ingress = (to & INGRESS_ISOLATED) != 0;
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
    boolean refusedThere = ingress && (to & INGRESS_AUDIT) == 0;
    boolean refusedHere = egress && (from & EGRESS_AUDIT) == 0;
    return refusable(
        source,
        refusedThere || refusedHere ? Decision.REFUSE : Decision.AUDIT,
        refusedThere || ingress && !refusedHere ? ingressRules[destination] : egressRules[source]);
  }

  private Answer refusable(int source, Decision decision, int rule) {
    if (decision == Decision.REFUSE || decision == Decision.AUDIT) {
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

  /** The identity of an address as a source: of no process on this node. */
  public int outside(Address address) {
    return outside.identity(address);
  }

  /** Address blocks: the longest prefix that holds an address decides. */
  private static final class Outside {

    private final List<Map<Address, Integer>> byLength = new ArrayList<>();
    private final List<Integer> lengths;
    private final BitSet overWire = new BitSet();

    Outside(List<Cidr> cidrs) {
      Map<Integer, Map<Address, Integer>> found = new TreeMap<>(Comparator.reverseOrder());
      overWire.set(Reserved.OUTSIDE.index());
      for (Cidr cidr : cidrs) {
        found
            .computeIfAbsent(cidr.prefixLength(), k -> new HashMap<>())
            .put(cidr.address(), cidr.identity());
        overWire.set(cidr.identity());
      }
      lengths = List.copyOf(found.keySet());
      lengths.forEach(l -> byLength.add(Map.copyOf(found.getOrDefault(l, Map.of()))));
    }

    int identity(Address address) {
      for (int i = 0; i < byLength.size(); i++) {
        Integer identity = byLength.get(i).get(address.prefix(lengths.get(i)));
        if (identity != null) {
          return identity;
        }
      }
      return Reserved.OUTSIDE.index();
    }

    boolean isOverWire(int source) {
      return overWire.get(source);
    }
  }
}
