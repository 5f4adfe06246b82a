// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.plan;

import java.util.List;

/**
 * One compiled policy.
 *
 * <p>Lists are sorted by the natural key of their elements, and elements refer to each other by
 * index: {@code identity} is an index into {@link #identities}, {@code rule} into {@link #rules},
 * {@code workload} into {@link #workloads}, {@code backend} into {@link #backends}. The first
 * {@link Identity#FIRST} identities and {@link Workload#RESERVED} workloads are the reserved ones,
 * in the order of {@link Reserved}.
 *
 * @param settings what {@code Mesh} says about this node
 * @param workloads who can live here or be reached; index 0..4 reserved
 * @param identities sets of workloads that no policy tells apart; at most 16,383
 * @param rules what verdicts name; index 0 is {@code Mesh}; at most 65,535
 * @param verdicts rows of the kernel's verdict table, sorted, without two rows of one key
 * @param portClasses ranges that some rule names; empty when no rule names a range
 * @param services virtual addresses
 * @param backends real addresses that services lead to; index 0 is never used, so that 0 means none
 * @param endpoints addresses that belong to one workload
 * @param cidrs outside address blocks that some rule tells apart
 * @param ports who alone may hold a port
 * @param proxy what the proxy is to do
 * @param traffic what TrafficPolicies demand, by namespace and name
 */
public record Plan(
    Settings settings,
    List<Workload> workloads,
    List<Identity> identities,
    List<Rule> rules,
    List<Verdict> verdicts,
    List<PortClass> portClasses,
    List<Service> services,
    List<Backend> backends,
    List<Endpoint> endpoints,
    List<Cidr> cidrs,
    List<PortOwner> ports,
    ProxyPlan proxy,
    List<TrafficPolicy> traffic) {

  /** A plan without TrafficPolicies. */
  public Plan(
      Settings settings,
      List<Workload> workloads,
      List<Identity> identities,
      List<Rule> rules,
      List<Verdict> verdicts,
      List<PortClass> portClasses,
      List<Service> services,
      List<Backend> backends,
      List<Endpoint> endpoints,
      List<Cidr> cidrs,
      List<PortOwner> ports,
      ProxyPlan proxy) {
    this(
        settings,
        workloads,
        identities,
        rules,
        verdicts,
        portClasses,
        services,
        backends,
        endpoints,
        cidrs,
        ports,
        proxy,
        List.of());
  }

  /** Copies every list. */
  public Plan {
    workloads = List.copyOf(workloads);
    identities = List.copyOf(identities);
    rules = List.copyOf(rules);
    verdicts = VerdictRows.copyOf(verdicts);
    portClasses = List.copyOf(portClasses);
    services = List.copyOf(services);
    backends = List.copyOf(backends);
    endpoints = List.copyOf(endpoints);
    cidrs = List.copyOf(cidrs);
    ports = List.copyOf(ports);
    traffic = List.copyOf(traffic);
  }

  /** The rows of the kernel's verdict table ({@link Verdict#row}), in the order of the verdicts. */
  public long[] verdictRows() {
    return VerdictRows.copyOf(verdicts).toRows();
  }
}
