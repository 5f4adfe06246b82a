// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Backend;
import dev.weir.policy.plan.Cidr;
import dev.weir.policy.plan.Endpoint;
import dev.weir.policy.plan.Identity;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.PortClass;
import dev.weir.policy.plan.PortOwner;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.ProxyPlan;
import dev.weir.policy.plan.Reserved;
import dev.weir.policy.plan.Rule;
import dev.weir.policy.plan.Service;
import dev.weir.policy.plan.Settings;
import dev.weir.policy.plan.Telemetry;
import dev.weir.policy.plan.TrafficPolicy;
import dev.weir.policy.plan.Verdict;
import dev.weir.policy.plan.Workload;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Stream;

/**
 * A plan written by hand, as the compiler would make it: a workload {@code NAME} lives in the
 * cgroup of that name below the mesh's and is an identity of its own. Reserved ones go by their
 * names in lower case.
 */
final class PlanBuilder {

  static final int PROXY_PORT = 15001;
  static final int METRICS_PORT = 15020;
  static final int HEALTH_PORT = 15021;

  private final String root;
  private final List<Workload> workloads = new ArrayList<>();
  private final List<Identity> identities = new ArrayList<>();
  private final List<Rule> rules = new ArrayList<>();
  private final List<Verdict> verdicts = new ArrayList<>();
  private final List<PortClass> portClasses = new ArrayList<>();
  private final List<Service> services = new ArrayList<>();
  private final List<Backend> backends = new ArrayList<>();
  private final List<Endpoint> endpoints = new ArrayList<>();
  private final List<Cidr> cidrs = new ArrayList<>();
  private final List<PortOwner> ports = new ArrayList<>();
  private final List<ProxyPlan.VirtualService> virtualServices = new ArrayList<>();
  private final List<TrafficPolicy> traffic = new ArrayList<>();
  private final List<String> governed = new ArrayList<>();
  private final Map<String, Integer> byName = new HashMap<>();
  private boolean hostGoverned;
  private boolean audit;
  private boolean eperm;
  private Settings.Icmp icmp = Settings.Icmp.POLICY;

  PlanBuilder(String root) {
    this.root = root;
    for (Reserved reserved : Reserved.values()) {
      String name = reserved.name().toLowerCase(Locale.ROOT);
      byName.put(name, reserved.index());
      workloads.add(
          new Workload("", name, "Reserved", reserved.index(), List.of(), false, "", "", ""));
    }
    for (int i = 0; i < Identity.FIRST; i++) {
      identities.add(new Identity("reserved " + i, false, false, 0, 0));
    }
    rules.add(new Rule("Mesh", "", "(default)", "", "", 0));
    backends.add(new Backend(new Address(0, 0), 0, 0, 0));
  }

  static Address address(String text) {
    try {
      return Address.of(InetAddress.getByName(text).getAddress());
    } catch (UnknownHostException e) {
      throw new IllegalArgumentException(e);
    }
  }

  PlanBuilder workload(String name) {
    return workload(name, false);
  }

  PlanBuilder workload(String name, boolean handsOutSockets) {
    identities.add(new Identity(name, false, false, 0, 0));
    return add(name, "Workload", List.of(root + "/" + name), handsOutSockets);
  }

  /** A workload that lives in several cgroups. */
  PlanBuilder workloadAt(String name, String... cgroups) {
    identities.add(new Identity(name, false, false, 0, 0));
    return add(
        name, "Workload", Stream.of(cgroups).map(cgroup -> root + "/" + cgroup).toList(), false);
  }

  /** A workload that lives where another one does. */
  PlanBuilder workloadIn(String name, String cgroup) {
    identities.add(new Identity(name, false, false, 0, 0));
    return add(name, "Workload", List.of(root + "/" + cgroup), false);
  }

  private PlanBuilder add(String name, String kind, List<String> cgroups, boolean handsOutSockets) {
    byName.put(name, workloads.size());
    workloads.add(
        new Workload(
            "test", name, kind, identities.size() - 1, cgroups, handsOutSockets, "", "", ""));
    return this;
  }

  private int index(String name) {
    Integer index = byName.get(name);
    if (index == null) {
      throw new IllegalArgumentException("no workload " + name);
    }
    return index;
  }

  int identity(String name) {
    return workloads.get(index(name)).identity();
  }

  private int rule(String clause) {
    rules.add(new Rule("NetworkPolicy", "test", clause, "", "test.yaml", rules.size()));
    return rules.size() - 1;
  }

  PlanBuilder owns(String workload, Protocol protocol, int port) {
    ports.add(new PortOwner(protocol, port, index(workload)));
    return this;
  }

  /** The same in the network namespace of the workload's own. */
  PlanBuilder ownsApart(String workload, Protocol protocol, int port) {
    ports.add(new PortOwner(protocol, port, index(workload), true));
    return this;
  }

  PlanBuilder endpoint(String workload, String address, boolean remote) {
    endpoints.add(new Endpoint(address(address), index(workload), remote));
    return this;
  }

  PlanBuilder isolateIngress(String workload) {
    int at = identity(workload);
    Identity old = identities.get(at);
    identities.set(
        at,
        new Identity(
            old.description(),
            true,
            old.egressIsolated(),
            old.ingressAudit(),
            old.egressAudit(),
            rule("isolate-ingress-" + workload),
            old.egressRule(),
            old.strict()));
    return this;
  }

  PlanBuilder isolateEgress(String workload) {
    int at = identity(workload);
    Identity old = identities.get(at);
    identities.set(
        at,
        new Identity(
            old.description(),
            old.ingressIsolated(),
            true,
            old.ingressAudit(),
            old.egressAudit(),
            old.ingressRule(),
            rule("isolate-egress-" + workload),
            old.strict()));
    return this;
  }

  /** Isolated by a policy in audit alone. */
  PlanBuilder auditIngress(String workload) {
    int at = identity(workload);
    Identity old = identities.get(at);
    identities.set(
        at,
        new Identity(
            old.description(),
            true,
            old.egressIsolated(),
            true,
            old.egressAudit(),
            rule("audit-ingress-" + workload),
            old.egressRule(),
            old.strict()));
    return this;
  }

  /**
   * Mutual TLS is demanded of who comes over a wire to some TCP ports; ranges in ascending order.
   */
  PlanBuilder strict(String workload, int first, int last) {
    int at = identity(workload);
    Identity old = identities.get(at);
    List<Identity.StrictPorts> strict = new ArrayList<>(old.strict());
    strict.add(new Identity.StrictPorts(first, last, rule("strict-" + workload + "-" + first)));
    identities.set(
        at,
        new Identity(
            old.description(),
            old.ingressIsolated(),
            old.egressIsolated(),
            old.ingressAudit(),
            old.egressAudit(),
            old.ingressRule(),
            old.egressRule(),
            strict));
    return this;
  }

  PlanBuilder verdict(
      String source, String destination, Protocol protocol, int port, Verdict.Decision decision) {
    verdicts.add(
        new Verdict(
            identity(source),
            identity(destination),
            protocol,
            port,
            decision,
            rule(source + "-" + destination + "-" + port + "-" + decision)));
    return this;
  }

  PlanBuilder allow(String source, String destination, Protocol protocol, int port) {
    return verdict(source, destination, protocol, port, Verdict.Decision.ALLOW);
  }

  PlanBuilder refuse(String source, String destination, Protocol protocol, int port) {
    return verdict(source, destination, protocol, port, Verdict.Decision.REFUSE);
  }

  PlanBuilder portClass(int first, int last) {
    portClasses.add(new PortClass(first, last));
    return this;
  }

  /** An outside address block as an identity of its own. */
  PlanBuilder block(String name, String address, int prefixLength) {
    identities.add(new Identity(name, false, false, 0, 0));
    byName.put(name, workloads.size());
    workloads.add(
        new Workload("test", name, "Block", identities.size() - 1, List.of(), false, "", "", ""));
    cidrs.add(new Cidr(address(address), prefixLength, identities.size() - 1));
    return this;
  }

  /** A workload elsewhere whose address is believed; who comes from there is named SOURCE. */
  PlanBuilder believed(String workload, String source, String address) {
    identities.add(new Identity(source, false, false, 0, 0));
    cidrs.add(new Cidr(address(address), 128, identities.size() - 1));
    byName.put(source, workloads.size());
    workloads.add(
        new Workload("test", source, "Block", identities.size() - 1, List.of(), false, "", "", ""));
    return endpoint(workload, address, true);
  }

  /** Index of a new backend. */
  int backend(String workload, String address, int port) {
    backends.add(
        new Backend(
            address(address), port, index(workload), workloads.get(index(workload)).identity()));
    return backends.size() - 1;
  }

  /** A virtual address whose backend connect() picks. */
  PlanBuilder service(
      String name, String address, int port, Protocol protocol, List<Integer> slots) {
    services.add(
        new Service(
            serviceWorkload(name),
            address(address),
            port,
            protocol,
            Service.Tier.KERNEL,
            0,
            0,
            slots));
    return this;
  }

  /** sessionAffinity ClientIP for all ports of a service. */
  PlanBuilder keeps(String name, int seconds) {
    services.replaceAll(
        service ->
            service.workload() == index(name)
                ? new Service(
                    service.workload(),
                    service.address(),
                    service.port(),
                    service.protocol(),
                    service.tier(),
                    service.identity(),
                    seconds,
                    service.slots())
                : service);
    return this;
  }

  private int serviceWorkload(String name) {
    if (!byName.containsKey(name)) {
      identities.add(new Identity("service " + name, false, false, 0, 0));
      add(name, "Service", List.of(), false);
    }
    return index(name);
  }

  /** A virtual address that leads to the proxy. */
  PlanBuilder proxied(String name, String address, int port) {
    return proxied(name, address, port, List.of());
  }

  /** A virtual address that leads to the proxy, and to these backends while there is none. */
  PlanBuilder proxied(String name, String address, int port, List<Integer> otherwise) {
    int workload = serviceWorkload(name);
    services.add(
        new Service(
            workload,
            address(address),
            port,
            Protocol.TCP,
            Service.Tier.PROXY,
            workloads.get(workload).identity(),
            0,
            otherwise));
    virtualServices.add(new ProxyPlan.VirtualService(workload, address(address), port, List.of()));
    return this;
  }

  /** Backends of a service are passed over that do not answer. */
  PlanBuilder ejects(String service, int failures, int baseMillis, int percent) {
    traffic.add(
        new TrafficPolicy(
            rule("ejection-" + service),
            List.of(new TrafficPolicy.Target(TrafficPolicy.TargetKind.SERVICE, index(service), "")),
            List.of(new TrafficPolicy.OutlierEjection(failures, 10_000, baseMillis, percent))));
    return this;
  }

  /** How often a service, with all its ports, or a workload may be reached. */
  PlanBuilder limits(String target, TrafficPolicy.Setting... rates) {
    return limits(target, 0, rates);
  }

  /** How often one port of a service may be reached. */
  PlanBuilder limits(String target, int port, TrafficPolicy.Setting... rates) {
    int index = index(target);
    TrafficPolicy.TargetKind kind =
        workloads.get(index).kind().equals("Service")
            ? TrafficPolicy.TargetKind.SERVICE
            : TrafficPolicy.TargetKind.WORKLOAD;
    traffic.add(
        new TrafficPolicy(
            rule("limit-" + target + "-" + port),
            List.of(new TrafficPolicy.Target(kind, index, port == 0 ? "" : "named", port)),
            List.of(rates)));
    return this;
  }

  PlanBuilder governed(String path) {
    governed.add(path.isEmpty() ? root : root + "/" + path);
    return this;
  }

  PlanBuilder audit() {
    audit = true;
    return this;
  }

  PlanBuilder icmp(Settings.Icmp icmp) {
    this.icmp = icmp;
    return this;
  }

  PlanBuilder refuseWithEperm() {
    eperm = true;
    return this;
  }

  PlanBuilder governHost() {
    hostGoverned = true;
    return this;
  }

  Plan build() {
    return new Plan(
        new Settings(
            "(default)",
            false,
            hostGoverned,
            hostGoverned
                ? List.of(new Settings.ManagementRule(Settings.Direction.INGRESS, Protocol.TCP, 22))
                : List.of(),
            governed,
            audit,
            eperm,
            PROXY_PORT,
            METRICS_PORT,
            HEALTH_PORT,
            root + "/proxy",
            Settings.MAP_BYTES,
            icmp,
            Settings.TRUST_DOMAIN,
            Telemetry.DEFAULT,
            List.of()),
        workloads,
        identities,
        rules,
        verdicts.stream().sorted().toList(),
        portClasses,
        services,
        backends,
        endpoints,
        cidrs,
        ports,
        virtualServices.isEmpty()
            ? ProxyPlan.NONE
            : new ProxyPlan(List.of(), virtualServices, List.of()),
        traffic);
  }
}
