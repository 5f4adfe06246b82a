// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.access;

import dev.weir.policy.authorize.RuleTable;
import dev.weir.policy.cluster.Cluster;
import dev.weir.policy.cluster.Selectors;
import dev.weir.policy.model.AuthorizationPolicy;
import dev.weir.policy.model.Gateway;
import dev.weir.policy.model.LabelSelector;
import dev.weir.policy.model.Mesh;
import dev.weir.policy.model.NetworkPolicy.Peer;
import dev.weir.policy.model.PortReference;
import dev.weir.policy.model.Reference;
import dev.weir.policy.model.Service;
import dev.weir.policy.model.Workload;
import dev.weir.policy.plan.AccessPlan;
import dev.weir.policy.plan.AccessPlan.Bound;
import dev.weir.policy.plan.AccessPlan.GatewayGuard;
import dev.weir.policy.plan.AccessPlan.Guard;
import dev.weir.policy.plan.AccessPlan.Policy;
import dev.weir.policy.plan.Protocol;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SortedSet;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.IntUnaryOperator;

/** Finds the workloads and Gateways that AuthorizationPolicies are about. */
public final class AccessPlanner {

  /** Label by which a Gateway's own pods are known (Gateway API, GEP-1762). */
  static final String GATEWAY_NAME = "gateway.networking.k8s.io/gateway-name";

  static final String GATEWAY_CLASS_NAME = "gateway.networking.k8s.io/gateway-class-name";

  /** Of every port. */
  private static final SortedSet<Integer> EVERY_PORT = Collections.emptySortedSet();

  private final Cluster cluster;
  private final String rootNamespace;

  private AccessPlanner(Cluster cluster, Mesh mesh) {
    this.cluster = cluster;
    this.rootNamespace = mesh.rootNamespace();
  }

  /**
   * The policies about some workloads and about our Gateways.
   *
   * @param workloads indexes into the cluster's workloads
   * @param place of a workload in the plan
   */
  public static AccessPlan plan(
      Cluster cluster, RuleTable rules, BitSet workloads, IntUnaryOperator place) {
    Mesh mesh = cluster.mesh().orElseGet(Mesh::defaults);
    return new AccessPlanner(cluster, mesh)
        .plan(new Numbers(rules), workloads, place, mesh.trustDomain());
  }

  private record Numbers(RuleTable rules) implements AccessCompiler.RuleIndex {
    @Override
    public int of(AuthorizationPolicy policy) {
      return rules.of(policy);
    }

    @Override
    public int of(AuthorizationPolicy policy, int index) {
      return rules.of(policy, index);
    }
  }

  private AccessPlan plan(
      AccessCompiler.RuleIndex rules,
      BitSet workloads,
      IntUnaryOperator place,
      String trustDomain) {
    List<Policy> policies = new ArrayList<>();
    Map<Integer, List<Bound>> guards = new TreeMap<>();
    Map<String, List<Integer>> gateways = new TreeMap<>();
    for (AuthorizationPolicy policy : cluster.all(AuthorizationPolicy.class)) {
      int number = policies.size();
      Map<Integer, SortedSet<Integer>> about = about(policy);
      about.keySet().removeIf(w -> !workloads.get(w));
      List<String> through = gateways(policy);
      if (about.isEmpty() && through.isEmpty()) {
        continue;
      }
      policies.add(AccessCompiler.policy(policy, rules));
      about.forEach(
          (w, ports) ->
              guards
                  .computeIfAbsent(place.applyAsInt(w), k -> new ArrayList<>())
                  .add(new Bound(number, List.copyOf(ports))));
      through.forEach(g -> gateways.computeIfAbsent(g, k -> new ArrayList<>()).add(number));
    }
    return new AccessPlan(
        trustDomain,
        policies,
        guards.entrySet().stream().map(e -> new Guard(e.getKey(), e.getValue())).toList(),
        gateways.entrySet().stream().map(e -> new GatewayGuard(e.getKey(), e.getValue())).toList());
  }

  /** Workloads, each with the TCP ports on which the policy is about it; none named: on all. */
  private Map<Integer, SortedSet<Integer>> about(AuthorizationPolicy policy) {
    Map<Integer, SortedSet<Integer>> about = new TreeMap<>();
    String namespace = policy.meta().namespace();
    if (policy.targets().isEmpty()) {
      LabelSelector all = new LabelSelector(Map.of(), List.of(), policy.meta().at());
      LabelSelector labels = policy.selector().orElse(all);
      int[] selected =
          namespace.equals(rootNamespace)
              ? cluster.select(
                  namespace,
                  new Peer.Pods(Optional.of(all), Optional.of(labels), policy.meta().at()))
              : cluster.select(namespace, labels);
      for (int workload : selected) {
        about.put(workload, EVERY_PORT);
      }
      return about;
    }
    for (Service service : cluster.all(Service.class)) {
      if (service.meta().namespace().equals(namespace)
          && !service.selector().isEmpty()
          && names(policy, "Service", service.meta().name())) {
        for (int workload : cluster.select(namespace, service.selector())) {
          SortedSet<Integer> ports = ports(service, cluster.workloads().get(workload));
          if (!ports.isEmpty()) {
            about.computeIfAbsent(workload, k -> new TreeSet<>()).addAll(ports);
          }
        }
      }
    }
    return about;
  }

  private static boolean names(AuthorizationPolicy policy, String kind, String name) {
    for (Reference target : policy.targets()) {
      if (target.kind().equals(kind) && target.name().equals(name)) {
        return true;
      }
    }
    return false;
  }

  private static SortedSet<Integer> ports(Service service, Workload workload) {
    SortedSet<Integer> ports = new TreeSet<>();
    for (Service.Port port : service.ports()) {
      if (port.protocol() == Protocol.TCP) {
        switch (port.target()) {
          case PortReference.Numbers numbers -> ports.add(numbers.first());
          case PortReference.Named named ->
              workload.ports().stream()
                  .filter(p -> p.name().equals(named.name()) && p.protocol() == Protocol.TCP)
                  .forEach(p -> ports.add(p.port()));
        }
      }
    }
    return ports;
  }

  /**
   * Whether the policy would be about the Gateway's pods, had it some: by its namespace, and by the
   * labels that they have from it (Gateway API, GEP-1762).
   */
  public static boolean selects(AuthorizationPolicy policy, Gateway gateway, String rootNamespace) {
    String namespace = policy.meta().namespace();
    if (!policy.targets().isEmpty()
        || !namespace.equals(gateway.meta().namespace()) && !namespace.equals(rootNamespace)) {
      return false;
    }
    Map<String, String> labels = new HashMap<>(gateway.meta().labels());
    labels.put(GATEWAY_NAME, gateway.meta().name());
    labels.put(GATEWAY_CLASS_NAME, Gateway.CLASS);
    return policy.selector().map(s -> Selectors.matches(s, labels)).orElse(true);
  }

  private List<String> gateways(AuthorizationPolicy policy) {
    List<String> gateways = new ArrayList<>();
    boolean ofClass =
        policy.meta().namespace().equals(rootNamespace)
            && names(policy, "GatewayClass", Gateway.CLASS);
    for (Gateway gateway : cluster.all(Gateway.class)) {
      boolean named =
          gateway.meta().namespace().equals(policy.meta().namespace())
              && names(policy, "Gateway", gateway.meta().name());
      if (gateway.ours() && (named || ofClass || selects(policy, gateway, rootNamespace))) {
        gateways.add(gateway.meta().qualifiedName());
      }
    }
    return gateways;
  }
}
