// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.answer;

import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.ProxyPlan;
import dev.weir.policy.plan.ProxyPlan.BackendTls;
import dev.weir.policy.plan.ProxyPlan.Cluster;
import dev.weir.policy.plan.ProxyPlan.Filter;
import dev.weir.policy.plan.ProxyPlan.L4Route;
import dev.weir.policy.plan.ProxyPlan.Listener;
import dev.weir.policy.plan.ProxyPlan.PathEdit;
import dev.weir.policy.plan.ProxyPlan.Route;
import dev.weir.policy.plan.ProxyPlan.RouteKind;
import dev.weir.policy.plan.ProxyPlan.RouteRule;
import dev.weir.policy.plan.ProxyPlan.SessionPersistence;
import dev.weir.policy.plan.ProxyPlan.SubjectAltName;
import dev.weir.policy.plan.ProxyPlan.VirtualService;
import dev.weir.policy.plan.ProxyPlan.WeightedBackend;
import dev.weir.policy.plan.Workload;
import dev.weir.policy.route.L4Table;
import dev.weir.policy.route.Listeners;
import dev.weir.policy.route.RequestView;
import dev.weir.policy.route.RouteAction;
import dev.weir.policy.route.RouteMatch;
import dev.weir.policy.route.RouteTable;
import dev.weir.policy.steer.Steering;
import dev.weir.policy.steer.Steering.KernelSplit;
import dev.weir.policy.steer.Steering.SplitPart;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;

/** Where requests lead: the routes of a plan, asked as the proxy asks them. */
public final class Routing {

  private final Plan plan;
  private final Map<Entrance, List<Route>> routes = new TreeMap<>();
  private final Map<Entrance, RouteTable> tables = new HashMap<>();

  /** Of the listeners of a port, one has a request, and only its routes are asked. */
  private final Map<Entrance, Listeners<Door>> doors = new HashMap<>();

  /** Routes of connections at Services, for the proxy. */
  private final Map<Entrance, List<L4Route>> l4Routes = new HashMap<>();

  /** What the kernel makes of connections by a route. */
  private final Map<Entrance, Connection> splits = new HashMap<>();

  /** Addresses that listeners are bound to; none for those that are bound to all. */
  private final Map<String, Set<String>> bound = new HashMap<>();

  private record Door(Listener listener, RouteTable table) {}

  /**
   * Where requests come in.
   *
   * @param kind {@code Gateway} or {@code Service}
   * @param name {@code namespace/name}
   * @param port of the listener or service
   * @param client namespace of clients that have routes of their own; empty for all others
   */
  public record Entrance(String kind, String name, int port, String client)
      implements Comparable<Entrance> {
    /** A port of a Gateway. */
    public static Entrance gateway(String name, int port) {
      return new Entrance("Gateway", name, port, "");
    }

    /** A port of a Service. */
    public static Entrance service(String name, int port) {
      return new Entrance("Service", name, port, "");
    }

    @Override
    public int compareTo(Entrance other) {
      return toString().compareTo(other.toString());
    }

    /** {@code namespace/name[Kind] port}. */
    @Override
    public String toString() {
      return name + "[" + kind + "] " + port + (client.isEmpty() ? "" : " from " + client);
    }
  }

  /**
   * What becomes of a request.
   *
   * @param match the rule it meets; empty when it meets none
   * @param status what the proxy answers by itself; 0 when a backend answers
   * @param shares where it goes, largest first; those without a backend are answered 500
   */
  public record Decision(Optional<RouteMatch> match, int status, List<Share> shares) {
    /** Copies the list. */
    public Decision {
      shares = List.copyOf(shares);
    }
  }

  /**
   * What becomes of a connection whose content is not looked at.
   *
   * @param route {@code namespace/name}; empty when it meets none, and is closed
   * @param rule of the plan that stands for the route; -1 when it meets none
   * @param kernel whether the kernel's slots decide, else the proxy
   * @param shares where it goes, largest first; those without a backend are refused
   */
  public record Connection(String route, int rule, boolean kernel, List<Share> shares) {
    /** Copies the list. */
    public Connection {
      shares = List.copyOf(shares);
    }

    /** Whether somebody gets some of them. */
    boolean served() {
      return shares.stream().anyMatch(Share::served);
    }

    /** {@code by connection namespace/name:port 90%, refused 10%}. */
    @Override
    public String toString() {
      return served()
          ? "by connection " + String.join(", ", shares.stream().map(Share::toString).toList())
          : "refused";
    }
  }

  /**
   * A part of the requests or connections.
   *
   * @param cluster index of the destination in the plan; -1 for an invalid reference, and where the
   *     kernel decides
   * @param service {@code namespace/name}; empty for an invalid reference
   * @param port of the service
   * @param fraction from 0 to 1
   * @param connections whether connections are split: without a backend they are refused, where a
   *     request is answered 500
   */
  public record Share(int cluster, String service, int port, double fraction, boolean connections) {
    /** Whether the reference is valid. */
    public boolean served() {
      return !service.isEmpty();
    }

    /** {@code namespace/name:port}. */
    String target() {
      return service + ":" + port;
    }

    /** {@code namespace/name:port 90%}. */
    @Override
    public String toString() {
      return (served() ? target() : connections ? "refused" : "status 500")
          + " "
          + percent(fraction);
    }

    private Share plus(Share other) {
      return new Share(cluster, service, port, fraction + other.fraction, connections);
    }

    /** A fraction as people write it, with at most three digits after the point. */
    public static String percent(double fraction) {
      double rounded = Math.round(fraction * 100_000) / 1000.0;
      return (rounded == Math.rint(rounded)
              ? String.valueOf((long) rounded)
              : String.valueOf(rounded))
          + "%";
    }
  }

  /** The routes of a plan, and those that the kernel honours by its slots. */
  public Routing(Plan plan, Steering steering) {
    this.plan = plan;
    Map<Entrance, Listeners.Builder<Door>> builders = new HashMap<>();
    Set<String> seen = new HashSet<>();
    for (Listener listener : plan.proxy().listeners()) {
      String id = id(listener);
      listener
          .address()
          .ifPresent(a -> bound.computeIfAbsent(id, k -> new TreeSet<>()).add(a.toString()));
      // Bound to several addresses, it is there several times and the same each time.
      if (seen.add(id)) {
        Entrance entrance = Entrance.gateway(listener.gateway(), listener.port());
        builders
            .computeIfAbsent(entrance, e -> new Listeners.Builder<>())
            .add(listener.hostname(), new Door(listener, RouteTable.compile(listener.routes())));
        routes.computeIfAbsent(entrance, e -> new ArrayList<>()).addAll(listener.routes());
      }
    }
    builders.forEach((entrance, builder) -> doors.put(entrance, builder.build()));
    for (VirtualService service : plan.proxy().virtualServices()) {
      Entrance entrance = Entrance.service(name(service.workload()), service.port());
      routes.computeIfAbsent(entrance, e -> new ArrayList<>()).addAll(service.routes());
      l4Routes.put(entrance, service.l4Routes());
      for (ProxyPlan.ConsumerRoutes consumer : service.consumers()) {
        Entrance own =
            new Entrance("Service", entrance.name(), entrance.port(), consumer.namespace());
        routes.put(own, consumer.routes());
        l4Routes.put(own, consumer.l4Routes());
      }
    }
    for (KernelSplit split : steering.kernelSplits()) {
      Entrance entrance =
          Entrance.service(
              steering.services().get(split.service()).meta().qualifiedName(), split.port());
      routes.putIfAbsent(entrance, List.of());
      splits.put(entrance, connection(split, steering));
    }
  }

  private static String id(Listener listener) {
    return listener.gateway() + "/" + listener.name();
  }

  private static Connection connection(KernelSplit split, Steering steering) {
    Map<String, Share> shares = new LinkedHashMap<>();
    for (SplitPart part : split.parts()) {
      if (part.weight() > 0) {
        boolean valid = part.service() != Steering.OUTSIDE;
        String service =
            valid ? steering.services().get(part.service()).meta().qualifiedName() : "";
        Share share =
            new Share(-1, service, part.port(), (double) part.weight() / split.total(), true);
        shares.merge(share.target(), share, Share::plus);
      }
    }
    return new Connection(
        split.route().substring(split.route().indexOf(' ') + 1),
        split.rule(),
        true,
        largestFirst(List.copyOf(shares.values())));
  }

  private static List<Share> largestFirst(List<Share> shares) {
    return shares.stream().sorted(Comparator.comparingDouble(Share::fraction).reversed()).toList();
  }

  private String name(int workload) {
    Workload found = plan.workloads().get(workload);
    return found.namespace() + "/" + found.name();
  }

  /** Whether a listener has the request, so that the Gateway's own policies are asked. */
  boolean serves(Entrance entrance, RequestView request) {
    return open(entrance, request.host());
  }

  /** The listeners that are meant by a Gateway's name, qualified or not, and a port. */
  List<Entrance> gateways(String name, int port) {
    return doors.keySet().stream()
        .filter(e -> e.port() == port)
        .filter(e -> e.name().equals(name) || e.name().endsWith("/" + name))
        .sorted()
        .toList();
  }

  /** Whether clients make a TLS handshake there. */
  boolean secure(Entrance entrance) {
    return plan.proxy().listeners().stream()
        .anyMatch(
            l ->
                l.gateway().equals(entrance.name())
                    && l.port() == entrance.port()
                    && l.tls().isPresent());
  }

  /** Where requests can come in. */
  public List<Entrance> entrances() {
    return List.copyOf(routes.keySet());
  }

  /** All routes of an entrance, in order of precedence; none when there is no such entrance. */
  public List<Route> routes(Entrance entrance) {
    return routes.getOrDefault(entrance, List.of());
  }

  /** Whether requests come in there. */
  public boolean has(Entrance entrance) {
    return routes.containsKey(entrance);
  }

  /** The entrance of a client: that of its namespace where it has routes of its own. */
  public Entrance of(Entrance entrance, String clientNamespace) {
    Entrance own = new Entrance(entrance.kind(), entrance.name(), entrance.port(), clientNamespace);
    return routes.containsKey(own) ? own : entrance;
  }

  /** Whether it is a port of a Service that leads to its own workloads, and needs no proxy. */
  boolean plainService(Entrance entrance) {
    return entrance.kind().equals("Service")
        && plan.services().stream()
            .anyMatch(
                s -> s.port() == entrance.port() && name(s.workload()).equals(entrance.name()));
  }

  /** Names that the listeners of a port and routes of connections there serve; empty for all. */
  Set<String> hostnames(Entrance entrance) {
    Set<String> hostnames = new LinkedHashSet<>();
    Listeners<Door> port = doors.get(entrance);
    if (port != null) {
      for (Door door : port.all()) {
        hostnames.add(door.listener().hostname());
        door.listener().l4Routes().forEach(r -> hostnames.addAll(r.hostnames()));
      }
    }
    l4Routes.getOrDefault(entrance, List.of()).forEach(r -> hostnames.addAll(r.hostnames()));
    return hostnames;
  }

  /** Whether a listener is there for a host; always so at a Service. */
  boolean open(Entrance entrance, String host) {
    Listeners<Door> port = doors.get(entrance);
    return port == null || port.of(host).isPresent();
  }

  /**
   * What becomes of a connection where nobody looks at requests; empty where the proxy does, or
   * nobody is.
   *
   * @param serverName as the client sends it (SNI), in lower case; empty when it sends none
   */
  public Optional<Connection> connection(Entrance entrance, String serverName) {
    Connection split = splits.get(entrance);
    if (split != null) {
      return Optional.of(split);
    }
    Listeners<Door> port = doors.get(entrance);
    if (port != null) {
      return port.of(serverName)
          .map(Door::listener)
          .filter(l -> !l.protocol().requests())
          .map(l -> connection(l.l4Routes(), serverName));
    }
    List<L4Route> here = l4Routes.getOrDefault(entrance, List.of());
    return here.isEmpty() ? Optional.empty() : Optional.of(connection(here, serverName));
  }

  private Connection connection(List<L4Route> candidates, String serverName) {
    return L4Table.find(candidates, serverName)
        .map(r -> new Connection(r.name(), r.rule(), false, shares(r.backends(), true)))
        .orElse(new Connection("", -1, false, List.of()));
  }

  /** What a client meets at the entrance itself, so that two plans can be compared. */
  List<String> entry(Entrance entrance, String host) {
    List<String> entry = new ArrayList<>();
    Listeners<Door> port = doors.get(entrance);
    if (port != null) {
      port.of(host)
          .map(Door::listener)
          .ifPresent(
              listener -> {
                String certificates =
                    listener
                        .tls()
                        .map(t -> t.certificates().isEmpty() ? "none" : t.certificates())
                        .map(Object::toString)
                        .orElse("");
                entry.add(
                    switch (listener.protocol()) {
                      case HTTP -> "listens for HTTP";
                      case HTTPS -> "listens for HTTPS with certificates " + certificates;
                      case TLS_PASSTHROUGH -> "listens for TLS that ends at the backend";
                      case TLS_TERMINATE ->
                          "listens for TLS that ends here with certificates " + certificates;
                      case TCP -> "listens for TCP";
                    });
                listener
                    .tls()
                    .flatMap(ProxyPlan.Tls::clients)
                    .ifPresent(
                        clients ->
                            entry.add(
                                (clients.required() ? "demands" : "asks for")
                                    + " clients' certificates by "
                                    + (clients.authorities().isEmpty()
                                        ? "nobody"
                                        : String.join(
                                            " and ",
                                            clients.authorities().stream()
                                                .map(Routing::digest)
                                                .toList()))));
                entry.add(
                    "bound to "
                        + (bound.containsKey(id(listener))
                            ? String.join(" and ", bound.getOrDefault(id(listener), Set.of()))
                            : "every address"));
              });
    }
    return entry;
  }

  /** What else happens to requests and responses, so that two plans can be compared. */
  List<String> effects(Decision decision) {
    List<String> effects = new ArrayList<>();
    decision
        .match()
        .ifPresent(
            match -> {
              RouteRule rule = match.rule();
              if (match.route().kind() == RouteKind.GRPC) {
                effects.add("as calls of gRPC");
              }
              effects.addAll(effects(rule.filters()));
              if (decision.status() == 0) {
                for (WeightedBackend backend : rule.backends()) {
                  if (backend.weight() > 0 && backend.cluster() >= 0) {
                    String name = plan.proxy().clusters().get(backend.cluster()).name();
                    effects(backend.filters()).forEach(e -> effects.add("for " + name + " " + e));
                  }
                }
              }
              if (rule.requestTimeoutMillis() > 0) {
                effects.add("timeout " + rule.requestTimeoutMillis() + " ms");
              }
              if (rule.backendTimeoutMillis() > 0) {
                effects.add("backend timeout " + rule.backendTimeoutMillis() + " ms");
              }
              rule.retry()
                  .ifPresent(
                      r ->
                          effects.add(
                              "retry "
                                  + r.attempts()
                                  + " times on "
                                  + r.codes()
                                  + (r.backoffMillis() > 0
                                      ? " after " + r.backoffMillis() + " ms"
                                      : "")));
              rule.session().ifPresent(s -> effects.add(session(s)));
            });
    return effects;
  }

  private static String session(SessionPersistence session) {
    return "session by "
        + session.type().name().toLowerCase(Locale.ROOT)
        + (session.name().isEmpty() ? "" : " " + session.name())
        + (session.absoluteTimeoutMillis() > 0
            ? " for " + session.absoluteTimeoutMillis() + " ms"
            : "")
        + (session.idleTimeoutMillis() > 0
            ? " idle for " + session.idleTimeoutMillis() + " ms"
            : "")
        + (session.permanent() ? " permanent" : "");
  }

  /** Edits of headers are made one after the other, whichever filter says them. */
  private List<String> effects(List<Filter> filters) {
    List<String> effects = new ArrayList<>();
    RouteAction action = RouteAction.of(new RouteRule(List.of(), filters, List.of(), 0, 0));
    action.redirect().ifPresent(r -> effects.add(redirect(r)));
    action.rewrite().ifPresent(r -> effects.add(rewrite(r)));
    if (!action.request().isEmpty()) {
      effects.add("request headers " + action.request());
    }
    if (!action.response().isEmpty()) {
      effects.add("response headers " + action.response());
    }
    for (Filter.Mirror mirror : action.mirrors()) {
      String target =
          mirror.cluster() < 0 ? "nobody" : plan.proxy().clusters().get(mirror.cluster()).name();
      effects.add(
          "mirror to "
              + target
              + " "
              + Share.percent((double) mirror.numerator() / mirror.denominator()));
    }
    for (Filter filter : filters) {
      if (filter instanceof Filter.Cors cors) {
        effects.add(
            "CORS origins "
                + cors.allowOrigins()
                + " methods "
                + cors.allowMethods()
                + " headers "
                + cors.allowHeaders()
                + " exposes "
                + cors.exposeHeaders()
                + (cors.allowCredentials() ? " with credentials" : "")
                + " for "
                + cors.maxAgeSeconds()
                + " s");
      }
    }
    return effects;
  }

  private static String redirect(Filter.Redirect redirect) {
    return "redirect"
        + redirect.scheme().map(s -> " scheme " + s).orElse("")
        + redirect.hostname().map(h -> " host " + h).orElse("")
        + redirect.port().map(p -> " port " + p).orElse("")
        + redirect.path().map(Routing::path).orElse("");
  }

  private static String rewrite(Filter.Rewrite rewrite) {
    return "rewrite"
        + rewrite.hostname().map(h -> " host " + h).orElse("")
        + rewrite.path().map(Routing::path).orElse("");
  }

  private static String path(PathEdit edit) {
    return switch (edit) {
      case PathEdit.Full(String path) -> " path " + path;
      case PathEdit.Prefix(String path) -> " prefix " + path;
    };
  }

  /** How backends are dialled, so that two plans can be compared. */
  List<String> dialled(List<Share> shares) {
    List<String> dialled = new ArrayList<>();
    for (Share share : shares) {
      if (share.cluster() >= 0) {
        Cluster cluster = plan.proxy().clusters().get(share.cluster());
        if (!cluster.appProtocol().isEmpty()) {
          dialled.add(share.target() + " speaks " + cluster.appProtocol());
        }
        cluster.tls().ifPresent(tls -> dialled.add(share.target() + " is dialled by " + text(tls)));
      }
    }
    return dialled;
  }

  private static String text(BackendTls tls) {
    List<String> trust = new ArrayList<>();
    if (tls.systemTrust()) {
      trust.add("the system's authorities");
    }
    tls.authorities().forEach(pem -> trust.add("authority " + digest(pem)));
    return "TLS as "
        + tls.hostname()
        + (tls.subjectAltNames().isEmpty()
            ? ""
            : " for "
                + String.join(
                    " or ", tls.subjectAltNames().stream().map(SubjectAltName::value).toList()))
        + " trusting "
        + (trust.isEmpty() ? "nobody" : String.join(" and ", trust));
  }

  /** Enough of a certificate's SHA-256 to tell two apart. */
  private static String digest(String pem) {
    try {
      byte[] hash =
          MessageDigest.getInstance("SHA-256").digest(pem.getBytes(StandardCharsets.UTF_8));
      return HexFormat.of().formatHex(hash, 0, 6);
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("every Java has SHA-256", e);
    }
  }

  /** Services that get a copy of some requests, as {@code namespace/name:port}. */
  Set<String> mirrored(Decision decision) {
    Set<String> mirrored = new TreeSet<>();
    if (decision.status() == 0) {
      for (Filter filter : decision.match().map(m -> m.rule().filters()).orElse(List.of())) {
        if (filter instanceof Filter.Mirror mirror
            && mirror.cluster() >= 0
            && mirror.numerator() > 0) {
          mirrored.add(plan.proxy().clusters().get(mirror.cluster()).name());
        }
      }
    }
    return mirrored;
  }

  /** What becomes of a request that comes in there, where the proxy looks at requests. */
  public Decision ask(Entrance entrance, RequestView request) {
    Listeners<Door> port = doors.get(entrance);
    Optional<RouteTable> table =
        port != null
            ? port.of(request.host()).map(Door::table)
            : Optional.of(
                tables.computeIfAbsent(
                    entrance, e -> RouteTable.compile(routes.getOrDefault(e, List.of()))));
    Optional<RouteMatch> match = table.flatMap(t -> t.match(request));
    if (match.isEmpty()) {
      return new Decision(match, 404, List.of());
    }
    for (Filter filter : match.get().rule().filters()) {
      if (filter instanceof Filter.Redirect redirect) {
        return new Decision(match, redirect.status(), List.of());
      }
    }
    List<Share> shares = shares(match.get().rule().backends(), false);
    boolean served = shares.stream().anyMatch(Share::served);
    return new Decision(match, served ? 0 : 500, served ? shares : List.of());
  }

  private List<Share> shares(List<WeightedBackend> backends, boolean connections) {
    long total = backends.stream().mapToLong(WeightedBackend::weight).sum();
    Map<Integer, Long> byCluster = new LinkedHashMap<>();
    for (WeightedBackend backend : backends) {
      if (backend.weight() > 0) {
        byCluster.merge(backend.cluster(), (long) backend.weight(), Long::sum);
      }
    }
    List<Share> shares = new ArrayList<>();
    byCluster.forEach(
        (index, weight) -> {
          double fraction = (double) weight / total;
          if (index < 0) {
            shares.add(new Share(-1, "", 0, fraction, connections));
          } else {
            Cluster cluster = plan.proxy().clusters().get(index);
            shares.add(
                new Share(index, name(cluster.workload()), cluster.port(), fraction, connections));
          }
        });
    return largestFirst(shares);
  }
}
