// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.ProxyPlan;
import dev.weir.policy.plan.ProxyPlan.BackendTls;
import dev.weir.policy.plan.ProxyPlan.Cluster;
import dev.weir.policy.plan.ProxyPlan.L4Route;
import dev.weir.policy.plan.ProxyPlan.Listener;
import dev.weir.policy.plan.ProxyPlan.ListenerProtocol;
import dev.weir.policy.plan.ProxyPlan.Tls;
import dev.weir.policy.plan.ProxyPlan.VirtualService;
import dev.weir.policy.plan.ProxyPlan.WeightedBackend;
import dev.weir.policy.plan.ProxyUpdate;
import dev.weir.policy.plan.TlsKeyPair;
import dev.weir.policy.plan.Verdict;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.function.UnaryOperator;
import java.util.stream.IntStream;

/** Plans with routes of connections, and with backends that are dialled with TLS. */
final class Streams {

  private Streams() {}

  /** A route to clusters 0 and on, with these weights; a negative one leaves the cluster out. */
  static L4Route route(String name, List<String> hostnames, int... weights) {
    return new L4Route(
        "shop/" + name,
        1,
        hostnames,
        IntStream.range(0, weights.length)
            .filter(i -> weights[i] >= 0)
            .mapToObj(i -> new WeightedBackend(i, weights[i], List.of()))
            .toList());
  }

  static Listener listener(
      int port,
      String name,
      String hostname,
      ListenerProtocol protocol,
      List<String> certificates,
      L4Route... routes) {
    return new Listener(
        "shop/edge",
        name,
        Optional.of(Address.LOOPBACK4),
        port,
        hostname,
        protocol,
        certificates.isEmpty() ? Optional.empty() : Optional.of(new Tls(certificates)),
        List.of(),
        List.of(routes));
  }

  static ProxyUpdate with(ProxyUpdate update, UnaryOperator<ProxyPlan> change) {
    Plan plan = update.plan();
    return new ProxyUpdate(
        update.generation(),
        new Plan(
            plan.settings(),
            plan.workloads(),
            plan.identities(),
            plan.rules(),
            plan.verdicts(),
            plan.portClasses(),
            plan.services(),
            plan.backends(),
            plan.endpoints(),
            plan.cidrs(),
            plan.ports(),
            change.apply(plan.proxy()),
            plan.traffic()),
        update.workloadNumbers(),
        update.keyPairs());
  }

  /** The service has these routes of connections. */
  static ProxyUpdate service(
      Mesh mesh, List<L4Route> routes, List<Verdict> verdicts, int... ports) {
    return with(
        mesh.update(List.of(), List.of(), List.of(), verdicts, ports),
        proxy ->
            new ProxyPlan(
                List.of(),
                List.of(new VirtualService(7, List.of(Mesh.VIP), 80, List.of(), routes, List.of())),
                proxy.clusters()));
  }

  static void serve(Mesh mesh, L4Route route, int... ports) throws Exception {
    mesh.proxy.update(service(mesh, List.of(route), List.of(), ports));
  }

  static void gateway(Mesh mesh, List<Listener> listeners, List<TlsKeyPair> keys, int... ports)
      throws Exception {
    mesh.origin = Optional.empty();
    mesh.proxy.update(mesh.update(List.of(), listeners, keys, List.of(), ports));
  }

  /** All clusters are dialled like this. */
  static ProxyUpdate dialled(ProxyUpdate update, BackendTls tls) {
    return with(
        update,
        proxy ->
            new ProxyPlan(
                proxy.listeners(),
                proxy.virtualServices(),
                proxy.clusters().stream()
                    .map(
                        c ->
                            new Cluster(
                                c.workload(),
                                c.port(),
                                c.name(),
                                c.endpoints(),
                                c.workloads(),
                                c.appProtocol(),
                                Optional.of(tls)))
                    .toList()));
  }

  /** The first cluster has the backends of all. */
  static ProxyUpdate together(ProxyUpdate update) {
    return with(
        update,
        proxy -> {
          Cluster first = proxy.clusters().getFirst();
          return new ProxyPlan(
              proxy.listeners(),
              proxy.virtualServices(),
              List.of(
                  new Cluster(
                      first.workload(),
                      first.port(),
                      first.name(),
                      proxy.clusters().stream().flatMap(c -> c.endpoints().stream()).toList(),
                      proxy.clusters().stream().flatMap(c -> c.workloads().stream()).toList(),
                      "",
                      Optional.empty())));
        });
  }

  /** The value of the first sample whose line begins and goes on like that; -1 without any. */
  static long sample(Mesh mesh, String family, String... labels) {
    return mesh.proxy
        .metrics()
        .lines()
        .filter(line -> line.startsWith(family + "{") || line.startsWith(family + " "))
        .filter(line -> Arrays.stream(labels).allMatch(line::contains))
        .findFirst()
        .map(line -> Long.parseLong(line.substring(line.lastIndexOf(' ') + 1)))
        .orElse(-1L);
  }
}
