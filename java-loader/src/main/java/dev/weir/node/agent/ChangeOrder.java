// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.agent;

import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.ProxyPlan;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Stream;

/**
 * Who learns of a change first, so that no request fails on it.
 *
 * <p>A request fails in between when the kernel leads a connection to the proxy that the proxy does
 * not know (it closes it), or when the proxy chooses a backend that the kernel does not let it
 * reach yet, or any more. So:
 *
 * <ul>
 *   <li>a service that begins to lead to the proxy: proxy first. Nobody is led there until the
 *       kernel knows, and its backends are only used then;
 *   <li>a service that ceases to: kernel first. Until then connections still come;
 *   <li>a backend, or listener, that comes: kernel first. Then the proxy may reach what it chooses;
 *   <li>a backend that goes: proxy first. Then nobody chooses it any more when it is closed;
 *   <li>weights, matches, filters, certificates, verdicts of others: no matter. Kernel first, as
 *       what is refused should be refused soon.
 * </ul>
 *
 * <p>A change that asks for both goes to the kernel first: what is refused must not wait. Then, for
 * the milliseconds until the proxy has answered, connections to a new service are closed and
 * requests to a backend that went fail.
 */
enum ChangeOrder {
  KERNEL_FIRST,
  PROXY_FIRST;

  private record Front(String workload, Address address, int port) {}

  /** The order for a change from one plan to another. */
  static ChangeOrder of(Plan before, Plan after) {
    Map<Front, Set<String>> old = backendsByFront(before);
    Map<Front, Set<String>> now = backendsByFront(after);
    boolean serviceComes = !old.keySet().containsAll(now.keySet());
    boolean serviceGoes = !now.keySet().containsAll(old.keySet());
    boolean backendComes =
        old.keySet().stream().anyMatch(f -> now.containsKey(f) && !contains(old, now, f));
    boolean backendGoes =
        old.keySet().stream().anyMatch(f -> now.containsKey(f) && !contains(now, old, f));
    boolean listenerComes = !listeners(before).containsAll(listeners(after));
    boolean listenerBackendComes = !listenerBackends(before).containsAll(listenerBackends(after));
    boolean listenerBackendGoes = !listenerBackends(after).containsAll(listenerBackends(before));
    boolean kernelFirst = serviceGoes || backendComes || listenerComes || listenerBackendComes;
    boolean proxyFirst = serviceComes || backendGoes || listenerBackendGoes;
    return proxyFirst && !kernelFirst ? PROXY_FIRST : KERNEL_FIRST;
  }

  /** Whether the first map's set for a front holds all of the second one's. */
  private static boolean contains(
      Map<Front, Set<String>> first, Map<Front, Set<String>> second, Front front) {
    return Objects.requireNonNull(first.get(front))
        .containsAll(Objects.requireNonNull(second.get(front)));
  }

  private static Map<Front, Set<String>> backendsByFront(Plan plan) {
    Map<Front, Set<String>> byFront = new HashMap<>();
    for (ProxyPlan.VirtualService service : plan.proxy().virtualServices()) {
      for (Address address : service.addresses()) {
        byFront.put(
            new Front(plan.workloads().get(service.workload()).key(), address, service.port()),
            backends(plan, service.everyRoute()));
      }
    }
    return byFront;
  }

  private static Set<String> listenerBackends(Plan plan) {
    return backends(plan, plan.proxy().listeners().stream().flatMap(l -> l.routes().stream()));
  }

  private static Set<String> listeners(Plan plan) {
    Set<String> keys = new HashSet<>();
    plan.proxy()
        .listeners()
        .forEach(l -> keys.add(l.gateway() + "/" + l.name() + "/" + l.address() + ":" + l.port()));
    return keys;
  }

  /** Backends with who is behind them: the kernel's verdict is about the workload. */
  private static Set<String> backends(Plan plan, Stream<ProxyPlan.Route> routes) {
    Set<String> backends = new TreeSet<>();
    routes
        .flatMap(route -> route.rules().stream())
        .flatMap(rule -> rule.backends().stream())
        .filter(backend -> backend.cluster() >= 0)
        .flatMap(backend -> plan.proxy().clusters().get(backend.cluster()).endpoints().stream())
        .map(index -> plan.backends().get(index))
        .forEach(
            backend ->
                backends.add(
                    plan.workloads().get(backend.workload()).key()
                        + " "
                        + backend.address()
                        + ":"
                        + backend.port()));
    return backends;
  }
}
