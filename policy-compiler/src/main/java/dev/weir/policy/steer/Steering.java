// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.steer;

import dev.weir.policy.model.Service;
import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.ProxyPlan;
import dev.weir.policy.plan.TlsKeyPair;
import java.util.List;
import java.util.SortedMap;
import java.util.TreeMap;

/**
 * Where services and routes lead. Services are known by their index in {@link #services}, workloads
 * by theirs in the cluster, targets by theirs in {@link #targets}.
 *
 * @param services by namespace and name
 * @param targets real addresses, sorted; the first is at index 0
 * @param virtualPorts every port of every virtual address
 * @param clusters where routes lead, by name
 * @param listeners of Gateways; routes lead to clusters
 * @param listenerRules rule of each listener, by index
 * @param keyPairs what listeners name
 */
public record Steering(
    List<Service> services,
    List<Target> targets,
    List<VirtualPort> virtualPorts,
    List<RouteCluster> clusters,
    List<ProxyPlan.Listener> listeners,
    List<Integer> listenerRules,
    List<TlsKeyPair> keyPairs) {
  /** Copies the lists. */
  public Steering {
    services = List.copyOf(services);
    targets = List.copyOf(targets);
    virtualPorts = List.copyOf(virtualPorts);
    clusters = List.copyOf(clusters);
    listeners = List.copyOf(listeners);
    listenerRules = List.copyOf(listenerRules);
    keyPairs = List.copyOf(keyPairs);
  }

  /** A workload's port at an address. */
  public record Target(Address address, int port, int workload) implements Comparable<Target> {
    @Override
    public int compareTo(Target other) {
      int byAddress = address.compareTo(other.address);
      if (byAddress != 0) {
        return byAddress;
      }
      int byPort = Integer.compare(port, other.port);
      return byPort != 0 ? byPort : Integer.compare(workload, other.workload);
    }
  }

  /**
   * One port of one virtual address.
   *
   * @param service index
   * @param address virtual
   * @param port virtual
   * @param protocol transport
   * @param affinity by client address
   * @param targets who is behind it, ascending
   * @param routes attached to it, in order of precedence; empty when the kernel chooses
   */
  public record VirtualPort(
      int service,
      Address address,
      int port,
      Protocol protocol,
      boolean affinity,
      List<Integer> targets,
      List<ProxyPlan.Route> routes) {
    /** Copies the lists. */
    public VirtualPort {
      targets = List.copyOf(targets);
      routes = List.copyOf(routes);
    }

    /** Whether the proxy has to choose. */
    public boolean proxied() {
      return !routes.isEmpty();
    }
  }

  /**
   * A port of a service that routes lead to.
   *
   * @param service index
   * @param port of the service
   * @param name {@code namespace/service:port}
   * @param targets what can be dialled, ascending
   * @param workloads who is behind it, wherever they are; indexes of the cluster, ascending
   * @param rule the lowest rule of a route that leads to it
   */
  public record RouteCluster(
      int service,
      int port,
      String name,
      List<Integer> targets,
      List<Integer> workloads,
      int rule) {
    /** Copies the lists. */
    public RouteCluster {
      targets = List.copyOf(targets);
      workloads = List.copyOf(workloads);
    }
  }

  /**
   * Workloads and ports that the proxy dials, with the rule of the route that leads there first.
   *
   * @return target index to rule index
   */
  public SortedMap<Integer, Integer> proxied() {
    SortedMap<Integer, Integer> result = new TreeMap<>();
    for (RouteCluster cluster : clusters) {
      for (int target : cluster.targets()) {
        result.merge(target, cluster.rule(), Math::min);
      }
    }
    return result;
  }
}
