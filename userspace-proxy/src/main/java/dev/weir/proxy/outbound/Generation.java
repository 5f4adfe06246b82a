// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.outbound;

import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Backend;
import dev.weir.policy.plan.Hbone;
import dev.weir.policy.plan.Identity;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.PortOwner;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.ProxyPlan;
import dev.weir.policy.plan.ProxyPlan.BackendTls;
import dev.weir.policy.plan.ProxyPlan.ListenerProtocol;
import dev.weir.policy.plan.ProxyPlan.Match;
import dev.weir.policy.plan.ProxyPlan.PathMatch;
import dev.weir.policy.plan.ProxyPlan.VirtualService;
import dev.weir.policy.plan.ProxyPlan.WeightedBackend;
import dev.weir.policy.plan.ProxyUpdate;
import dev.weir.policy.plan.Reserved;
import dev.weir.policy.plan.Rule;
import dev.weir.policy.plan.Telemetry;
import dev.weir.policy.plan.TlsKeyPair;
import dev.weir.policy.plan.TrafficPolicy.CircuitLimits;
import dev.weir.policy.plan.TrafficPolicy.HealthCheck;
import dev.weir.policy.plan.TrafficPolicy.Level;
import dev.weir.policy.plan.TrafficPolicy.Locality;
import dev.weir.policy.plan.TrafficPolicy.OutlierEjection;
import dev.weir.policy.plan.TrafficPolicy.Setting;
import dev.weir.policy.plan.TrafficPolicy.SlowStart;
import dev.weir.policy.plan.TrafficSettings;
import dev.weir.policy.plan.VerdictIndex;
import dev.weir.policy.plan.Workload;
import dev.weir.policy.rbac.AccessRules;
import dev.weir.policy.rbac.Principal;
import dev.weir.policy.route.BackendProtocol;
import dev.weir.policy.route.Listeners;
import dev.weir.policy.route.SessionKey;
import dev.weir.proxy.observe.Peer;
import dev.weir.proxy.resilience.CircuitBreaker;
import dev.weir.proxy.resilience.ClusterHealth;
import dev.weir.proxy.resilience.HealthChecks;
import dev.weir.proxy.resilience.Journal;
import dev.weir.proxy.resilience.RateLimits;
import dev.weir.proxy.resilience.Rollbacks;
import dev.weir.proxy.resilience.RoutePolicies;
import dev.weir.proxy.tls.Certificates;
import dev.weir.proxy.tls.Origination;
import dev.weir.proxy.upstream.Endpoint;
import dev.weir.proxy.upstream.Transports;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.regex.PatternSyntaxException;
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
  private final Map<Integer, Address> addresses;
  private final Map<BindAddress, Entrance> services;
  private final Map<BindAddress, Gateway> gateways;
  private final Map<Integer, Integer> workloadsByNumber;
  private final Map<Dialled, Endpoint> endpoints;
  private final Map<Endpoint, Target> targetsByEndpoint;
  private final Map<String, Certificates> certificates;
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

  /**
   * What endpoints are told apart by, and so connections: nobody is given one that was made to
   * somebody else's satisfaction.
   *
   * @param at where
   * @param tls how
   * @param tunnel by which tunnel; empty without one
   */
  private record Dialled(BindAddress at, Optional<BackendTls> tls, Optional<TunnelEnd> tunnel) {}

  /**
   * Where a tunnel leads and who is there.
   *
   * @param peer the node
   * @param shown principal that must be shown there
   * @param account {@code NAMESPACE/ACCOUNT} whose certificate is asked for
   */
  private record TunnelEnd(Hbone.Peer peer, String shown, String account) {}

  private Generation(
      ProxyUpdate update,
      Map<BindAddress, Entrance> services,
      Map<BindAddress, Gateway> gateways,
      Map<Integer, Integer> workloadsByNumber,
      Map<Dialled, Endpoint> endpoints,
      Map<Endpoint, Target> targetsByEndpoint,
      Map<String, Certificates> certificates,
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

  private static List<dev.weir.policy.plan.Endpoint> remote(Plan plan) {
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
    Map<String, Certificates> certificates = certificates(update, previous);
    Map<BackendTls, Origination> originations = originations(update, previous);
    try {
      return new Compiler(
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
      releaseFresh(certificates, previous);
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

  private static Map<String, Certificates> certificates(
      ProxyUpdate update, Optional<Generation> previous) throws UpdateRefusedException {
    Map<String, Certificates> certificates = new LinkedHashMap<>();
    try {
      for (TlsKeyPair pair : update.keyPairs()) {
        Certificates known =
            previous.map(generation -> generation.certificates.get(pair.name())).orElse(null);
        certificates.put(
            pair.name(), known != null && known.madeOf(pair) ? known : new Certificates(pair));
      }
      return certificates;
    } catch (Certificates.InvalidKeyPairException e) {
      releaseFresh(certificates, previous);
      throw new UpdateRefusedException(e.getMessage() == null ? "key pair" : e.getMessage());
    }
  }

  private static void releaseFresh(
      Map<String, Certificates> certificates, Optional<Generation> previous) {
    certificates.values().stream()
        .filter(pair -> previous.map(g -> !g.certificates.containsValue(pair)).orElse(true))
        .forEach(Certificates::release);
  }

  /** Of the update. */
  public long number() {
    return number;
  }

  /** What is served at an original destination. */
  public Optional<Entrance> service(BindAddress destination) {
    return Optional.ofNullable(services.get(destination));
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
        targets);
  }

  private Principal principal(int index) {
    Workload workload = workloads.get(index);
    return index < Workload.RESERVED
        ? Principal.NONE
        : Principal.of(trustDomain, workload.namespace(), serviceAccount(workload));
  }

  private static String serviceAccount(Workload workload) {
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

  private static String principalOf(String trustDomain, String account) {
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

  /** How the endpoints of its clusters do, by cluster. */
  public Map<String, ClusterHealth> healths() {
    return healths;
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
    releaseFresh(certificates, previous);
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
    return certificates.values().stream()
        .filter(pair -> !next.certificates.containsValue(pair))
        .toList();
  }

  private static Peer peer(Workload workload, String trustDomain) {
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

  private static final class Compiler {
    private final ProxyUpdate update;
    private final Plan plan;
    private final Optional<Generation> previous;
    private final int loops;
    private final Map<String, Certificates> certificates;
    private final Optional<SessionKey> sessionKey;
    private final Transports transports;
    private final Map<Integer, Hbone.Peer> through = new HashMap<>();
    private final Map<BackendTls, Origination> originations;
    private final Map<Dialled, Endpoint> endpoints = new HashMap<>();
    private final Map<TargetKey, Target> targets = new HashMap<>();
    private final Map<Long, AccessRules> rules = new HashMap<>();
    private final Map<String, CircuitBreaker> circuits = new HashMap<>();
    private final Map<String, ClusterHealth> healths = new HashMap<>();
    private final List<HealthChecks.Check> checks = new ArrayList<>();
    private final Journal journal;
    private final long now;
    private final TrafficSettings settings;
    private final RoutePolicies policies;

    private record TargetKey(Backend backend, Optional<BackendTls> tls) {}

    Compiler(
        ProxyUpdate update,
        Optional<Generation> previous,
        int loops,
        Map<String, Certificates> certificates,
        Map<BackendTls, Origination> originations,
        Optional<SessionKey> sessionKey,
        Journal journal,
        Rollbacks rollbacks,
        long now,
        Transports transports) {
      this.update = update;
      this.transports = transports;
      update
          .plan()
          .proxy()
          .hbone()
          .ifPresent(
              hbone ->
                  hbone
                      .through()
                      .forEach(t -> through.put(t.workload(), hbone.peers().get(t.peer()))));
      this.plan = update.plan();
      this.previous = previous;
      this.loops = loops;
      this.certificates = certificates;
      this.sessionKey = sessionKey;
      this.originations = originations;
      this.journal = journal;
      this.now = now;
      this.settings = new TrafficSettings(plan);
      this.policies =
          new RoutePolicies(plan, settings, previous.map(g -> g.policies), journal, rollbacks, now);
    }

    Generation compile() throws UpdateRefusedException {
      Unserved.check(plan.proxy());
      Clusters clusters = clusters();
      Map<BindAddress, Inbound> inbound = inbound();
      Map<BindAddress, Entrance> elsewhere = elsewhere();
      VerdictIndex verdicts = new VerdictIndex(plan);
      Map<Endpoint, Target> byEndpoint = targetsByEndpoint();
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
            services(clusters, elsewhere),
            gateways(clusters),
            workloadsByNumber(),
            endpoints,
            byEndpoint,
            certificates,
            circuits,
            healths,
            checks,
            policies,
            originations,
            verdicts,
            byEndpoint.size() + targets.size(),
            outbound,
            inbound);
      } catch (PatternSyntaxException e) {
        throw new UpdateRefusedException(
            "a route's pattern is not a regular expression: " + e.getMessage());
      }
    }

    /**
     * The clusters of the plan.
     *
     * @param dialled as their policies say
     * @param asTheyAre for connections whose TLS, if any, is the client's own affair
     */
    private record Clusters(List<Cluster> dialled, List<Cluster> asTheyAre) {
      List<Cluster> of(ListenerProtocol protocol) {
        return protocol == ListenerProtocol.TLS_PASSTHROUGH ? asTheyAre : dialled;
      }
    }

    private Clusters clusters() {
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
      List<Target> made =
          cluster.endpoints().stream().map(backend -> target(backend, tls)).toList();
      ClusterHealth health = health(cluster, made);
      said(cluster, HealthCheck.class)
          .ifPresent(
              check ->
                  checks.addAll(
                      health.checks(
                          check,
                          BackendProtocol.of(cluster.appProtocol()) == BackendProtocol.HTTP_2
                              ? Endpoint.Version.HTTP_2
                              : Endpoint.Version.HTTP_1,
                          Cluster.ServiceName.of(workload.name(), workload.namespace()).host())));
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
      return previous.flatMap(g -> Optional.ofNullable(g.healths.get(cluster)));
    }

    /**
     * Also the backends that only the generation before has routes to: a connection that this one
     * leads elsewhere may have asked for one of them.
     */
    private Map<Endpoint, Target> targetsByEndpoint() {
      Map<Endpoint, Target> byEndpoint = new HashMap<>();
      targets.values().forEach(target -> byEndpoint.put(target.endpoint(), target));
      Map<BindAddress, List<Endpoint>> before = new HashMap<>();
      previous
          .map(generation -> generation.endpoints)
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
                  .or(() -> previous.flatMap(g -> Optional.ofNullable(g.circuits.get(name)))));
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
                Endpoint known =
                    previous.map(generation -> generation.endpoints.get(k)).orElse(null);
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
        Backend backend, Optional<Origination> tls, Optional<TunnelEnd> tunnel) {
      return tunnel
          .map(
              end ->
                  new Endpoint(
                      backend.address(),
                      backend.port(),
                      tls,
                      loops,
                      transports.to(
                          end.peer(),
                          end.shown(),
                          end.account(),
                          backend.address(),
                          backend.port())))
          .orElseGet(() -> new Endpoint(backend.address(), backend.port(), tls, loops));
    }

    private Optional<TunnelEnd> tunnel(Backend backend) {
      return Optional.ofNullable(through.get(backend.workload()))
          .map(
              peer -> {
                String account = peer.account();
                if (account.isEmpty()) {
                  Workload workload = plan.workloads().get(backend.workload());
                  account = workload.namespace() + "/" + serviceAccount(workload);
                }
                return new TunnelEnd(
                    peer, principalOf(plan.settings().trustDomain(), account), account);
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
          peer(workload, plan.settings().trustDomain()),
          workload.namespace() + "/" + workload.name(),
          rules(backend));
    }

    /** Backends of one workload and port share their rules, whatever their addresses. */
    private AccessRules rules(Backend backend) {
      long key = (long) backend.workload() << 16 | backend.port();
      return rules.computeIfAbsent(
          key, k -> AccessRules.of(plan.proxy().access(), backend.workload(), backend.port()));
    }

    /** Workloads of other nodes at their own addresses, as far as they are reached by tunnel. */
    private Map<BindAddress, Entrance> elsewhere() {
      Map<BindAddress, Entrance> elsewhere = new HashMap<>();
      for (Backend backend : plan.backends()) {
        if (through.containsKey(backend.workload())) {
          elsewhere.put(
              new BindAddress(Optional.of(backend.address()), backend.port()),
              inbound(backend).connections());
        }
      }
      return elsewhere;
    }

    private Map<BindAddress, Entrance> services(
        Clusters clusters, Map<BindAddress, Entrance> elsewhere) {
      Map<BindAddress, Entrance> services = new HashMap<>(elsewhere);
      for (ProxyPlan.VirtualService service : plan.proxy().virtualServices()) {
        Workload workload = plan.workloads().get(service.workload());
        ListenerProtocol protocol =
            service.l4Routes().isEmpty() ? ListenerProtocol.HTTP : ListenerProtocol.TLS_PASSTHROUGH;
        for (Address address : service.addresses()) {
          BindAddress key = new BindAddress(Optional.of(address), service.port());
          services.put(
              key,
              new Entrance(
                  Cluster.ServiceName.of(workload.name(), workload.namespace()),
                  protocol,
                  service.routes(),
                  service.l4Routes(),
                  clusters.of(protocol),
                  List.of(),
                  sessionKey,
                  policies,
                  policies.rates(service),
                  previous.flatMap(generation -> generation.service(key))));
        }
      }
      return Map.copyOf(services);
    }

    private Map<BindAddress, Gateway> gateways(Clusters clusters) throws UpdateRefusedException {
      Map<BindAddress, List<ProxyPlan.Listener>> byBind = new LinkedHashMap<>();
      for (ProxyPlan.Listener listener : plan.proxy().listeners()) {
        byBind
            .computeIfAbsent(
                new BindAddress(listener.address(), listener.port()), b -> new ArrayList<>())
            .add(listener);
      }
      Map<BindAddress, Gateway> gateways = new HashMap<>();
      for (Map.Entry<BindAddress, List<ProxyPlan.Listener>> entry : byBind.entrySet()) {
        gateways.put(entry.getKey(), gateway(entry.getKey(), entry.getValue(), clusters));
      }
      return Map.copyOf(gateways);
    }

    private Gateway gateway(BindAddress bind, List<ProxyPlan.Listener> listeners, Clusters clusters)
        throws UpdateRefusedException {
      Transport transport = Transport.of(listeners.getFirst().protocol());
      List<Gateway.Named> named = new ArrayList<>();
      Optional<Gateway> before = previous.flatMap(generation -> generation.gateway(bind));
      Listeners.Builder<Entrance> byHost = new Listeners.Builder<>();
      Map<String, Entrance> byName = new HashMap<>();
      for (ProxyPlan.Listener listener : listeners) {
        if (Transport.of(listener.protocol()) != transport) {
          throw new UpdateRefusedException(
              "port "
                  + bind.port()
                  + ": listener "
                  + listener.gateway()
                  + "/"
                  + listener.name()
                  + " and listener "
                  + listeners.getFirst().name()
                  + " differ in what clients speak; give one of them another port");
        }
        String name = listener.gateway() + "/" + listener.name();
        Entrance entrance =
            new Entrance(
                serviceName(listener.gateway()),
                listener.protocol(),
                listener.routes(),
                listener.l4Routes(),
                clusters.of(listener.protocol()),
                guard(listener),
                sessionKey,
                policies,
                policies.rates(listener),
                before.map(gateway -> gateway.byName().get(name)));
        byHost.add(listener.hostname(), entrance);
        byName.put(name, entrance);
        if (listener.tls().isPresent()) {
          List<Certificates> pairs = new ArrayList<>();
          for (String keyPair : listener.tls().orElseThrow().certificates()) {
            Certificates pair = certificates.get(keyPair);
            if (pair == null) {
              throw new UpdateRefusedException(
                  "listener "
                      + listener.gateway()
                      + "/"
                      + listener.name()
                      + ": key pair "
                      + keyPair
                      + " did not come with the update; the Secret must exist beside the Gateway");
            }
            pairs.add(pair);
          }
          if (pairs.isEmpty()) {
            throw new UpdateRefusedException(
                "listener " + listener.gateway() + "/" + listener.name() + " names no certificate");
          }
          named.add(
              new Gateway.Named(listener.hostname().toLowerCase(Locale.ROOT), List.copyOf(pairs)));
        }
      }
      named.sort(
          Comparator.comparing((Gateway.Named n) -> n.hostname().isEmpty())
              .thenComparing(n -> n.hostname().startsWith("*."))
              .thenComparingInt(n -> -n.hostname().length()));
      return new Gateway(
          byHost.build(), Map.copyOf(byName), transport == Transport.TLS, List.copyOf(named));
    }

    /** What clients of a port speak first, by which its listeners are told apart. */
    private enum Transport {
      HTTP,
      TLS,
      TCP;

      static Transport of(ListenerProtocol protocol) {
        return switch (protocol) {
          case HTTP -> HTTP;
          case HTTPS, TLS_PASSTHROUGH, TLS_TERMINATE -> TLS;
          case TCP -> TCP;
        };
      }
    }

    /** A Gateway as metrics name it. */
    private static Cluster.ServiceName serviceName(String gateway) {
      int slash = gateway.indexOf('/');
      return new Cluster.ServiceName(
          gateway, gateway.substring(slash + 1), slash < 0 ? "" : gateway.substring(0, slash));
    }

    /** Whoever lives here and has a port can be reached by tunnel, if there are any. */
    private Map<BindAddress, Inbound> inbound() {
      if (plan.proxy().hbone().isEmpty()) {
        return Map.of();
      }
      Set<Integer> elsewhere =
          remote(plan).stream()
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
                k ->
                    inbound(
                        new Backend(Address.LOOPBACK4, port.port(), port.workload(), identity)));
          }
        }
      }
      return Map.copyOf(inbound);
    }

    private Inbound inbound(Backend backend) {
      Target target =
          targets.computeIfAbsent(new TargetKey(backend, Optional.empty()), this::makeTarget);
      Workload workload = plan.workloads().get(backend.workload());
      Cluster.ServiceName name = Cluster.ServiceName.of(workload.name(), workload.namespace());
      String key = workload.namespace() + "/" + workload.name() + ":" + backend.port();
      Cluster cluster =
          new Cluster(
              key,
              name,
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
      WeightedBackend all = new WeightedBackend(0, 1, List.of());
      Match any = new Match(new PathMatch.Prefix("/"), List.of(), List.of(), Optional.empty());
      return new Inbound(
          target,
          new Entrance(
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
              name,
              ListenerProtocol.HTTP,
              List.of(
                  new ProxyPlan.Route(
                      key,
                      0,
                      List.of(),
                      List.of(
                          new ProxyPlan.RouteRule(List.of(any), List.of(), List.of(all), 0, 0)))),
              List.of(),
              List.of(cluster),
              List.of(),
              sessionKey,
              policies,
              RateLimits.NONE,
              Optional.empty()));
    }

    private List<AccessRules> guard(ProxyPlan.Listener listener) {
      AccessRules guard = AccessRules.of(plan.proxy().access(), listener.gateway());
      return guard.isEmpty() ? List.of() : List.of(guard);
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
}
