// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.answer;

import dev.weir.policy.Analysis;
import dev.weir.policy.Compilation.Compiled;
import dev.weir.policy.answer.Explainer.UnclearException;
import dev.weir.policy.cluster.Cluster;
import dev.weir.policy.model.EndpointSlice;
import dev.weir.policy.model.HttpRoute;
import dev.weir.policy.model.Service;
import dev.weir.policy.model.Workload;
import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.ProxyPlan.L4Route;
import dev.weir.policy.plan.ProxyPlan.Listener;
import dev.weir.policy.plan.ProxyPlan.ListenerProtocol;
import dev.weir.policy.plan.ProxyPlan.RouteKind;
import dev.weir.policy.plan.ProxyPlan.RouteRule;
import dev.weir.policy.plan.ProxyPlan.SessionPersistence;
import dev.weir.policy.plan.ProxyPlan.VirtualService;
import dev.weir.policy.plan.ProxyPlan.WeightedBackend;
import dev.weir.policy.plan.Rule;
import dev.weir.policy.plan.TrafficPolicy;
import dev.weir.policy.plan.TrafficSettings;
import dev.weir.policy.route.Cors;
import dev.weir.policy.route.L4Table;
import dev.weir.policy.route.Listeners;
import dev.weir.policy.route.LocalReply;
import dev.weir.policy.route.Location;
import dev.weir.policy.route.RequestTarget;
import dev.weir.policy.route.Rewrites;
import dev.weir.policy.route.RouteAction;
import dev.weir.policy.route.RouteMatch;
import dev.weir.policy.route.RouteTable;
import dev.weir.policy.route.SessionRule;
import dev.weir.policy.route.StickySplit;
import dev.weir.policy.steer.Steering;
import dev.weir.policy.steer.Steering.KernelSplit;
import dev.weir.policy.steer.Steering.SplitPart;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;

/**
 * Where requests lead and what becomes of them on the way: the proxy's own route tables and
 * filters, asked without a network. That a backend answers, and in time, is taken for granted.
 */
public final class RequestRouter {

  private final Plan plan;
  private final Cluster cluster;
  private final TrafficSettings traffic;
  private final List<Service> services;
  private final List<Steering.RouteCluster> clusters;
  private final List<KernelSplit> splits;
  private final Map<String, Rule> routeRules = new HashMap<>();
  private final Map<String, Service> servicesByName = new HashMap<>();
  private final Map<String, List<Listener>> gateways = new HashMap<>();
  private final Map<String, VirtualService> virtualServices = new HashMap<>();
  private final Map<String, Listeners<Listener>> ports = new HashMap<>();
  private final IdentityHashMap<Listener, RouteTable> listenerTables = new IdentityHashMap<>();
  private final Map<String, RouteTable> serviceTables = new HashMap<>();
  private final IdentityHashMap<RouteRule, RouteAction> actions = new IdentityHashMap<>();
  private final Map<String, HttpRoute> routes = new HashMap<>();

  /** Asks what was compiled. */
  public RequestRouter(Analysis analysis, Compiled compiled) {
    this.plan = compiled.plan();
    this.traffic = new TrafficSettings(plan);
    this.cluster = analysis.cluster();
    this.services = analysis.steering().services();
    this.clusters = analysis.steering().clusters();
    this.splits = analysis.steering().kernelSplits();
    services.forEach(s -> servicesByName.put(s.meta().qualifiedName(), s));
    for (Rule rule : plan.rules()) {
      if (rule.kind().equals("Gateway")) {
        routeRules.put(rule.namespace() + "/" + rule.name() + " " + rule.clause(), rule);
      }
    }
    cluster
        .all(HttpRoute.class)
        .forEach(r -> routes.put(r.kind() + " " + r.meta().qualifiedName(), r));
    Set<String> seen = new HashSet<>();
    for (Listener listener : plan.proxy().listeners()) {
      // Bound to several addresses, it is there several times and the same each time.
      if (seen.add(listener.gateway() + "/" + listener.name())) {
        gateways.computeIfAbsent(listener.gateway(), g -> new ArrayList<>()).add(listener);
      }
    }
    for (VirtualService service : plan.proxy().virtualServices()) {
      var workload = plan.workloads().get(service.workload());
      virtualServices.put(
          workload.namespace() + "/" + workload.name() + ":" + service.port(), service);
    }
  }

  // ---- through a Gateway

  /**
   * What becomes of a request to a Gateway.
   *
   * @param name {@code namespace/name}, or a bare name that is unique
   * @param port that is called; of {@code listener}, or the scheme's, when it is absent
   * @param listener whose port is called
   * @param scheme {@code http} or {@code https}; empty for what the listeners of the port speak
   * @throws UnclearException when there is no such listener
   */
  public Routed throughGateway(
      String name, OptionalInt port, Optional<String> listener, String scheme, Ask ask)
      throws UnclearException {
    List<Listener> listeners = gateway(name);
    String gateway = listeners.getFirst().gateway();
    int called = port(listeners, port, listener, scheme);
    List<Listener> here = listeners.stream().filter(l -> l.port() == called).toList();
    boolean tls =
        here.getFirst().protocol() != ListenerProtocol.HTTP
            && here.getFirst().protocol() != ListenerProtocol.TCP;
    if (!scheme.isEmpty()
        && here.getFirst().protocol() != ListenerProtocol.TCP
        && tls != scheme.equals("https")) {
      throw new UnclearException(
          "port "
              + called
              + " of Gateway "
              + gateway
              + " speaks "
              + (tls ? "https" : "http")
              + ", not "
              + scheme);
    }
    Listeners<Listener> byHost =
        ports.computeIfAbsent(
            gateway + ":" + called,
            k -> {
              Listeners.Builder<Listener> builder = new Listeners.Builder<>();
              here.forEach(l -> builder.add(l.hostname(), l));
              return builder.build();
            });
    Optional<Request> parsed = request(ask);
    String host = parsed.map(Request::host).orElse("");
    String serverName = serverName(ask.serverName().orElse(withoutPort(ask.authority())));
    Optional<Listener> door =
        byHost.of(
            here.getFirst().protocol() == ListenerProtocol.HTTP ? host : tls ? serverName : "");
    if (door.isPresent() && !door.get().protocol().requests()) {
      Listener found = door.get();
      return l4(
          entrance(found, called), L4Table.find(found.l4Routes(), tls ? serverName : ""), ask);
    }
    if (tls && !serverName.isEmpty() && door.isEmpty()) {
      return ended(
          entrance(gateway, called, door),
          Optional.empty(),
          Routed.Connection.CLOSED,
          "no listener of Gateway "
              + gateway
              + " is for server name "
              + serverName
              + ": the handshake is refused",
          List.of());
    }
    if (parsed.isEmpty()) {
      return reply(entrance(gateway, called, door), LocalReply.MALFORMED, ask);
    }
    if (tls) {
      Optional<Listener> byAuthority = byHost.of(host);
      if (byAuthority.isEmpty()) {
        return reply(entrance(gateway, called, door), LocalReply.NO_ROUTE, ask);
      }
      if (!serverName.isEmpty() && !door.equals(byAuthority)) {
        return reply(entrance(gateway, called, door), LocalReply.MISDIRECTED, ask);
      }
      door = byAuthority;
    }
    if (door.isEmpty()) {
      return reply(entrance(gateway, called, door), LocalReply.NO_ROUTE, ask);
    }
    Listener found = door.get();
    RouteTable table = listenerTables.computeIfAbsent(found, l -> RouteTable.compile(l.routes()));
    return ask(entrance(found, called), table, parsed.get(), ask, tls ? "https" : "http", called);
  }

  private List<Listener> gateway(String name) throws UnclearException {
    List<Listener> exact = gateways.get(name);
    if (exact != null) {
      return exact;
    }
    List<String> bare =
        gateways.keySet().stream().filter(g -> g.endsWith("/" + name)).sorted().toList();
    if (bare.size() > 1) {
      throw new UnclearException(
          "\"" + name + "\" may be any of " + String.join(", ", bare) + ": write NAMESPACE/NAME");
    }
    if (bare.isEmpty()) {
      throw new UnclearException(
          "there is no Gateway "
              + name
              + " of class weir with a listener"
              + (gateways.isEmpty()
                  ? ""
                  : "; there are " + String.join(", ", new TreeSet<>(gateways.keySet()))));
    }
    return gateways.getOrDefault(bare.getFirst(), List.of());
  }

  private static int port(
      List<Listener> listeners, OptionalInt port, Optional<String> listener, String scheme)
      throws UnclearException {
    String gateway = listeners.getFirst().gateway();
    if (listener.isPresent()) {
      Listener named =
          listeners.stream()
              .filter(l -> l.name().equals(listener.get()))
              .findFirst()
              .orElseThrow(
                  () ->
                      new UnclearException(
                          "Gateway "
                              + gateway
                              + " has no listener "
                              + listener.get()
                              + "; it has "
                              + listeners.stream()
                                  .map(Listener::name)
                                  .collect(Collectors.joining(", "))));
      if (port.isPresent() && port.getAsInt() != named.port()) {
        throw new UnclearException(
            "listener "
                + named.name()
                + " of Gateway "
                + gateway
                + " has port "
                + named.port()
                + ", not "
                + port.getAsInt());
      }
      return named.port();
    }
    TreeSet<Integer> ports = new TreeSet<>();
    listeners.forEach(l -> ports.add(l.port()));
    if (port.isEmpty() && ports.size() == 1) {
      return ports.first();
    }
    int called = port.orElse(scheme.equals("https") ? 443 : 80);
    if (!ports.contains(called)) {
      throw new UnclearException(
          "no listener of Gateway "
              + gateway
              + " has port "
              + called
              + "; there are "
              + ports.stream().map(String::valueOf).collect(Collectors.joining(", ")));
    }
    return called;
  }

  private Routed.Entrance entrance(Listener listener, int port) {
    return new Routed.Entrance(
        "Gateway",
        listener.gateway(),
        listener.name(),
        port,
        Optional.ofNullable(
            routeRules.get(listener.gateway() + " listeners[" + listener.name() + "]")));
  }

  private Routed.Entrance entrance(String gateway, int port, Optional<Listener> listener) {
    return listener
        .map(l -> entrance(l, port))
        .orElseGet(
            () ->
                new Routed.Entrance(
                    "Gateway",
                    gateway,
                    "",
                    port,
                    Optional.ofNullable(routeRules.get(gateway + " "))));
  }

  // ---- from a client of the mesh

  /**
   * What becomes of a request of a workload.
   *
   * @param namespace of the workload
   * @param ask whose authority is {@code service}, {@code service.namespace} or longer, or an
   *     address
   * @throws UnclearException when nobody is called so
   */
  public Routed fromClient(String namespace, Ask ask) throws UnclearException {
    String name = withoutPort(ask.authority()).toLowerCase(Locale.ROOT);
    int port = portOf(ask.authority()).orElse(80);
    Optional<Address> address = Address.parse(name.replaceAll("[\\[\\]]", ""));
    if (address.isPresent()) {
      return atAddress(address.get(), port, namespace, ask);
    }
    String[] labels =
        (name.endsWith(".") ? name.substring(0, name.length() - 1) : name).split("\\.", -1);
    boolean known = !name.isEmpty() && (labels.length < 3 || labels[2].equals("svc"));
    String key =
        (labels.length == 1 ? namespace : labels.length > 1 ? labels[1] : "") + "/" + labels[0];
    Service service = known ? servicesByName.get(key) : null;
    if (service == null) {
      throw new UnclearException(
          "no Service is called \""
              + name
              + "\" from namespace "
              + namespace
              + ": SERVICE, SERVICE.NAMESPACE or SERVICE.NAMESPACE.svc.cluster.local");
    }
    return toService(service, port, namespace, ask);
  }

  private Routed atAddress(Address address, int port, String namespace, Ask ask)
      throws UnclearException {
    for (Service service : services) {
      if (service.addresses().stream().anyMatch(a -> a.value().equals(address))) {
        return toService(service, port, namespace, ask);
      }
    }
    for (Workload workload : cluster.workloads()) {
      if (workload.addresses().stream().anyMatch(a -> a.value().equals(address))) {
        return direct(workload, port, ask);
      }
    }
    throw new UnclearException(address + " is the address of no Service and no workload");
  }

  /**
   * What becomes of a request to a workload's own address: routes belong to Services and Gateways,
   * so none is met.
   */
  public Routed direct(Workload workload, int port, Ask ask) {
    Routed.Share share =
        new Routed.Share(
            workload.kind(),
            workload.meta().namespace(),
            workload.meta().name(),
            port,
            1,
            List.of(workload.peerName()),
            untouched(ask),
            ask.backendHeaders());
    return answered(
        new Routed.Entrance(
            workload.kind(), workload.meta().qualifiedName(), "", port, Optional.empty()),
        List.of(share),
        "called directly, by no Service and no Gateway: no route is met",
        ask);
  }

  private static Routed.BackendRequest untouched(Ask ask) {
    HeaderFields fields = new HeaderFields(ask.headers());
    String host = fields.take("host");
    return new Routed.BackendRequest(
        ask.method(), host.isEmpty() ? ask.authority() : host, ask.target(), fields.joined());
  }

  private static Routed answered(
      Routed.Entrance entrance, List<Routed.Share> shares, String why, Ask ask) {
    return new Routed(
        entrance,
        Optional.empty(),
        "",
        -1,
        Routed.Connection.MADE,
        200,
        ask.grpc() ? OptionalInt.of(0) : OptionalInt.empty(),
        Optional.empty(),
        why,
        shares,
        List.of(),
        Optional.empty(),
        Map.of(),
        List.of(),
        Optional.empty(),
        Optional.empty(),
        Optional.empty());
  }

  private Routed toService(Service service, int port, String namespace, Ask ask)
      throws UnclearException {
    String name = service.meta().qualifiedName();
    if (service.externalName()) {
      throw new UnclearException("Service " + name + " is only a name for something outside");
    }
    if (service.ports().stream().noneMatch(p -> p.port() == port && p.protocol() == Protocol.TCP)) {
      throw new UnclearException(
          "Service "
              + name
              + " has no TCP port "
              + port
              + "; it has "
              + service.ports().stream()
                  .map(p -> p.port() + "/" + p.protocol())
                  .collect(Collectors.joining(", ")));
    }
    Routed.Entrance entrance = new Routed.Entrance("Service", name, "", port, Optional.empty());
    VirtualService virtual = virtualServices.get(name + ":" + port);
    if (virtual == null) {
      return byKernel(service, entrance, ask);
    }
    List<L4Route> l4 = virtual.l4RoutesFor(namespace);
    if (!l4.isEmpty()) {
      String serverName = serverName(ask.serverName().orElse(withoutPort(ask.host())));
      return l4(entrance, L4Table.find(l4, serverName), ask);
    }
    Optional<Request> parsed = request(ask);
    if (parsed.isEmpty()) {
      return reply(entrance, LocalReply.MALFORMED, ask);
    }
    String client =
        virtual.consumers().stream().anyMatch(c -> c.namespace().equals(namespace))
            ? namespace
            : "";
    RouteTable table =
        serviceTables.computeIfAbsent(
            name + ":" + port + " " + client, k -> RouteTable.compile(virtual.routesFor(client)));
    return ask(entrance, table, parsed.get(), ask, "http", port);
  }

  /** Without requests being looked at: what connect() does. */
  private Routed byKernel(Service service, Routed.Entrance entrance, Ask ask)
      throws UnclearException {
    Optional<KernelSplit> split =
        splits.stream()
            .filter(k -> k.port() == entrance.port() && services.get(k.service()).equals(service))
            .findFirst();
    if (split.isPresent()) {
      return split(split.get(), entrance, ask);
    }
    List<String> behind = behind(service);
    if (behind.isEmpty() && !filledElsewhere(service)) {
      return ended(
          entrance,
          Optional.empty(),
          Routed.Connection.REFUSED,
          "nobody is behind Service " + entrance.name() + ": connect() is refused",
          List.of());
    }
    Routed.Share share =
        new Routed.Share(
            "Service",
            service.meta().namespace(),
            service.meta().name(),
            entrance.port(),
            1,
            behind,
            untouched(ask),
            ask.backendHeaders());
    return answered(
        entrance, List.of(share), "no route: the kernel picks a backend at connect", ask);
  }

  /** As the weights of a route say, whatever is asked over the connection. */
  private Routed split(KernelSplit split, Routed.Entrance entrance, Ask ask)
      throws UnclearException {
    Map<String, Routed.Share> shares = new LinkedHashMap<>();
    List<Routed.Failing> failing = new ArrayList<>();
    for (SplitPart part : split.parts()) {
      if (part.weight() == 0) {
        continue;
      }
      double fraction = (double) part.weight() / split.total();
      if (part.service() == Steering.OUTSIDE) {
        failing.add(
            new Routed.Failing(
                Routed.Connection.REFUSED, LocalReply.NO_VALID_BACKEND, "", fraction));
        continue;
      }
      Service to = services.get(part.service());
      if (part.workloads().isEmpty() && behind(to).isEmpty() && !filledElsewhere(to)) {
        failing.add(
            new Routed.Failing(
                Routed.Connection.REFUSED,
                LocalReply.NO_ENDPOINT,
                to.meta().qualifiedName() + ":" + part.port(),
                fraction));
        continue;
      }
      String key = to.meta().qualifiedName() + ":" + part.port();
      Routed.Share known = shares.get(key);
      shares.put(
          key,
          new Routed.Share(
              "Service",
              to.meta().namespace(),
              to.meta().name(),
              part.port(),
              fraction + (known == null ? 0 : known.fraction()),
              part.workloads().stream()
                  .map(w -> cluster.workloads().get(w).peerName())
                  .distinct()
                  .sorted()
                  .toList(),
              untouched(ask),
              ask.backendHeaders()));
    }
    if (shares.isEmpty()) {
      return ended(
          entrance,
          Optional.of(plan.rules().get(split.rule())),
          Routed.Connection.REFUSED,
          split.route() + " leads " + entrance.name() + " to nobody: connect() is refused",
          failing);
    }
    List<Routed.Share> sorted = new ArrayList<>(shares.values());
    sorted.sort((a, b) -> Double.compare(b.fraction(), a.fraction()));
    return new Routed(
        entrance,
        Optional.of(plan.rules().get(split.rule())),
        "",
        -1,
        Routed.Connection.MADE,
        200,
        ask.grpc() ? OptionalInt.of(0) : OptionalInt.empty(),
        Optional.empty(),
        split.route()
            + " splits by connection: its weights are the kernel's slots"
            + refused(failing),
        sorted,
        failing,
        Optional.empty(),
        Map.of(),
        List.of(),
        Optional.empty(),
        Optional.empty(),
        Optional.empty());
  }

  private static String refused(List<Routed.Failing> failing) {
    double refused = failing.stream().mapToDouble(Routed.Failing::fraction).sum();
    return refused > 0 ? "; " + Routing.Share.percent(refused) + " of connections are refused" : "";
  }

  /** Nobody gets the connection, so that nothing can be asked over it. */
  private static Routed ended(
      Routed.Entrance entrance,
      Optional<Rule> meets,
      Routed.Connection how,
      String why,
      List<Routed.Failing> failing) {
    return new Routed(
        entrance,
        meets,
        "",
        -1,
        how,
        0,
        OptionalInt.empty(),
        Optional.empty(),
        why,
        List.of(),
        failing,
        Optional.empty(),
        Map.of(),
        List.of(),
        Optional.empty(),
        Optional.empty(),
        Optional.empty());
  }

  private List<String> behind(Service service) {
    TreeSet<String> names = new TreeSet<>();
    if (!service.selector().isEmpty()) {
      for (int w : cluster.select(service.meta().namespace(), service.selector())) {
        names.add(cluster.workloads().get(w).peerName());
      }
    }
    for (EndpointSlice slice : slices(service)) {
      for (EndpointSlice.Subset subset : slice.subsets()) {
        subset.endpoints().forEach(e -> names.add(e.addresses().getFirst().value().toString()));
      }
    }
    return List.copyOf(names);
  }

  private List<EndpointSlice> slices(Service service) {
    return cluster.all(EndpointSlice.class).stream()
        .filter(s -> s.service().equals(service.meta().name()))
        .filter(s -> s.meta().namespace().equals(service.meta().namespace()))
        .toList();
  }

  /**
   * Its endpoints are not in the files: it has no selector, or there are slices, which somebody
   * fills at run time.
   */
  private boolean filledElsewhere(Service service) {
    List<EndpointSlice> slices = slices(service);
    return slices.isEmpty()
        ? service.selector().isEmpty() && !service.externalName()
        : slices.stream()
            .allMatch(s -> s.subsets().stream().allMatch(p -> p.endpoints().isEmpty()));
  }

  // ---- what a rule does

  private static Optional<Request> request(Ask ask) {
    return Request.of(ask.method(), ask.host(), ask.target(), ask.headers());
  }

  private Routed ask(
      Routed.Entrance entrance,
      RouteTable table,
      Request request,
      Ask ask,
      String scheme,
      int port) {
    Optional<RouteMatch> found = table.match(request);
    if (found.isEmpty()) {
      return reply(entrance, LocalReply.NO_ROUTE, ask);
    }
    RouteMatch match = found.get();
    RouteAction action = actions.computeIfAbsent(match.rule(), RouteAction::of);
    RequestTarget target = RequestTarget.parse(ask.target()).orElseThrow();
    if (action.cors().isPresent() && Cors.isPreflight(request)) {
      HeaderFields fields = new HeaderFields(Map.of());
      action.cors().get().answerPreflight(request, fields, HeaderFields.EDITOR);
      action.response().apply(fields, HeaderFields.EDITOR);
      return local(
          entrance,
          match,
          action,
          Cors.PREFLIGHT_STATUS,
          "the CORS filter answers",
          Optional.empty(),
          fields);
    }
    if (action.redirect().isPresent()) {
      Location location =
          Rewrites.location(action.redirect().get(), scheme, request.host(), port, target, match);
      HeaderFields fields = new HeaderFields(Map.of());
      if (!location.host().isEmpty()) {
        HeaderFields.EDITOR.set(fields, "Location", location.text());
      }
      action
          .cors()
          .ifPresent(c -> c.editResponse(request.header("origin"), fields, HeaderFields.EDITOR));
      action.response().apply(fields, HeaderFields.EDITOR);
      return local(
          entrance,
          match,
          action,
          action.redirect().get().status(),
          "the route redirects",
          Optional.of(location),
          fields);
    }
    return toBackends(entrance, match, action, request, target, ask);
  }

  private Routed local(
      Routed.Entrance entrance,
      RouteMatch match,
      RouteAction action,
      int status,
      String why,
      Optional<Location> redirect,
      HeaderFields response) {
    return new Routed(
        entrance,
        Optional.of(place(match)),
        match.rule().name(),
        match.matchIndex(),
        Routed.Connection.MADE,
        status,
        OptionalInt.empty(),
        Optional.empty(),
        why,
        List.of(),
        List.of(),
        redirect,
        response.joined(),
        List.of(),
        Optional.of(action),
        Optional.empty(),
        Optional.empty());
  }

  private static Routed reply(Routed.Entrance entrance, LocalReply reply, Ask ask) {
    return new Routed(
        entrance,
        Optional.empty(),
        "",
        -1,
        Routed.Connection.MADE,
        ask.grpc() ? 200 : reply.status(),
        ask.grpc() ? OptionalInt.of(reply.grpcStatus()) : OptionalInt.empty(),
        Optional.of(reply),
        reply.text(),
        List.of(),
        List.of(),
        Optional.empty(),
        Map.of(),
        List.of(),
        Optional.empty(),
        Optional.empty(),
        Optional.empty());
  }

  /** How clients are split by a rule, where a policy says that they are. */
  private Optional<StickySplit> sticky(RouteMatch match, RouteAction action) {
    return traffic
        .ofRoute(match.route().rule(), match.rule().name(), TrafficPolicy.StickySplit.class)
        .map(
            said ->
                new StickySplit(
                    said.setting(),
                    match.route(),
                    match.rule(),
                    match.ruleIndex(),
                    action.choices().stream()
                        .map(
                            c ->
                                new StickySplit.Share(
                                    c.cluster() < 0
                                        ? ""
                                        : plan.proxy().clusters().get(c.cluster()).name(),
                                    c.weight()))
                        .toList()));
  }

  private Routed toBackends(
      Routed.Entrance entrance,
      RouteMatch match,
      RouteAction action,
      Request request,
      RequestTarget target,
      Ask ask) {
    List<Routed.Share> shares = new ArrayList<>();
    List<Routed.Failing> failing = new ArrayList<>();
    long total = action.choices().stream().mapToLong(RouteAction.Choice::weight).sum();
    Optional<StickySplit> sticky = sticky(match, action);
    Optional<String> key = sticky.flatMap(s -> Optional.ofNullable(s.key(request, ask.source())));
    int only = key.isPresent() ? sticky.orElseThrow().choose(key.get()) : -1;
    for (int i = 0; i < action.choices().size(); i++) {
      RouteAction.Choice choice = action.choices().get(i);
      if (choice.weight() == 0 || only >= 0 && i != only) {
        continue;
      }
      double fraction = only >= 0 ? 1 : (double) choice.weight() / total;
      if (choice.cluster() < 0) {
        failing.add(
            new Routed.Failing(Routed.Connection.MADE, LocalReply.NO_VALID_BACKEND, "", fraction));
        continue;
      }
      HeaderFields sent = new HeaderFields(ask.headers());
      String host = sent.take("host");
      action.editRequest(sent, HeaderFields.EDITOR, choice);
      String newHost = sent.take("host");
      HeaderFields answer = new HeaderFields(ask.backendHeaders());
      action
          .cors()
          .ifPresent(c -> c.editResponse(request.header("origin"), answer, HeaderFields.EDITOR));
      action.editResponse(answer, HeaderFields.EDITOR, choice);
      Routed.BackendRequest backendRequest =
          new Routed.BackendRequest(
              ask.method(),
              !newHost.isEmpty() ? newHost : host.isEmpty() ? ask.authority() : host,
              action.target(target, match).text(),
              sent.joined());
      share(
          choice.cluster(),
          fraction,
          backendRequest,
          answer.joined(),
          Routed.Connection.MADE,
          shares,
          failing);
    }
    if (total == 0) {
      failing.add(new Routed.Failing(Routed.Connection.MADE, LocalReply.NO_VALID_BACKEND, "", 1));
    }
    return outcome(
        entrance,
        Optional.of(place(match)),
        Optional.of(match),
        Optional.of(action),
        shares,
        failing,
        mirrors(action),
        ask);
  }

  private void share(
      int index,
      double fraction,
      Routed.BackendRequest request,
      Map<String, String> response,
      Routed.Connection otherwise,
      List<Routed.Share> shares,
      List<Routed.Failing> failing) {
    Steering.RouteCluster target = clusters.get(index);
    Service service = services.get(target.service());
    if (target.workloads().isEmpty() && target.targets().isEmpty() && !filledElsewhere(service)) {
      failing.add(new Routed.Failing(otherwise, LocalReply.NO_ENDPOINT, target.name(), fraction));
      return;
    }
    if (target.tls().filter(tls -> !tls.trusts()).isPresent()) {
      failing.add(
          new Routed.Failing(otherwise, LocalReply.NO_VALID_BACKEND, target.name(), fraction));
      return;
    }
    List<String> workloads =
        target.workloads().stream()
            .map(w -> cluster.workloads().get(w).peerName())
            .distinct()
            .sorted()
            .toList();
    Routed.Share share =
        new Routed.Share(
            "Service",
            service.meta().namespace(),
            service.meta().name(),
            target.port(),
            fraction,
            workloads,
            request,
            response);
    for (int i = 0; i < shares.size(); i++) {
      Routed.Share other = shares.get(i);
      boolean same =
          other.namespace().equals(share.namespace())
              && other.name().equals(share.name())
              && other.port() == share.port()
              && other.request().equals(request)
              && other.response().equals(response);
      if (same) {
        shares.set(
            i,
            new Routed.Share(
                share.kind(),
                share.namespace(),
                share.name(),
                share.port(),
                other.fraction() + fraction,
                workloads,
                request,
                response));
        return;
      }
    }
    shares.add(share);
  }

  /** With the name that the cookie or header really has. */
  private static Optional<SessionPersistence> session(RouteMatch match) {
    return match
        .rule()
        .session()
        .map(
            said ->
                new SessionPersistence(
                    said.type(),
                    new SessionRule(said, match.route().name(), match.rule(), match.ruleIndex())
                        .name(),
                    said.absoluteTimeoutMillis(),
                    said.idleTimeoutMillis(),
                    said.permanent()));
  }

  private List<Routed.Mirror> mirrors(RouteAction action) {
    List<Routed.Mirror> mirrors = new ArrayList<>();
    action
        .mirrors()
        .forEach(
            m -> {
              if (m.cluster() >= 0) {
                Steering.RouteCluster target = clusters.get(m.cluster());
                Service service = services.get(target.service());
                mirrors.add(
                    new Routed.Mirror(
                        service.meta().namespace(),
                        service.meta().name(),
                        target.port(),
                        100.0 * m.numerator() / m.denominator()));
              }
            });
    return mirrors;
  }

  private Routed outcome(
      Routed.Entrance entrance,
      Optional<Rule> place,
      Optional<RouteMatch> match,
      Optional<RouteAction> action,
      List<Routed.Share> shares,
      List<Routed.Failing> failing,
      List<Routed.Mirror> mirrors,
      Ask ask) {
    shares.sort((a, b) -> Double.compare(b.fraction(), a.fraction()));
    failing.sort((a, b) -> Double.compare(b.fraction(), a.fraction()));
    boolean grpc = ask.grpc() || match.map(m -> m.route().kind() == RouteKind.GRPC).orElse(false);
    Optional<LocalReply> reply =
        shares.isEmpty() ? Optional.of(failing.getFirst().reply()) : Optional.empty();
    return new Routed(
        entrance,
        place,
        match.map(m -> m.rule().name()).orElse(""),
        match.map(RouteMatch::matchIndex).orElse(-1),
        Routed.Connection.MADE,
        grpc || reply.isEmpty() ? 200 : reply.get().status(),
        grpc ? OptionalInt.of(reply.map(LocalReply::grpcStatus).orElse(0)) : OptionalInt.empty(),
        reply,
        reply.map(LocalReply::text).orElse("the route leads to a backend"),
        shares,
        failing,
        Optional.empty(),
        Map.of(),
        shares.isEmpty() ? List.of() : mirrors,
        action,
        match.flatMap(m -> m.rule().retry()),
        match.flatMap(RequestRouter::session));
  }

  /**
   * A route of connections: what is asked over them makes no difference, and a share without a
   * backend is closed, as nobody speaks HTTP there.
   */
  private Routed l4(Routed.Entrance entrance, Optional<L4Route> route, Ask ask) {
    if (route.isEmpty()) {
      return ended(
          entrance,
          Optional.empty(),
          Routed.Connection.CLOSED,
          "no route of " + entrance.name() + " is for this server name: the connection is closed",
          List.of());
    }
    Rule rule = plan.rules().get(route.get().rule());
    List<WeightedBackend> backends = route.get().backends();
    long total = backends.stream().mapToLong(WeightedBackend::weight).sum();
    List<Routed.Share> shares = new ArrayList<>();
    List<Routed.Failing> failing = new ArrayList<>();
    for (WeightedBackend backend : backends) {
      if (backend.weight() > 0) {
        double fraction = (double) backend.weight() / total;
        if (backend.cluster() < 0) {
          failing.add(
              new Routed.Failing(
                  Routed.Connection.CLOSED, LocalReply.NO_VALID_BACKEND, "", fraction));
        } else {
          share(
              backend.cluster(),
              fraction,
              untouched(ask),
              ask.backendHeaders(),
              Routed.Connection.CLOSED,
              shares,
              failing);
        }
      }
    }
    if (shares.isEmpty()) {
      return ended(
          entrance,
          Optional.of(rule),
          Routed.Connection.CLOSED,
          "route " + route.get().name() + " has no backend: the connection is closed",
          failing);
    }
    return outcome(
        entrance,
        Optional.of(rule),
        Optional.empty(),
        Optional.empty(),
        shares,
        failing,
        List.of(),
        ask);
  }

  /** The rule of a route, with its own line. */
  private Rule place(RouteMatch match) {
    Rule whole = plan.rules().get(match.route().rule());
    HttpRoute route = routes.get(whole.kind() + " " + match.route().name());
    if (route == null || match.ruleIndex() >= route.rules().size()) {
      return whole;
    }
    var at = route.rules().get(match.ruleIndex()).at();
    return new Rule(
        whole.kind(),
        whole.namespace(),
        whole.name(),
        "rules[" + match.ruleIndex() + "]",
        at.file(),
        at.line());
  }

  // ---- authorities

  private static String serverName(String host) {
    boolean address = Address.parse(host.replaceAll("[\\[\\]]", "")).isPresent();
    return address ? "" : host.toLowerCase(Locale.ROOT);
  }

  private static int colon(String authority) {
    int colon = authority.lastIndexOf(':');
    return colon > authority.lastIndexOf(']') ? colon : -1;
  }

  private static String withoutPort(String authority) {
    int colon = colon(authority);
    return colon < 0 ? authority : authority.substring(0, colon);
  }

  private static OptionalInt portOf(String authority) throws UnclearException {
    int colon = colon(authority);
    if (colon < 0) {
      return OptionalInt.empty();
    }
    try {
      int port = Integer.parseInt(authority.substring(colon + 1));
      if (port > 0 && port < 65536) {
        return OptionalInt.of(port);
      }
    } catch (NumberFormatException notANumber) {
      // Said below.
    }
    throw new UnclearException("\"" + authority + "\" has no port from 1 to 65535 at its end");
  }
}
