// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.authorize;

import dev.weir.policy.authorize.AccessPolicies.Applied;
import dev.weir.policy.cluster.Cluster;
import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Block;
import dev.weir.policy.plan.Identity.StrictPorts;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.Verdict.Decision;
import dev.weir.policy.source.Diagnostics;
import dev.weir.policy.source.Purpose;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * What AuthorizationPolicies and PeerAuthentications leave of all connections, for questions about
 * a whole cluster: a connection that may carry some request passes. Policies in audit refuse
 * nothing.
 */
public final class AccessReach {

  /** A source without an address and a principal: a pod of which nothing is known. */
  public static final int STRANGER = 5;

  private static final int LAST_PORT = 65535;

  private final IdentityPartition identities;
  private final OutsideBlocks outside;
  private final AccessPolicies access;
  private final MutualTls mutualTls;

  /**
   * Ports of one protocol.
   *
   * @param protocol transport
   * @param first lowest, at least 1
   * @param last highest, inclusive
   */
  public record Ports(Protocol protocol, int first, int last) {}

  /** Of a cluster. */
  public AccessReach(Cluster cluster) {
    // Only numbers of rules come from it, which nobody here asks for.
    RuleTable rules = new RuleTable(cluster, new Diagnostics(Purpose.ASK));
    access = new AccessPolicies(cluster, rules);
    mutualTls = new MutualTls(cluster, rules);
    identities = new IdentityPartition(cluster.workloads().size());
    access.tellApart(identities);
    mutualTls.tellApart(identities);
    identities.cut();
    outside = new OutsideBlocks(access.sets().blocks(), identities.end());
    access.resolve(identities, outside, Map.of(), identities.end() + outside.count());
  }

  /** Whether everything passes. */
  public boolean isEverything() {
    return access.isEmpty() && mutualTls.isEmpty();
  }

  /** Blocks of outside addresses that some rule tells apart. */
  public List<Block> blocks() {
    return access.sets().blocks().stream().map(b -> b.block()).distinct().toList();
  }

  /** What nothing tells apart has one identity. */
  public int identity(int workload) {
    return identities.identityOf(workload);
  }

  /** The same of an address outside. */
  public int identity(Address address) {
    return Authorization.outside(outside.cidrs(), address);
  }

  /** What passes from a workload or {@link #STRANGER} to a workload, by identities. */
  public List<Ports> passing(int source, int destination) {
    List<Applied> policies = access.of(destination);
    IntList codes = new IntList();
    for (int protocol = 1; protocol < PortFunction.WIDE.length; protocol++) {
      codes.add(PortFunction.WIDE[protocol]);
    }
    for (Applied applied : policies) {
      applied.policy().rules().forEach(rule -> rule.codes(codes));
      for (int code : applied.ports().orElse(new int[0])) {
        codes.add(code);
      }
    }
    List<Ports> result = new ArrayList<>();
    int[] sorted = codes.toSet();
    for (int i = 0; i < sorted.length; i++) {
      if (PortCodes.port(sorted[i]) == 0) {
        rest(sorted, i, passes(policies, source, destination, sorted[i]), result);
      } else if (passes(policies, source, destination, sorted[i])) {
        int port = PortCodes.port(sorted[i]);
        result.add(new Ports(PortCodes.protocol(sorted[i]), port, port));
      }
    }
    return result;
  }

  /** Ports of a protocol that no rule names, if they pass. */
  private static void rest(int[] sorted, int wide, boolean passes, List<Ports> result) {
    if (!passes) {
      return;
    }
    int first = 1;
    for (int i = wide + 1; i < sorted.length && sorted[i] >>> 16 == sorted[wide] >>> 16; i++) {
      int port = PortCodes.port(sorted[i]);
      if (first < port) {
        result.add(new Ports(PortCodes.protocol(sorted[wide]), first, port - 1));
      }
      first = port + 1;
    }
    if (first <= LAST_PORT) {
      result.add(new Ports(PortCodes.protocol(sorted[wide]), first, LAST_PORT));
    }
  }

  private boolean passes(List<Applied> policies, int source, int destination, int code) {
    AccessVerdict verdict = new AccessVerdict();
    for (Applied applied : policies) {
      if (!applied.policy().audit() && applied.on(code)) {
        if (!applied.policy().deny()) {
          verdict.guardedBy(applied.policy().rule());
        }
        for (AccessRule rule : applied.policy().rules()) {
          int from = rule.from().answer(source);
          if (from != AccessRule.NO) {
            verdict.answered(
                rule,
                rule.answer(
                    from,
                    destination,
                    PortCodes.protocol(code),
                    PortCodes.port(code),
                    access.sets()));
          }
        }
      }
    }
    return PortFunction.decision(verdict.outcome()) != Decision.REFUSE;
  }

  /** Ports of a workload that plain text from outside does not reach. */
  public List<Ports> refusedInPlainText(int workload) {
    List<Ports> result = new ArrayList<>();
    for (StrictPorts strict : mutualTls.of(workload)) {
      result.add(new Ports(Protocol.TCP, Math.max(1, strict.first()), strict.last()));
    }
    return result;
  }
}
