// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.outbound;

import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Backend;
import dev.weir.policy.plan.Hbone;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.ProxyPlan;
import dev.weir.policy.plan.ProxyPlan.BackendTls;
import dev.weir.policy.plan.ProxyPlan.ListenerProtocol;
import dev.weir.policy.plan.TrafficPolicy.CircuitLimits;
import dev.weir.policy.plan.TrafficPolicy.HealthCheck;
import dev.weir.policy.plan.TrafficPolicy.Level;
import dev.weir.policy.plan.TrafficPolicy.Locality;
import dev.weir.policy.plan.TrafficPolicy.OutlierEjection;
import dev.weir.policy.plan.TrafficPolicy.Setting;
import dev.weir.policy.plan.TrafficPolicy.SlowStart;
import dev.weir.policy.plan.TrafficSettings;
import dev.weir.policy.plan.Workload;
import dev.weir.policy.rbac.AccessRules;
import dev.weir.policy.route.BackendProtocol;
import dev.weir.proxy.resilience.CircuitBreaker;
import dev.weir.proxy.resilience.ClusterHealth;
import dev.weir.proxy.resilience.HealthChecks;
import dev.weir.proxy.resilience.Journal;
import dev.weir.proxy.tls.Origination;
import dev.weir.proxy.upstream.Endpoint;
import dev.weir.proxy.upstream.Transports;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** Makes clusters of a plan, and of their backends what the generation before had of them. */
final class ClusterCompiler {

  private final Plan plan;
  private final Optional<Generation> previous;
  private final int loops;
  private final Map<BackendTls, Origination> originations;
  private final TrafficSettings settings;
  private final Journal journal;
  private final long now;
  private final Transports transports;
  private final Map<Integer, List<Hbone.Peer>> through = new HashMap<>();

  private final Map<Dialled, Endpoint> endpoints = new HashMap<>();
  private final Map<TargetKey, Target> targets = new HashMap<>();
  private final Map<Long, AccessRules> rules = new HashMap<>();
  private final Map<String, CircuitBreaker> circuits = new HashMap<>();
  private final Map<String, ClusterHealth> healths = new HashMap<>();
  private final List<HealthChecks.Check> checks = new ArrayList<>();

  private record TargetKey(Backend backend, Optional<BackendTls> tls) {}

  ClusterCompiler(
      Plan plan,
      Optional<Generation> previous,
      int loops,
      Map<BackendTls, Origination> originations,
      TrafficSettings settings,
      Journal journal,
      long now,
      Transports transports) {
    this.plan = plan;
    this.previous = previous;
    this.loops = loops;
    this.originations = originations;
    this.settings = settings;
    this.journal = journal;
    this.now = now;
    this.transports = transports;
    plan.proxy()
        .hbone()
        .ifPresent(
            hbone ->
                hbone
                    .through()
                    .forEach(
                        t ->
                            through
                                .computeIfAbsent(t.workload(), k -> new ArrayList<>(1))
                                .add(hbone.peers().get(t.peer()))));
  }

  /** Every backend that something made here leads to, by how it is dialled. */
  Map<Dialled, Endpoint> endpoints() {
    return endpoints;
  }

  Map<String, CircuitBreaker> circuits() {
    return circuits;
  }

  Map<String, ClusterHealth> healths() {
    return healths;
  }

  List<HealthChecks.Check> checks() {
    return checks;
  }

  /** How many targets have a number. */
  int numbered() {
    return targets.size();
  }

  /** Whether a workload of another node is reached by tunnel. */
  boolean tunnelled(int workload) {
    return through.containsKey(workload);
  }

  /**
   * The clusters of the plan.
   *
   * @param dialled as their policies say
   * @param asTheyAre for connections whose TLS, if any, is the client's own affair
   */
  record Clusters(List<Cluster> dialled, List<Cluster> asTheyAre) {
    List<Cluster> of(ListenerProtocol protocol) {
      return protocol == ListenerProtocol.TLS_PASSTHROUGH ? asTheyAre : dialled;
    }
  }

  Clusters clusters() {
    Set<Integer> untouched = untouched();
    List<Cluster> dialled = new ArrayList<>();
    List<Cluster> asTheyAre = new ArrayList<>();
    for (int i = 0; i < plan.proxy().clusters().size(); i++) {
      ProxyPlan.Cluster cluster = plan.proxy().clusters().get(i);
      Cluster made = cluster(cluster, cluster.tls());
      dialled.add(made);
      asTheyAre.add(
          cluster.tls().isPresent() && untouched.contains(i)
              ? cluster(cluster, Optional.empty())
              : made);
    }
    return new Clusters(List.copyOf(dialled), List.copyOf(asTheyAre));
  }

  /** Clusters that connections are led to without being looked into. */
  private Set<Integer> untouched() {
    Stream<ProxyPlan.L4Route> routes =
        Stream.concat(
            plan.proxy().listeners().stream()
                .filter(l -> l.protocol() == ListenerProtocol.TLS_PASSTHROUGH)
                .flatMap(l -> l.l4Routes().stream()),
            plan.proxy().virtualServices().stream()
                .flatMap(ProxyPlan.VirtualService::everyL4Route));
    return routes
        .flatMap(route -> route.backends().stream())
        .map(ProxyPlan.WeightedBackend::cluster)
        .collect(Collectors.toSet());
  }

  private Cluster cluster(ProxyPlan.Cluster cluster, Optional<BackendTls> tls) {
    Workload workload = plan.workloads().get(cluster.workload());
    List<Target> made = cluster.endpoints().stream().map(backend -> target(backend, tls)).toList();
    ClusterHealth health = health(cluster, made);
    said(cluster, HealthCheck.class)
        .ifPresent(
            check ->
                checks.addAll(
                    health.checks(
                        check,
                        check.port() == 0
                                && BackendProtocol.of(cluster.appProtocol())
                                    == BackendProtocol.HTTP_2
                            ? Endpoint.Version.HTTP_2
                            : Endpoint.Version.HTTP_1,
                        Cluster.ServiceName.of(workload.name(), workload.namespace()).host(),
                        endpoint -> asked(endpoint, made, check.port()))));
    return new Cluster(
        cluster.name(),
        Cluster.ServiceName.of(workload.name(), workload.namespace()),
        made,
        BackendProtocol.of(cluster.appProtocol()),
        loops,
        circuit(cluster.name(), made, said(cluster, CircuitLimits.class)),
        health,
        now);
  }

  /**
   * Where an endpoint is asked whether it is well. Another port than the one that is served is none
   * of the Service, and nothing is said of it: plain text.
   *
   * @param port 0 for the one that is served
   */
  private Endpoint asked(Endpoint endpoint, List<Target> made, int port) {
    if (port == 0) {
      return endpoint;
    }
    Address address =
        made.stream()
            .filter(target -> target.endpoint() == endpoint)
            .map(Target::address)
            .findFirst()
            .orElseThrow();
    Dialled key =
        new Dialled(
            new BindAddress(Optional.of(address), port), Optional.empty(), Optional.empty());
    return endpoints.computeIfAbsent(
        key,
        k -> {
          Endpoint known = previous.map(g -> g.dialled().get(k)).orElse(null);
          return known != null ? known : new Endpoint(address, port, Optional.empty(), loops);
        });
  }

  /** A backend that is dialled as it is, whatever its policies say. */
  Target asItIs(Backend backend) {
    return targets.computeIfAbsent(new TargetKey(backend, Optional.empty()), this::makeTarget);
  }

  /** The cluster of a single backend, for what comes to it by tunnel. */
  Cluster alone(Backend backend) {
    Target target = asItIs(backend);
    Workload workload = plan.workloads().get(backend.workload());
    String key = workload.namespace() + "/" + workload.name() + ":" + backend.port();
    return new Cluster(
        key,
        Cluster.ServiceName.of(workload.name(), workload.namespace()),
        List.of(target),
        BackendProtocol.AS_CLIENT,
        loops,
        circuit("tunnel to " + key, List.of(target), Optional.empty()),
        new ClusterHealth(
            key,
            List.of(target.endpoint()),
            ClusterHealth.Settings.NONE,
            journal,
            Optional.empty(),
            now),
        now);
  }

  /** What was known of a cluster's endpoints goes on. */
  private ClusterHealth health(ProxyPlan.Cluster cluster, List<Target> made) {
    // A cluster that is dialled in two ways is two sets of endpoints under one name.
    ClusterHealth twin = healths.get(cluster.name());
    ClusterHealth health =
        new ClusterHealth(
            cluster.name(),
            made.stream().map(Target::endpoint).toList(),
            settings(cluster, made),
            journal,
            Optional.ofNullable(twin).or(() -> before(cluster.name())),
            now);
    healths.put(cluster.name(), health);
    return health;
  }

  private ClusterHealth.Settings settings(ProxyPlan.Cluster cluster, List<Target> made) {
    boolean preferred =
        said(cluster, Locality.class).filter(l -> l.prefer().contains(Level.NODE)).isPresent();
    List<Endpoint> near = new ArrayList<>();
    for (int i = 0; i < made.size() && preferred; i++) {
      if (cluster.near().contains(cluster.endpoints().get(i))) {
        near.add(made.get(i).endpoint());
      }
    }
    return new ClusterHealth.Settings(
        said(cluster, OutlierEjection.class),
        said(cluster, SlowStart.class).map(SlowStart::windowMillis).orElse(0),
        near);
  }

  private <T extends Setting> Optional<T> said(ProxyPlan.Cluster cluster, Class<T> type) {
    return settings
        .ofService(cluster.workload(), cluster.port(), type)
        .map(TrafficSettings.Said::setting);
  }

  private Optional<ClusterHealth> before(String cluster) {
    return previous.flatMap(g -> Optional.ofNullable(g.healths().get(cluster)));
  }

  /**
   * Also the backends that only the generation before has routes to: a connection that this one
   * leads elsewhere may have asked for one of them.
   */
  Map<Endpoint, Target> targetsByEndpoint() {
    Map<Endpoint, Target> byEndpoint = new HashMap<>();
    targets.values().forEach(target -> byEndpoint.put(target.endpoint(), target));
    Map<BindAddress, List<Endpoint>> before = new HashMap<>();
    previous
        .map(Generation::dialled)
        .orElse(Map.of())
        .forEach(
            (key, endpoint) ->
                before.computeIfAbsent(key.at(), at -> new ArrayList<>()).add(endpoint));
    int next = targets.size();
    for (Backend backend : plan.backends()) {
      BindAddress at = new BindAddress(Optional.of(backend.address()), backend.port());
      for (Endpoint endpoint : before.getOrDefault(at, List.of())) {
        if (!byEndpoint.containsKey(endpoint)) {
          byEndpoint.put(endpoint, target(backend, endpoint, next++));
        }
      }
    }
    return Map.copyOf(byEndpoint);
  }

  /** What is under way goes on: an update is no reason to do more. */
  private CircuitBreaker circuit(String name, List<Target> made, Optional<CircuitLimits> limits) {
    CircuitBreaker twin = circuits.get(name);
    CircuitBreaker circuit =
        new CircuitBreaker(
            made.stream().map(Target::endpoint).toList(),
            loops,
            limits,
            Optional.ofNullable(twin)
                .or(() -> previous.flatMap(g -> Optional.ofNullable(g.circuits().get(name)))));
    circuits.put(name, circuit);
    return circuit;
  }

  private Target target(int backend, Optional<BackendTls> tls) {
    return targets.computeIfAbsent(
        new TargetKey(plan.backends().get(backend), tls), this::makeTarget);
  }

  private Target makeTarget(TargetKey wanted) {
    Backend backend = wanted.backend();
    Dialled key =
        new Dialled(
            new BindAddress(Optional.of(backend.address()), backend.port()),
            wanted.tls(),
            tunnel(backend));
    Endpoint endpoint =
        endpoints.computeIfAbsent(
            key,
            k -> {
              Endpoint known = previous.map(generation -> generation.dialled().get(k)).orElse(null);
              return known != null
                  ? known
                  : endpoint(
                      backend,
                      k.tls().flatMap(tls -> Optional.ofNullable(originations.get(tls))),
                      k.tunnel());
            });
    return target(backend, endpoint, targets.size());
  }

  private Endpoint endpoint(
      Backend backend, Optional<Origination> tls, Optional<Dialled.TunnelEnd> tunnel) {
    return tunnel
        .map(
            end ->
                new Endpoint(
                    backend.address(),
                    backend.port(),
                    tls,
                    loops,
                    transports.to(
                        end.peer(), end.shown(), end.account(), backend.address(), backend.port())))
        .orElseGet(() -> new Endpoint(backend.address(), backend.port(), tls, loops));
  }

  private Optional<Dialled.TunnelEnd> tunnel(Backend backend) {
    return through.getOrDefault(backend.workload(), List.of()).stream()
        // A pod that takes tunnels itself takes them at each of its addresses, for that address.
        .min(Comparator.comparing(peer -> !peer.address().equals(backend.address())))
        .map(
            peer -> {
              String account = peer.account();
              if (account.isEmpty()) {
                Workload workload = plan.workloads().get(backend.workload());
                account = workload.namespace() + "/" + Generation.serviceAccount(workload);
              }
              return new Dialled.TunnelEnd(
                  peer, Generation.principalOf(plan.settings().trustDomain(), account), account);
            });
  }

  private Target target(Backend backend, Endpoint endpoint, int index) {
    Workload workload = plan.workloads().get(backend.workload());
    return new Target(
        index,
        endpoint,
        backend.identity(),
        backend.address(),
        backend.port(),
        Generation.peer(workload, plan.settings().trustDomain()),
        workload.namespace() + "/" + workload.name(),
        rules(backend));
  }

  /** Backends of one workload and port share their rules, whatever their addresses. */
  private AccessRules rules(Backend backend) {
    long key = (long) backend.workload() << 16 | backend.port();
    return rules.computeIfAbsent(
        key, k -> AccessRules.of(plan.proxy().access(), backend.workload(), backend.port()));
  }
}
