// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.outbound;

import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Backend;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.PortOwner;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.ProxyPlan;
import dev.weir.policy.plan.ProxyPlan.BackendTls;
import dev.weir.policy.plan.ProxyPlan.ListenerProtocol;
import dev.weir.policy.plan.ProxyPlan.Match;
import dev.weir.policy.plan.ProxyPlan.PathMatch;
import dev.weir.policy.plan.ProxyPlan.WeightedBackend;
import dev.weir.policy.plan.ProxyUpdate;
import dev.weir.policy.plan.TrafficSettings;
import dev.weir.policy.plan.VerdictIndex;
import dev.weir.policy.plan.Workload;
import dev.weir.policy.route.SessionKey;
import dev.weir.proxy.resilience.Journal;
import dev.weir.proxy.resilience.RateLimits;
import dev.weir.proxy.resilience.Rollbacks;
import dev.weir.proxy.resilience.RoutePolicies;
import dev.weir.proxy.tls.Origination;
import dev.weir.proxy.upstream.Endpoint;
import dev.weir.proxy.upstream.Transports;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.regex.PatternSyntaxException;
import java.util.stream.Collectors;

/** Compiles one update to a generation. */
final class GenerationCompiler {

  private final ProxyUpdate update;
  private final Plan plan;
  private final Optional<Generation> previous;
  private final ListenerCertificates certificates;
  private final Map<BackendTls, Origination> originations;
  private final Optional<SessionKey> sessionKey;
  private final RoutePolicies policies;
  private final ClusterCompiler clusters;

  GenerationCompiler(
      ProxyUpdate update,
      Optional<Generation> previous,
      int loops,
      ListenerCertificates certificates,
      Map<BackendTls, Origination> originations,
      Optional<SessionKey> sessionKey,
      Journal journal,
      Rollbacks rollbacks,
      long now,
      Transports transports) {
    this.update = update;
    this.plan = update.plan();
    this.previous = previous;
    this.certificates = certificates;
    this.originations = originations;
    this.sessionKey = sessionKey;
    TrafficSettings settings = new TrafficSettings(plan);
    this.policies =
        new RoutePolicies(
            plan, settings, previous.map(Generation::policies), journal, rollbacks, now);
    this.clusters =
        new ClusterCompiler(
            plan, previous, loops, originations, settings, journal, now, transports);
  }

  Generation compile() throws UpdateRefusedException {
    ClusterCompiler.Clusters made = clusters.clusters();
    Map<BindAddress, Inbound> inbound = inbound();
    Map<BindAddress, ServicePort> elsewhere = elsewhere();
    VerdictIndex verdicts = new VerdictIndex(plan);
    Map<Endpoint, Target> byEndpoint = clusters.targetsByEndpoint();
    Set<BindAddress> outbound = new LinkedHashSet<>();
    if (!elsewhere.isEmpty()
        || plan.proxy().virtualServices().stream().anyMatch(s -> !s.addresses().isEmpty())) {
      int port = plan.settings().outboundPort();
      outbound.add(new BindAddress(Optional.of(Address.LOOPBACK4), port));
      outbound.add(new BindAddress(Optional.of(Address.LOOPBACK6), port));
    }
    try {
      return new Generation(
          update,
          services(made, elsewhere),
          new GatewayCompiler(plan, previous, certificates, sessionKey, policies).gateways(made),
          workloadsByNumber(),
          clusters.endpoints(),
          byEndpoint,
          certificates,
          clusters.circuits(),
          clusters.healths(),
          clusters.checks(),
          policies,
          originations,
          verdicts,
          byEndpoint.size() + clusters.numbered(),
          outbound,
          inbound);
    } catch (PatternSyntaxException e) {
      throw new UpdateRefusedException(
          "a route's pattern is not a regular expression: " + e.getMessage());
    }
  }

  /** Workloads of other nodes at their own addresses, as far as they are reached by tunnel. */
  private Map<BindAddress, ServicePort> elsewhere() {
    Map<BindAddress, ServicePort> elsewhere = new HashMap<>();
    for (Backend backend : plan.backends()) {
      if (clusters.tunnelled(backend.workload())) {
        elsewhere.put(
            new BindAddress(Optional.of(backend.address()), backend.port()),
            new ServicePort(inbound(backend).connections()));
      }
    }
    return elsewhere;
  }

  private Map<BindAddress, ServicePort> services(
      ClusterCompiler.Clusters made, Map<BindAddress, ServicePort> elsewhere) {
    Map<BindAddress, ServicePort> services = new HashMap<>(elsewhere);
    for (ProxyPlan.VirtualService service : plan.proxy().virtualServices()) {
      for (Address address : service.addresses()) {
        BindAddress key = new BindAddress(Optional.of(address), service.port());
        Optional<ServicePort> before =
            previous.flatMap(generation -> Optional.ofNullable(generation.services().get(key)));
        Map<String, Entrance> consumers = new HashMap<>();
        for (ProxyPlan.ConsumerRoutes consumer : service.consumers()) {
          consumers.put(
              consumer.namespace(),
              entrance(
                  service,
                  " for clients of " + consumer.namespace(),
                  consumer.routes(),
                  consumer.l4Routes(),
                  made,
                  before.flatMap(
                      port -> Optional.ofNullable(port.consumers().get(consumer.namespace())))));
        }
        services.put(
            key,
            new ServicePort(
                entrance(
                    service,
                    "",
                    service.routes(),
                    service.l4Routes(),
                    made,
                    before.map(ServicePort::everybody)),
                consumers));
      }
    }
    return Map.copyOf(services);
  }

  private Entrance entrance(
      ProxyPlan.VirtualService service,
      String whose,
      List<ProxyPlan.Route> routes,
      List<ProxyPlan.L4Route> l4Routes,
      ClusterCompiler.Clusters made,
      Optional<Entrance> before) {
    Workload workload = plan.workloads().get(service.workload());
    ListenerProtocol protocol =
        l4Routes.isEmpty() ? ListenerProtocol.HTTP : ListenerProtocol.TLS_PASSTHROUGH;
    return new Entrance(
        "Service " + workload.namespace() + "/" + workload.name() + ":" + service.port() + whose,
        Cluster.ServiceName.of(workload.name(), workload.namespace()),
        protocol,
        routes,
        l4Routes,
        made.of(protocol),
        List.of(),
        sessionKey,
        policies,
        policies.rates(service),
        before);
  }

  /** Whoever lives here and has a port can be reached by tunnel, if there are any. */
  private Map<BindAddress, Inbound> inbound() {
    if (plan.proxy().hbone().isEmpty()) {
      return Map.of();
    }
    Set<Integer> elsewhere =
        Generation.remote(plan).stream()
            .map(dev.weir.policy.plan.Endpoint::workload)
            .collect(Collectors.toSet());
    Map<Integer, List<Address>> own = new HashMap<>();
    for (var endpoint : plan.endpoints()) {
      if (!endpoint.remote()) {
        own.computeIfAbsent(endpoint.workload(), w -> new ArrayList<>()).add(endpoint.address());
      }
    }
    Map<BindAddress, Inbound> inbound = new HashMap<>();
    for (Backend backend : plan.backends()) {
      if (backend.workload() >= Workload.RESERVED && !elsewhere.contains(backend.workload())) {
        boolean apart = own.containsKey(backend.workload());
        inbound.putIfAbsent(
            new BindAddress(
                apart ? Optional.of(backend.address()) : Optional.empty(), backend.port()),
            inbound(backend));
      }
    }
    for (PortOwner port : plan.ports()) {
      if (port.workload() >= Workload.RESERVED && port.protocol() == Protocol.TCP) {
        int identity = plan.workloads().get(port.workload()).identity();
        List<Address> addresses = own.getOrDefault(port.workload(), List.of());
        for (Address address : addresses) {
          inbound.computeIfAbsent(
              new BindAddress(Optional.of(address), port.port()),
              k -> inbound(new Backend(address, port.port(), port.workload(), identity)));
        }
        if (addresses.isEmpty()) {
          inbound.computeIfAbsent(
              new BindAddress(Optional.empty(), port.port()),
              k -> inbound(new Backend(Address.LOOPBACK4, port.port(), port.workload(), identity)));
        }
      }
    }
    return Map.copyOf(inbound);
  }

  private Inbound inbound(Backend backend) {
    Cluster cluster = clusters.alone(backend);
    Cluster.ServiceName name = cluster.service();
    String key = cluster.name();
    WeightedBackend all = new WeightedBackend(0, 1, List.of());
    Match any = new Match(new PathMatch.Prefix("/"), List.of(), List.of(), Optional.empty());
    return new Inbound(
        clusters.asItIs(backend),
        new Entrance(
            "",
            name,
            ListenerProtocol.TCP,
            List.of(),
            List.of(new ProxyPlan.L4Route(key, 0, List.of(), List.of(all))),
            List.of(cluster),
            List.of(),
            sessionKey,
            policies,
            RateLimits.NONE,
            Optional.empty()),
        new Entrance(
            "",
            name,
            ListenerProtocol.HTTP,
            List.of(
                new ProxyPlan.Route(
                    key,
                    0,
                    List.of(),
                    List.of(new ProxyPlan.RouteRule(List.of(any), List.of(), List.of(all), 0, 0)))),
            List.of(),
            List.of(cluster),
            List.of(),
            sessionKey,
            policies,
            RateLimits.NONE,
            Optional.empty()));
  }

  private Map<Integer, Integer> workloadsByNumber() {
    Map<Integer, Integer> byNumber = new HashMap<>();
    for (int i = 0; i < plan.workloads().size(); i++) {
      if (!plan.workloads().get(i).kind().equals("Service")) {
        byNumber.put(update.workloadNumbers().get(i), i);
      }
    }
    return byNumber;
  }
}
