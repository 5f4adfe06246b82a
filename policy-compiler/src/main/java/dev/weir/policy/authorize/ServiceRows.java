// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.authorize;

import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.Reserved;
import dev.weir.policy.plan.Verdict;
import dev.weir.policy.plan.Verdict.Decision;
import dev.weir.policy.steer.Steering;
import dev.weir.policy.steer.Steering.Target;
import dev.weir.policy.steer.Steering.VirtualPort;
import java.util.HashMap;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.IntPredicate;
import java.util.function.ToIntFunction;

/**
 * Rows about the proxy: whoever may reach one backend of a service's routes may reach the proxy in
 * the service's name, and the proxy may dial what its routes lead to.
 */
final class ServiceRows {

  private final Steering steering;
  private final Sides sides;
  private final ToIntFunction<Target> behind;
  private final PortSpace ports;
  private final RowTable known;
  private final RowTable rows;
  private final int[] sources;
  private final boolean hostGoverned;

  /** Who may reach one of these backends: services often lead to the same ones. */
  private final Map<Members, boolean[]> reached = new HashMap<>();

  /**
   * About the services of a cluster.
   *
   * @param known what is known of workloads
   * @param rows to add to
   */
  ServiceRows(
      Steering steering,
      Sides sides,
      ToIntFunction<Target> behind,
      PortSpace ports,
      RowTable known,
      RowTable rows,
      int[] sources,
      boolean hostGoverned) {
    this.steering = steering;
    this.sides = sides;
    this.behind = behind;
    this.ports = ports;
    this.known = known;
    this.rows = rows;
    this.sources = sources;
    this.hostGoverned = hostGoverned;
  }

  /**
   * The proxy may dial what its routes lead to; it asks for each request whether its source may.
   * What is reached by tunnel it may not: it dials that one's node.
   *
   * @param byTunnel whether an identity is of workloads that are reached by tunnel
   */
  void backends(IntPredicate byTunnel) {
    steering
        .proxied()
        .forEach(
            (target, rule) -> {
              Target found = steering.targets().get(target);
              int destination = behind.applyAsInt(found);
              if (!byTunnel.test(destination)) {
                rows.put(
                    Reserved.PROXY.index(),
                    destination,
                    PortCodes.code(Protocol.TCP, ports.classOf(found.port())),
                    Decision.ALLOW,
                    rule);
              }
            });
  }

  /** Adds the rows of a port of a service. */
  void service(VirtualPort port, int identity) {
    int rule = port.front().orElseThrow().rule();
    int code = PortCodes.code(Protocol.TCP, ports.classOf(port.port()));
    IntList list = new IntList();
    for (int target : destinations(steering, port)) {
      Target found = steering.targets().get(target);
      list.add(behind.applyAsInt(found) << 16 | ports.classOf(found.port()));
    }
    int[] backends = list.toSet();
    boolean[] may = reached.computeIfAbsent(new Members(backends), k -> whoMay(backends));
    int open = 0;
    int allowed = 0;
    for (int i = 0; i < sources.length; i++) {
      if (sides.egressIsolated(sources[i])) {
        if (may[i]) {
          rows.put(sources[i], identity, code, Decision.INSPECT, rule);
        }
      } else {
        open++;
        allowed += may[i] ? 1 : 0;
      }
    }
    // The fewer of the two get rows of their own.
    boolean most = allowed * 2 > open;
    if (most) {
      rows.put(Reserved.ANY.index(), identity, code, Decision.INSPECT, rule);
    }
    for (int i = 0; i < sources.length; i++) {
      if (!sides.egressIsolated(sources[i]) && may[i] != most) {
        rows.put(
            sources[i],
            identity,
            code,
            most ? Decision.REFUSE : Decision.INSPECT,
            most ? sides.ingressRule(identity) : rule);
      }
    }
  }

  private boolean[] whoMay(int[] backends) {
    boolean[] may = new boolean[sources.length];
    for (int i = 0; i < sources.length; i++) {
      may[i] =
          backends.length == 0
              ? sides.egress(sources[i]) != Sides.Side.ISOLATED
              : mayReachOne(sources[i], backends);
    }
    return may;
  }

  /** Targets that any rule of the service's routes leads to. */
  static Set<Integer> destinations(Steering steering, VirtualPort port) {
    TreeSet<Integer> targets = new TreeSet<>();
    for (int cluster : port.front().orElseThrow().clusters()) {
      targets.addAll(steering.clusters().get(cluster).targets());
    }
    return targets;
  }

  private boolean mayReachOne(int source, int[] backends) {
    if (source == Reserved.HOST.index() && !hostGoverned) {
      return true;
    }
    for (int backend : backends) {
      if (made(source, backend >>> 16, backend & 0xffff)) {
        return true;
      }
    }
    return false;
  }

  /** As the kernel would answer. */
  private boolean made(int source, int destination, int port) {
    boolean in = sides.ingressIsolated(destination);
    boolean out = sides.egressIsolated(source);
    if (!in && !out) {
      return true;
    }
    long row = known.find(source, destination, Protocol.TCP, port);
    if (row == 0 && !out) {
      row = known.find(Reserved.ANY.index(), destination, Protocol.TCP, port);
    }
    if (row == 0 && !in) {
      row = known.find(source, Reserved.ANY.index(), Protocol.TCP, port);
    }
    if (row != 0) {
      return Verdict.ofRow(row).decision() != Decision.REFUSE;
    }
    return (!in || sides.ingressAudit(destination)) && (!out || sides.egressAudit(source));
  }
}
