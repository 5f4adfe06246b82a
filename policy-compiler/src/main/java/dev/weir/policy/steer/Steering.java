// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.steer;

import dev.weir.policy.model.Service;
import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.ProxyPlan;
import dev.weir.policy.plan.TlsKeyPair;
import java.util.List;
import java.util.Optional;
import java.util.SortedMap;
import java.util.TreeMap;

/**
 * Where services and routes lead. Services are known by their index in {@link #services}, workloads
 * by theirs in the cluster, targets by theirs in {@link #targets}.
 *
 * @param services by namespace and name
 * @param targets real addresses, sorted; the first is at index 0
 * @param virtualPorts every port of every virtual address
 * @param fronts every port of a service that leads to the proxy, with or without an address
 * @param kernelSplits ports of services whose routes the kernel honours, connection by connection
 * @param clusters where routes lead, by name
 * @param listeners of Gateways; routes lead to clusters
 * @param listenerRules rule of each listener, by index
 * @param keyPairs what listeners name, and of service accounts
 * @param identities names of those of service accounts
 * @param authorities certificates of whom nodes believe, in PEM
 */
public record Steering(
    List<Service> services,
    List<Target> targets,
    List<VirtualPort> virtualPorts,
    List<Front> fronts,
    List<KernelSplit> kernelSplits,
    List<RouteCluster> clusters,
    List<ProxyPlan.Listener> listeners,
    List<Integer> listenerRules,
    List<TlsKeyPair> keyPairs,
    List<String> identities,
    List<String> authorities) {

  /** Instead of a workload's index: the address belongs to none. */
  public static final int OUTSIDE = -1;

  /** Copies the lists. */
  public Steering {
    services = List.copyOf(services);
    targets = List.copyOf(targets);
    virtualPorts = List.copyOf(virtualPorts);
    fronts = List.copyOf(fronts);
    kernelSplits = List.copyOf(kernelSplits);
    clusters = List.copyOf(clusters);
    listeners = List.copyOf(listeners);
    listenerRules = List.copyOf(listenerRules);
    keyPairs = List.copyOf(keyPairs);
    identities = List.copyOf(identities);
    authorities = List.copyOf(authorities);
  }

  /**
   * A port at an address.
   *
   * @param address to dial
   * @param port to dial
   * @param workload whose it is; {@link #OUTSIDE} for an address that belongs to no workload
   */
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
   * @param affinitySeconds for so long a client keeps to its target; 0: to none
   * @param targets whom it leads to, ascending; empty when the proxy chooses
   * @param slots targets as the kernel picks them, each slot as likely as another; {@link #NOWHERE}
   *     for a share that is refused; empty when the proxy chooses
   * @param front what the proxy does with it; empty when the kernel chooses
   * @param why it is served where it is, for people
   */
  public record VirtualPort(
      int service,
      Address address,
      int port,
      Protocol protocol,
      int affinitySeconds,
      List<Integer> targets,
      List<Integer> slots,
      Optional<Front> front,
      String why) {
    /** Copies the lists. */
    public VirtualPort {
      targets = List.copyOf(targets);
      slots = List.copyOf(slots);
    }

    /** Whether the proxy has to choose. */
    public boolean proxied() {
      return front.isPresent();
    }
  }

  /** In slots: a share that leads nowhere. */
  public static final int NOWHERE = Slots.NOWHERE;

  /**
   * A port of a service that leads to the proxy.
   *
   * @param service index
   * @param port of the service
   * @param routes of requests, for every client
   * @param l4Routes of connections, for every client
   * @param consumers what clients of some namespaces get instead
   * @param clusters indexes of those that any of it may lead to, ascending
   * @param rule of the first of the routes, whoever's
   */
  public record Front(
      int service,
      int port,
      List<ProxyPlan.Route> routes,
      List<ProxyPlan.L4Route> l4Routes,
      List<ProxyPlan.ConsumerRoutes> consumers,
      List<Integer> clusters,
      int rule) {
    /** Copies the lists. */
    public Front {
      routes = List.copyOf(routes);
      l4Routes = List.copyOf(l4Routes);
      consumers = List.copyOf(consumers);
      clusters = List.copyOf(clusters);
    }
  }

  /**
   * A port of a service whose route the kernel honours, with or without an address.
   *
   * @param service index
   * @param port of the service
   * @param route {@code kind namespace/name} of the only route that is met
   * @param rule of that route
   * @param parts where connections go, as the route lists them
   */
  public record KernelSplit(int service, int port, String route, int rule, List<SplitPart> parts) {
    /** Copies the list. */
    public KernelSplit {
      parts = List.copyOf(parts);
    }

    /** What the parts' weights add up to. */
    public long total() {
      return parts.stream().mapToLong(SplitPart::weight).sum();
    }
  }

  /**
   * A share of connections.
   *
   * @param service index; {@link #OUTSIDE} for an invalid reference, whose share is refused
   * @param port of the service
   * @param workloads who is behind it; indexes of the cluster, ascending
   * @param weight of this part, from 0
   */
  public record SplitPart(int service, int port, List<Integer> workloads, int weight) {
    /** Copies the list. */
    public SplitPart {
      workloads = List.copyOf(workloads);
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
   * @param appProtocol as the service's port says; empty when it says nothing
   * @param tls how it is dialled; empty for plain text
   * @param rule the lowest rule of a route that leads to it
   * @param checked where the proxy asks whether its backends are well, when that is another port of
   *     theirs
   */
  public record RouteCluster(
      int service,
      int port,
      String name,
      List<Integer> targets,
      List<Integer> workloads,
      String appProtocol,
      Optional<ProxyPlan.BackendTls> tls,
      int rule,
      List<Integer> checked) {
    /** Copies the lists. */
    public RouteCluster {
      checked = List.copyOf(checked);
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
      for (int target : cluster.checked()) {
        result.merge(target, cluster.rule(), Math::min);
      }
    }
    return result;
  }
}
