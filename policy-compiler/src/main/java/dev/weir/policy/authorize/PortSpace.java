// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.authorize;

import dev.weir.policy.cluster.Cluster;
import dev.weir.policy.model.NetworkPolicy.Port;
import dev.weir.policy.model.PortReference;
import dev.weir.policy.model.Workload;
import dev.weir.policy.plan.PortClass;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Ports as rules name them, and as rows do. */
final class PortSpace {

  private static final int[] EVERYTHING = {PortCodes.EVERYTHING};

  private final Cluster cluster;
  private final IdentityPartition identities;
  private final PortPartition partition = new PortPartition();

  PortSpace(Cluster cluster, Mentions mentions, IdentityPartition identities) {
    this.cluster = cluster;
    this.identities = identities;
    for (int range : mentions.ranges()) {
      partition.range(range >>> 16, range & 0xffff);
    }
    if (mentions.names().isEmpty()) {
      return;
    }
    for (Workload workload : cluster.workloads()) {
      for (Workload.Port port : workload.ports()) {
        if (mentions.names().contains(port.name())) {
          partition.single(port.port());
        }
      }
    }
  }

  /** What a policy calls by a name that is another port elsewhere is told apart. */
  static void tellApart(Cluster cluster, Mentions mentions, IdentityPartition identities) {
    if (mentions.names().isEmpty()) {
      return;
    }
    Map<List<Object>, IntList> byName = new HashMap<>();
    for (int w = 0; w < cluster.workloads().size(); w++) {
      for (Workload.Port port : cluster.workloads().get(w).ports()) {
        if (mentions.names().contains(port.name())) {
          byName
              .computeIfAbsent(
                  List.of(port.name(), port.protocol(), port.port()), k -> new IntList())
              .add(w);
        }
      }
    }
    identities.tellApart(byName);
  }

  /** Whether the ports of ranges have the same numbers as in another one. */
  boolean cutsAs(PortSpace other) {
    return partition.cutsAs(other.partition);
  }

  /** Something names this port. */
  void single(int port) {
    partition.single(port);
  }

  /** The number under which rows know a port. */
  int classOf(int port) {
    return partition.classOf(port);
  }

  /** Classes of more than one port, ascending. */
  List<PortClass> classes() {
    return partition.classes();
  }

  static boolean everyPort(PortReference.Numbers range) {
    return range.first() <= 1 && range.last() == 65535;
  }

  /** Whether a name is among them, so that they mean something else towards each destination. */
  static boolean named(List<Port> ports) {
    for (Port port : ports) {
      if (port.port().isPresent() && port.port().get() instanceof PortReference.Named) {
        return true;
      }
    }
    return false;
  }

  /** What a clause's ports are towards a destination, as codes, ascending. */
  int[] codes(List<Port> wanted, int destination) {
    if (wanted.isEmpty()) {
      return EVERYTHING;
    }
    IntList codes = new IntList();
    for (Port port : wanted) {
      if (port.port().isEmpty()) {
        codes.add(PortCodes.code(port.protocol(), 0));
        continue;
      }
      switch (port.port().get()) {
        case PortReference.Numbers range -> {
          if (everyPort(range)) {
            codes.add(PortCodes.code(port.protocol(), 0));
          } else {
            for (int number : partition.classesOf(range.first(), range.last())) {
              codes.add(PortCodes.code(port.protocol(), number));
            }
          }
        }
        case PortReference.Named name -> {
          if (identities.holds(destination)) {
            // Every workload of a class means the same by a name that policies use.
            Workload workload = cluster.workloads().get(identities.representative(destination));
            for (Workload.Port own : workload.ports()) {
              if (own.name().equals(name.name()) && own.protocol() == port.protocol()) {
                codes.add(PortCodes.code(own.protocol(), partition.classOf(own.port())));
              }
            }
          }
        }
      }
    }
    return codes.toSet();
  }
}
