// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.authorize;

import dev.weir.policy.plan.Protocol;
import java.util.Arrays;
import java.util.List;

/**
 * One rule of an AuthorizationPolicy as far as it can be answered about a connection: no, yes, or
 * that it depends on the request.
 *
 * @param rule its number in the plan
 * @param deny whether a match refuses
 * @param from who may match
 * @param to any of them; empty means every port
 * @param ports all of them, conditions on the port
 * @param destinations all of them, conditions on the destination
 * @param depends whether a condition asks for more than is known of a connection
 */
record AccessRule(
    int rule,
    boolean deny,
    SourcePart from,
    List<Operation> to,
    List<Ports> ports,
    List<Where> destinations,
    boolean depends) {

  /** It does not match, whatever the request. */
  static final int NO = 0;

  /** It matches some requests. */
  static final int DEPENDS = 1;

  /** It matches, whatever the request. */
  static final int YES = 2;

  /** Numbers of which one must be the port, and of which none may be. */
  @SuppressWarnings("ArrayRecordComponent") // never compared
  record Ports(int[] values, int[] notValues) {
    private boolean match(int port) {
      return (values.length == 0 || Arrays.binarySearch(values, port) >= 0)
          && Arrays.binarySearch(notValues, port) < 0;
    }
  }

  /** Ports, and whether more is asked for. */
  record Operation(Ports ports, boolean depends) {}

  /** Lists of addresses (numbers of {@link SourceSets}, -1 for none) that hold the destination. */
  record Where(int values, int notValues) {}

  /**
   * Its answer about who matches with {@code source}.
   *
   * @param source answer of {@link #from}
   * @param port as rows know it, 0 for all that no rule names
   */
  int answer(int source, int destination, Protocol protocol, int port, SourceSets sets) {
    int answer = depends ? Math.min(source, DEPENDS) : source;
    for (Ports condition : ports) {
      if (!condition.match(port)) {
        return NO;
      }
    }
    for (Where where : destinations) {
      if (where.values() >= 0 && !sets.identities(where.values()).get(destination)
          || where.notValues() >= 0 && sets.identities(where.notValues()).get(destination)) {
        return NO;
      }
    }
    if (!to.isEmpty()) {
      int best = NO;
      for (Operation operation : to) {
        if (operation.ports().match(port)) {
          best = Math.max(best, operation.depends() ? DEPENDS : YES);
        }
      }
      answer = Math.min(answer, best);
    }
    // Without requests there is nothing to wait for: what would be asked of them counts against.
    return answer == DEPENDS && protocol != Protocol.TCP ? (deny ? YES : NO) : answer;
  }

  /** Whether anything in it is about requests. */
  boolean mayAskOfRequests() {
    return depends || from.mayDepend() || to.stream().anyMatch(Operation::depends);
  }

  /**
   * Whether somebody's request may have to be looked at on a port, as far as sources and ports tell
   * without knowing who is who.
   */
  boolean asksOfRequests(int port) {
    for (Ports condition : ports) {
      if (!condition.match(port)) {
        return false;
      }
    }
    boolean asks = depends || from.mayDepend();
    if (to.isEmpty()) {
      return asks;
    }
    boolean matches = false;
    boolean surely = false;
    for (Operation operation : to) {
      if (operation.ports().match(port)) {
        matches = true;
        surely |= !operation.depends();
      }
    }
    return matches && (asks || !surely);
  }

  /** Adds the ports that it treats unlike those it does not name, of every protocol. */
  void codes(IntList codes) {
    AccessPolicies.rulePorts(this)
        .forEach(
            port -> {
              for (Protocol protocol : Protocol.values()) {
                if (protocol != Protocol.ANY) {
                  codes.add(PortCodes.code(protocol, port));
                }
              }
            });
  }
}
