// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.answer;

import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.ProxyPlan;
import dev.weir.policy.plan.ProxyPlan.Cluster;
import dev.weir.policy.plan.ProxyPlan.Filter;
import dev.weir.policy.plan.ProxyPlan.Listener;
import dev.weir.policy.plan.ProxyPlan.Route;
import dev.weir.policy.plan.ProxyPlan.VirtualService;
import dev.weir.policy.plan.ProxyPlan.WeightedBackend;
import dev.weir.policy.plan.Workload;
import dev.weir.policy.route.Listeners;
import dev.weir.policy.route.RequestView;
import dev.weir.policy.route.RouteMatch;
import dev.weir.policy.route.RouteTable;
import dev.weir.policy.steer.Steering;
import dev.weir.policy.steer.Steering.KernelSplit;
import dev.weir.policy.steer.Steering.SplitPart;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;

/** Where requests lead: the routes of a plan, asked as the proxy asks them. */
public final class Routing {

  private final Plan plan;
  private final Map<Entrance, String> connections = new HashMap<>();
  private final Map<Entrance, Set<String>> connectionServices = new HashMap<>();
  private final Map<Entrance, List<Route>> routes = new TreeMap<>();
  private final Map<Entrance, RouteTable> tables = new HashMap<>();

  /** Of the listeners of a port, one has a request, and only its routes are asked. */
  private final Map<Entrance, Listeners.Builder<RouteTable>> listeners = new HashMap<>();

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
   * A part of the requests.
   *
   * @param cluster index of the destination in the plan; -1 for an invalid reference
   * @param service {@code namespace/name}; empty for an invalid reference
   * @param port of the service
   * @param fraction of requests, from 0 to 1
   */
  public record Share(int cluster, String service, int port, double fraction) {
    /** {@code namespace/name:port 90%}. */
    @Override
    public String toString() {
      return (cluster < 0 ? "status 500" : service + ":" + port) + " " + percent(fraction);
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

  /** The routes of a plan. */
  public Routing(Plan plan) {
    this.plan = plan;
    for (Listener listener : plan.proxy().listeners()) {
      listeners
          .computeIfAbsent(
              Entrance.gateway(listener.gateway(), listener.port()), e -> new Listeners.Builder<>())
          .add(listener.hostname(), RouteTable.compile(listener.routes()));
      routes
          .computeIfAbsent(
              Entrance.gateway(listener.gateway(), listener.port()), e -> new ArrayList<>())
          .addAll(listener.routes());
    }
    for (VirtualService service : plan.proxy().virtualServices()) {
      Entrance entrance = Entrance.service(name(service.workload()), service.port());
      routes.computeIfAbsent(entrance, e -> new ArrayList<>()).addAll(service.routes());
      for (ProxyPlan.ConsumerRoutes consumer : service.consumers()) {
        routes.put(
            new Entrance("Service", entrance.name(), entrance.port(), consumer.namespace()),
            consumer.routes());
      }
    }
  }

  /** The routes of a plan, and those that the kernel honours by its slots. */
  Routing(Plan plan, Steering steering) {
    this(plan);
    for (KernelSplit split : steering.kernelSplits()) {
      Entrance entrance =
          Entrance.service(
              steering.services().get(split.service()).meta().qualifiedName(), split.port());
      routes.putIfAbsent(entrance, List.of());
      Map<String, Long> weights = new LinkedHashMap<>();
      for (SplitPart part : split.parts()) {
        if (part.weight() > 0) {
          String service =
              part.service() == Steering.OUTSIDE
                  ? ""
                  : steering.services().get(part.service()).meta().qualifiedName()
                      + ":"
                      + part.port();
          weights.merge(service, (long) part.weight(), Long::sum);
        }
      }
      List<String> shares = new ArrayList<>();
      weights.entrySet().stream()
          .sorted(Map.Entry.<String, Long>comparingByValue().reversed())
          .forEach(
              e ->
                  shares.add(
                      (e.getKey().isEmpty() ? "refused" : e.getKey())
                          + " "
                          + Share.percent((double) e.getValue() / split.total())));
      connections.put(
          entrance, shares.isEmpty() ? "refused" : "by connection " + String.join(", ", shares));
      Set<String> services = new TreeSet<>(weights.keySet());
      services.remove("");
      connectionServices.put(entrance, Collections.unmodifiableSet(services));
    }
  }

  /** Shares of connections as the kernel makes them; empty where it looks at no route. */
  Optional<String> connections(Entrance entrance) {
    return Optional.ofNullable(connections.get(entrance));
  }

  /** Services that get connections from the kernel by a route, as {@code namespace/name:port}. */
  Set<String> connectionServices(Entrance entrance) {
    return connectionServices.getOrDefault(entrance, Set.of());
  }

  private String name(int workload) {
    Workload found = plan.workloads().get(workload);
    return found.namespace() + "/" + found.name();
  }

  /** Whether a listener has the request, so that the Gateway's own policies are asked. */
  boolean serves(Entrance entrance, RequestView request) {
    Listeners.Builder<RouteTable> port = listeners.get(entrance);
    return port == null || port.build().of(request.host()).isPresent();
  }

  /** The listeners that are meant by a Gateway's name, qualified or not, and a port. */
  List<Entrance> gateways(String name, int port) {
    return listeners.keySet().stream()
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

  /** What else happens to requests and responses, so that two plans can be compared. */
  List<String> effects(Decision decision) {
    List<String> effects = new ArrayList<>();
    decision
        .match()
        .ifPresent(
            match -> {
              match.rule().filters().forEach(f -> effects.add(effect(f)));
              match
                  .rule()
                  .backends()
                  .forEach(b -> b.filters().forEach(f -> effects.add(effect(f))));
              if (match.rule().requestTimeoutMillis() > 0) {
                effects.add("timeout " + match.rule().requestTimeoutMillis() + " ms");
              }
              if (match.rule().backendTimeoutMillis() > 0) {
                effects.add("backend timeout " + match.rule().backendTimeoutMillis() + " ms");
              }
              match.rule().retry().ifPresent(r -> effects.add(r.toString()));
              match.rule().session().ifPresent(s -> effects.add(s.toString()));
            });
    return effects;
  }

  private String effect(Filter filter) {
    if (filter instanceof Filter.Mirror mirror) {
      String target =
          mirror.cluster() < 0 ? "nobody" : plan.proxy().clusters().get(mirror.cluster()).name();
      return "mirror " + mirror.numerator() + "/" + mirror.denominator() + " to " + target;
    }
    return filter.toString();
  }

  /** What becomes of a request that comes in there. */
  public Decision ask(Entrance entrance, RequestView request) {
    Listeners.Builder<RouteTable> port = listeners.get(entrance);
    Optional<RouteTable> table =
        port != null
            ? port.build().of(request.host())
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
    List<Share> shares = shares(match.get().rule().backends());
    boolean served = shares.stream().anyMatch(s -> s.cluster() >= 0);
    return new Decision(match, served ? 0 : 500, served ? shares : List.of());
  }

  private List<Share> shares(List<WeightedBackend> backends) {
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
            shares.add(new Share(-1, "", 0, fraction));
          } else {
            Cluster cluster = plan.proxy().clusters().get(index);
            shares.add(new Share(index, name(cluster.workload()), cluster.port(), fraction));
          }
        });
    shares.sort((a, b) -> Double.compare(b.fraction(), a.fraction()));
    return shares;
  }
}
