// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.outbound;

import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Block;
import dev.weir.policy.plan.Hbone;
import dev.weir.policy.plan.Identity;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.ProxyPlan;
import dev.weir.policy.plan.ProxyPlan.BackendTls;
import dev.weir.policy.plan.ProxyPlan.VirtualService;
import dev.weir.policy.plan.ProxyUpdate;
import dev.weir.policy.plan.Reserved;
import dev.weir.policy.plan.Rule;
import dev.weir.policy.plan.Telemetry;
import dev.weir.policy.plan.VerdictIndex;
import dev.weir.policy.plan.Workload;
import dev.weir.policy.rbac.Principal;
import dev.weir.policy.route.SessionKey;
import dev.weir.proxy.observe.Peer;
import dev.weir.proxy.resilience.CircuitBreaker;
import dev.weir.proxy.resilience.ClusterHealth;
import dev.weir.proxy.resilience.HealthChecks;
import dev.weir.proxy.resilience.Journal;
import dev.weir.proxy.resilience.Rollbacks;
import dev.weir.proxy.resilience.RoutePolicies;
import dev.weir.proxy.tls.Certificates;
import dev.weir.proxy.tls.Origination;
import dev.weir.proxy.upstream.Baggage;
import dev.weir.proxy.upstream.Endpoint;
import dev.weir.proxy.upstream.Transports;
import java.io.IOException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * One update, compiled to what a connection needs. Immutable as far as any decision goes; a request
 * keeps the generation it began with. Endpoints (with their connections) and certificates that two
 * generations share are the same objects in both.
 */
public final class Generation {

  private final long number;

  // Of the plan only what is still asked for; the rest of it is let go.
  private final List<Workload> workloads;
  private final List<Identity> identities;
  private final List<Rule> rules;
  private final int targets;
  private final boolean audit;
  private final Telemetry telemetry;
  private final String trustDomain;
  private final List<Block> trustedProxies;
  private final Map<Integer, Address> addresses;
  private final Map<BindAddress, ServicePort> services;
  private final Map<BindAddress, Gateway> gateways;
  private final Map<Integer, Integer> workloadsByNumber;
  private final Map<Dialled, Endpoint> endpoints;
  private final Map<Endpoint, Target> targetsByEndpoint;
  private final ListenerCertificates certificates;
  private final Map<String, CircuitBreaker> circuits;
  private final Map<String, ClusterHealth> healths;
  private final List<HealthChecks.Check> checks;
  private final RoutePolicies policies;
  private final Map<BackendTls, Origination> originations;
  private final VerdictIndex verdicts;
  private final Set<BindAddress> outboundBinds;
  private final Optional<Hbone> hbone;
  private final Map<BindAddress, Inbound> inbound;
  private final Map<String, List<Integer>> elsewhere;
  private final Map<Address, Integer> elsewhereByAddress;
  // Made when first seen: a node's plan names many workloads that never ask for anything here.
  private final Map<Integer, Source> sources = new ConcurrentHashMap<>();
  private final Map<Integer, Source> outside = new ConcurrentHashMap<>();

  Generation(
      ProxyUpdate update,
      Map<BindAddress, ServicePort> services,
      Map<BindAddress, Gateway> gateways,
      Map<Integer, Integer> workloadsByNumber,
      Map<Dialled, Endpoint> endpoints,
      Map<Endpoint, Target> targetsByEndpoint,
      ListenerCertificates certificates,
      Map<String, CircuitBreaker> circuits,
      Map<String, ClusterHealth> healths,
      List<HealthChecks.Check> checks,
      RoutePolicies policies,
      Map<BackendTls, Origination> originations,
      VerdictIndex verdicts,
      int targets,
      Set<BindAddress> outboundBinds,
      Map<BindAddress, Inbound> inbound) {
    this.number = update.generation();
    this.workloads = update.plan().workloads();
    this.identities = update.plan().identities();
    this.rules = update.plan().rules();
    this.targets = targets;
    this.audit = update.plan().settings().audit();
    this.telemetry = update.plan().settings().telemetry();
    this.trustDomain = update.plan().settings().trustDomain();
    this.trustedProxies = update.plan().settings().trustedProxies();
    this.addresses = addresses(update.plan());
    this.services = services;
    this.gateways = gateways;
    this.workloadsByNumber = workloadsByNumber;
    this.endpoints = endpoints;
    this.targetsByEndpoint = targetsByEndpoint;
    this.certificates = certificates;
    this.circuits = circuits;
    this.healths = healths;
    this.checks = List.copyOf(checks);
    this.policies = policies;
    this.originations = originations;
    this.verdicts = verdicts;
    this.outboundBinds = outboundBinds;
    this.hbone = update.plan().proxy().hbone();
    this.inbound = inbound;
    this.elsewhere = new HashMap<>();
    this.elsewhereByAddress = new HashMap<>();
    if (hbone.isPresent()) {
      elsewhere(update);
    }
  }

  /** Workloads of other nodes, by what their certificates prove. */
  private void elsewhere(ProxyUpdate update) {
    Set<Integer> seen = new HashSet<>();
    for (dev.weir.policy.plan.Endpoint endpoint : remote(update.plan())) {
      elsewhereByAddress.put(endpoint.address(), update.workloadNumbers().get(endpoint.workload()));
      if (seen.add(endpoint.workload())) {
        elsewhere
            .computeIfAbsent(principal(endpoint.workload()).text(), p -> new ArrayList<>())
            .add(update.workloadNumbers().get(endpoint.workload()));
      }
    }
  }

  static List<dev.weir.policy.plan.Endpoint> remote(Plan plan) {
    return plan.endpoints().stream().filter(e -> e.remote()).toList();
  }

  /**
   * Compiles an update.
   *
   * @param previous whose endpoints, certificates and turns go on
   * @param loops number of event loops
   * @param sessionKeys asked when a route has sessions
   * @param journal told what is decided about backends
   * @param rollbacks of canaries that were made and not released
   * @param now monotonic nanoseconds of the event loops' clock
   * @param transports asked for backends on other nodes
   * @throws UpdateRefusedException when it cannot be put in force; nothing of it is left then
   */
  public static Generation compile(
      ProxyUpdate update,
      Optional<Generation> previous,
      int loops,
      SessionKeyFile sessionKeys,
      Journal journal,
      Rollbacks rollbacks,
      long now,
      Transports transports)
      throws UpdateRefusedException {
    ListenerCertificates certificates =
        ListenerCertificates.of(update, previous.map(generation -> generation.certificates));
    Map<BackendTls, Origination> originations = originations(update, previous);
    try {
      return new GenerationCompiler(
              update,
              previous,
              loops,
              certificates,
              originations,
              sessionKey(update, sessionKeys),
              journal,
              rollbacks,
              now,
              transports)
          .compile();
    } catch (UpdateRefusedException | RuntimeException e) {
      certificates.releaseFresh(previous.map(generation -> generation.certificates));
      releaseFreshOriginations(originations, previous);
      throw e;
    }
  }

  private static Optional<SessionKey> sessionKey(ProxyUpdate update, SessionKeyFile keys)
      throws UpdateRefusedException {
    ProxyPlan plan = update.plan().proxy();
    boolean needed =
        Stream.concat(
                plan.listeners().stream().flatMap(listener -> listener.routes().stream()),
                plan.virtualServices().stream().flatMap(VirtualService::everyRoute))
            .flatMap(route -> route.rules().stream())
            .anyMatch(rule -> rule.session().isPresent());
    try {
      return needed ? Optional.of(keys.key()) : Optional.empty();
    } catch (IOException e) {
      throw new UpdateRefusedException("the key of session cookies: " + e.getMessage());
    }
  }

  private static Map<BackendTls, Origination> originations(
      ProxyUpdate update, Optional<Generation> previous) {
    Map<BackendTls, Origination> originations = new HashMap<>();
    for (ProxyPlan.Cluster cluster : update.plan().proxy().clusters()) {
      cluster
          .tls()
          .ifPresent(
              tls ->
                  originations.computeIfAbsent(
                      tls,
                      t -> {
                        Origination known =
                            previous.map(generation -> generation.originations.get(t)).orElse(null);
                        return known != null ? known : new Origination(t);
                      }));
    }
    return Map.copyOf(originations);
  }

  private static void releaseFreshOriginations(
      Map<BackendTls, Origination> originations, Optional<Generation> previous) {
    originations.values().stream()
        .filter(tls -> previous.map(g -> !g.originations.containsValue(tls)).orElse(true))
        .forEach(Origination::release);
  }

  /** Of the update. */
  public long number() {
    return number;
  }

  /**
   * What is served at an original destination.
   *
   * @param client stable number of the workload that asks: routes of its namespace may be for it
   */
  public Optional<Entrance> service(BindAddress destination, int client) {
    ServicePort port = services.get(destination);
    return port == null
        ? Optional.empty()
        : Optional.of(port.consumers().isEmpty() ? port.everybody() : port.of(namespace(client)));
  }

  private String namespace(int workloadNumber) {
    Integer index = workloadsByNumber.get(workloadNumber);
    return index == null ? "" : workloads.get(index).namespace();
  }

  Map<BindAddress, ServicePort> services() {
    return services;
  }

  /** What is served at a gateway's port. */
  public Optional<Gateway> gateway(BindAddress bind) {
    return Optional.ofNullable(gateways.get(bind));
  }

  /** Who has this stable number. */
  public Optional<Source> source(int workloadNumber) {
    Source known = sources.get(workloadNumber);
    if (known != null) {
      return Optional.of(known);
    }
    return Optional.ofNullable(workloadsByNumber.get(workloadNumber))
        .map(index -> sources.computeIfAbsent(workloadNumber, number -> makeSource(index)));
  }

  private Source makeSource(int index) {
    Workload workload = workloads.get(index);
    return new Source(
        verdicts,
        workload.identity(),
        peer(workload, trustDomain),
        workload.namespace().isEmpty()
            ? workload.name()
            : workload.namespace() + "/" + workload.name(),
        index != Reserved.OUTSIDE.index() && index != Reserved.UNKNOWN.index(),
        principal(index),
        Optional.ofNullable(addresses.get(index)),
        index < Workload.RESERVED ? "" : Baggage.of(workload),
        targets);
  }

  private Principal principal(int index) {
    Workload workload = workloads.get(index);
    return index < Workload.RESERVED
        ? Principal.NONE
        : Principal.of(trustDomain, workload.namespace(), serviceAccount(workload));
  }

  static String serviceAccount(Workload workload) {
    return workload.serviceAccount().isEmpty() ? "default" : workload.serviceAccount();
  }

  /** How connections go from node to node; empty when they go as they are. */
  public Optional<Hbone> hbone() {
    return hbone;
  }

  /** Whether tunnels of other nodes are awaited there. */
  public boolean isHbone(BindAddress bind) {
    return hbone.isPresent() && bind.address().isEmpty() && bind.port() == hbone.get().port();
  }

  /**
   * The principal of a service account in this mesh.
   *
   * @param account {@code NAMESPACE/ACCOUNT}
   */
  public String principal(String account) {
    return principalOf(trustDomain, account);
  }

  static String principalOf(String trustDomain, String account) {
    int slash = account.indexOf('/');
    return Principal.of(trustDomain, account.substring(0, slash), account.substring(slash + 1))
        .text();
  }

  /**
   * What a tunnel may lead to on this node.
   *
   * @param destination without address for whoever has none of his own
   */
  public Optional<Inbound> inbound(BindAddress destination) {
    return Optional.ofNullable(inbound.get(destination));
  }

  /**
   * A workload of another node with this stable number, as long as it is who has proved to be it.
   *
   * @param principal of the certificate that proved it
   */
  public Optional<Source> source(int workloadNumber, String principal) {
    return elsewhere(principal, Optional.empty()).contains(workloadNumber)
        ? source(workloadNumber)
        : Optional.empty();
  }

  /**
   * The stable numbers of workloads of other nodes with a principal.
   *
   * @param address of the one that is meant; empty for any
   */
  public List<Integer> elsewhere(String principal, Optional<Address> address) {
    List<Integer> all = elsewhere.getOrDefault(principal, List.of());
    if (address.isEmpty()) {
      return all;
    }
    Integer there = elsewhereByAddress.get(address.get());
    return there != null && all.contains(there) ? List.of(there) : List.of();
  }

  /** The first address of each workload that has one of its own. */
  private static Map<Integer, Address> addresses(Plan plan) {
    Map<Integer, Address> addresses = new HashMap<>();
    plan.endpoints().forEach(e -> addresses.putIfAbsent(e.workload(), e.address()));
    return Map.copyOf(addresses);
  }

  /** Whether nothing is refused, only reported. */
  public boolean audit() {
    return audit;
  }

  /** Whether an address is that of a proxy that is believed whom it asks for. */
  public boolean trustsProxy(Address address) {
    for (Block block : trustedProxies) {
      if (block.contains(address)) {
        return true;
      }
    }
    return false;
  }

  /** What is told of each request. */
  public Telemetry telemetry() {
    return telemetry;
  }

  /** Somebody beyond this node's workloads, by address. */
  public Source outside(Address address) {
    return outside.computeIfAbsent(
        verdicts.outside(address),
        identity ->
            new Source(
                verdicts,
                identity,
                peer(workloads.get(Reserved.OUTSIDE.index()), trustDomain),
                identities.get(identity).description(),
                false,
                Principal.NONE,
                Optional.empty(),
                "",
                targets));
  }

  /** Whether it is the outbound listener's socket. */
  public boolean isOutbound(BindAddress bind) {
    return outboundBinds.contains(bind);
  }

  /** All sockets to listen on. */
  public Set<BindAddress> binds() {
    Set<BindAddress> binds = new LinkedHashSet<>(outboundBinds);
    binds.addAll(gateways.keySet());
    hbone.ifPresent(h -> binds.add(new BindAddress(Optional.empty(), h.port())));
    return binds;
  }

  /** All backends of routes. */
  public List<Endpoint> endpoints() {
    return List.copyOf(endpoints.values());
  }

  /**
   * A backend of the routes of this generation or of the one before, with the numbers of this one.
   *
   * @return empty when the plan knows nothing at that address
   */
  public Optional<Target> target(Endpoint endpoint) {
    return Optional.ofNullable(targetsByEndpoint.get(endpoint));
  }

  /** What its backends are asked by themselves. */
  public List<HealthChecks.Check> checks() {
    return checks;
  }

  /** What policies say of requests. */
  public RoutePolicies policies() {
    return policies;
  }

  /** Its backends by how they are dialled. */
  Map<Dialled, Endpoint> dialled() {
    return endpoints;
  }

  /** How much is under way to its clusters, by cluster. */
  Map<String, CircuitBreaker> circuits() {
    return circuits;
  }

  /** How the endpoints of its clusters do, by cluster. */
  public Map<String, ClusterHealth> healths() {
    return healths;
  }

  /**
   * The routes that are served.
   *
   * @param most how many of them
   */
  public RouteStatus.Listing routes(int most) {
    List<Entrance> entrances =
        services.values().stream()
            .flatMap(ServicePort::all)
            .collect(Collectors.toCollection(ArrayList::new));
    gateways.values().forEach(gateway -> entrances.addAll(gateway.byName().values()));
    return RouteStatus.of(entrances, rules, most);
  }

  /** A rule of the plan, for people. */
  public String describeRule(int rule) {
    return rules.get(rule).describe();
  }

  /**
   * The next one is in force: backends that it does not name keep no connections.
   *
   * @return those backends
   */
  public List<Endpoint> retire(Generation next) {
    List<Endpoint> gone =
        endpoints.values().stream()
            .filter(endpoint -> !next.endpoints.containsValue(endpoint))
            .toList();
    gone.forEach(Endpoint::retire);
    return gone;
  }

  /** Frees what it does not share with the previous one: it is not put in force after all. */
  public void discard(Optional<Generation> previous) {
    certificates.releaseFresh(previous.map(generation -> generation.certificates));
    releaseFreshOriginations(originations, previous);
  }

  /** How backends were dialled that the next generation does not dial like that. */
  public List<Origination> originationsNotIn(Generation next) {
    return originations.values().stream()
        .filter(tls -> !next.originations.containsValue(tls))
        .toList();
  }

  /** The certificates that the next generation does not share. */
  public List<Certificates> certificatesNotIn(Generation next) {
    return certificates.notIn(next.certificates);
  }

  static Peer peer(Workload workload, String trustDomain) {
    return workload.kind().equals("Reserved")
        ? new Peer(workload.name(), "", "", "")
        : new Peer(
            workload.name(),
            workload.namespace(),
            workload.app(),
            workload.version(),
            "spiffe://"
                + Principal.of(trustDomain, workload.namespace(), serviceAccount(workload)).text());
  }
}
