// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Backend;
import dev.weir.policy.plan.Block;
import dev.weir.policy.plan.Identity;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.ProxyPlan;
import dev.weir.policy.plan.ProxyPlan.Cluster;
import dev.weir.policy.plan.ProxyPlan.Listener;
import dev.weir.policy.plan.ProxyPlan.Match;
import dev.weir.policy.plan.ProxyPlan.PathMatch;
import dev.weir.policy.plan.ProxyPlan.Route;
import dev.weir.policy.plan.ProxyPlan.RouteRule;
import dev.weir.policy.plan.ProxyPlan.ValueMatch;
import dev.weir.policy.plan.ProxyPlan.VirtualService;
import dev.weir.policy.plan.ProxyPlan.WeightedBackend;
import dev.weir.policy.plan.ProxyUpdate;
import dev.weir.policy.plan.Rule;
import dev.weir.policy.plan.Settings;
import dev.weir.policy.plan.Telemetry;
import dev.weir.policy.plan.TlsKeyPair;
import dev.weir.policy.plan.TrafficPolicy;
import dev.weir.policy.plan.Verdict;
import dev.weir.policy.plan.Workload;
import dev.weir.proxy.identity.IdentityStore;
import dev.weir.proxy.listen.OriginSource;
import dev.weir.proxy.loop.Pressure;
import dev.weir.proxy.observe.AccessLog;
import dev.weir.proxy.observe.Log;
import dev.weir.proxy.outbound.SessionKeyFile;
import dev.weir.proxy.outbound.UpdateRefusedException;
import io.netty.channel.Channel;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.function.LongSupplier;
import java.util.stream.IntStream;

/**
 * A proxy with one service, {@code shop/cart} at 10.96.0.5:80, whose client is {@code shop/web}
 * (number 16) and whose backends are what a test says.
 */
final class Mesh implements AutoCloseable {

  static final Address VIP = Address.ofV4(0x0a600005);
  static final int WEB = 16;
  static final int STRANGER = 17;

  /** Place of the service in the plan, and the rule that stands for all of {@link #traffic}. */
  static final int SERVICE = 7;

  static final int TRAFFIC_RULE = 3;

  /** Stands for Gateway {@code shop/edge}, where there is traffic policy. */
  static final int GATEWAY_RULE = 4;

  final Proxy proxy;
  final int port;
  volatile Optional<OriginSource.Handover> origin =
      Optional.of(new OriginSource.Handover(VIP, 80, WEB));

  /** Sees each connection when it is accepted, on its event loop. */
  volatile Consumer<Channel> accepted = channel -> {};

  /** What TrafficPolicies say in updates from now on; {@link #SERVICE} and the rules are fixed. */
  List<TrafficPolicy> traffic = List.of();

  /** Whether clusters are of Services of their own, as they are in what is compiled. */
  boolean distinct;

  private final ByteArrayOutputStream log = new ByteArrayOutputStream();
  Telemetry telemetry = Telemetry.DEFAULT;

  /** From where x-forwarded-for is believed, in updates from now on. */
  List<Block> trustedProxies = List.of();

  /** Of 1,000. */
  volatile long memoryUsed;

  private long generation;

  Mesh() throws IOException {
    this(1, System::nanoTime);
  }

  Mesh(int threads, LongSupplier clock) throws IOException {
    this(threads, clock, OutputStream.nullOutputStream());
  }

  /** One whose access log goes somewhere. */
  Mesh(int threads, LongSupplier clock, OutputStream access) throws IOException {
    this(threads, clock, access, Optional.empty());
  }

  /** One that remembers rollbacks. */
  Mesh(int threads, LongSupplier clock, OutputStream access, Optional<Path> rollbacks)
      throws IOException {
    this.port = FreePorts.next();
    Log told = new Log(new PrintStream(log, true, StandardCharsets.UTF_8));
    this.proxy =
        new Proxy(
            threads,
            channel -> {
              accepted.accept(channel);
              return origin;
            },
            clock,
            told,
            new AccessLog(access),
            new SessionKeyFile(Optional.empty()),
            IdentityStore.none(told),
            rollbacks,
            new Pressure(() -> memoryUsed, 1000),
            Optional.empty());
  }

  String log() {
    return log.toString(StandardCharsets.UTF_8);
  }

  Client client() throws IOException {
    return new Client(port);
  }

  /** One rule to these ports, with these weights. */
  static RouteRule weighted(List<Match> matches, int... weights) {
    return new RouteRule(
        matches,
        List.of(),
        IntStream.range(0, weights.length)
            .filter(i -> weights[i] >= 0)
            .mapToObj(i -> new WeightedBackend(i, weights[i], List.of()))
            .toList(),
        0,
        0);
  }

  static Match prefix(String path, ValueMatch... headers) {
    return new Match(new PathMatch.Prefix(path), List.of(headers), List.of(), Optional.empty());
  }

  static List<Match> any() {
    return List.of(prefix("/"));
  }

  static Route route(RouteRule... rules) {
    return new Route("shop/cart", 1, List.of(), List.of(rules));
  }

  /** Something that is said of the service. */
  static TrafficPolicy ofService(TrafficPolicy.Setting... settings) {
    return new TrafficPolicy(
        TRAFFIC_RULE,
        List.of(new TrafficPolicy.Target(TrafficPolicy.TargetKind.SERVICE, SERVICE, "")),
        List.of(settings));
  }

  /** All traffic to the first port; the others are clusters too. */
  void serve(int... ports) throws UpdateRefusedException {
    serve(route(weighted(any(), 1)), ports);
  }

  void serve(Route route, int... ports) throws UpdateRefusedException {
    proxy.update(update(List.of(route), List.of(), List.of(), List.of(), ports));
  }

  /** Everything to one cluster of all ports. */
  void serveTogether(RouteRule rule, int... ports) throws UpdateRefusedException {
    proxy.update(together(update(List.of(route(rule)), List.of(), List.of(), List.of(), ports)));
  }

  private static ProxyUpdate together(ProxyUpdate update) {
    List<Cluster> clusters = update.plan().proxy().clusters();
    Cluster one =
        new Cluster(
            7,
            80,
            "shop/cart:80",
            clusters.stream().flatMap(c -> c.endpoints().stream()).toList(),
            clusters.stream().flatMap(c -> c.workloads().stream()).toList(),
            "",
            Optional.empty());
    return Streams.with(
        update, proxy -> new ProxyPlan(proxy.listeners(), proxy.virtualServices(), List.of(one)));
  }

  ProxyUpdate update(
      List<Route> routes,
      List<Listener> listeners,
      List<TlsKeyPair> keys,
      List<Verdict> verdicts,
      int... ports) {
    List<Workload> workloads = new ArrayList<>();
    for (String reserved : List.of("any", "unknown", "host", "outside", "proxy")) {
      workloads.add(
          new Workload("", reserved, "Reserved", workloads.size(), List.of(), false, "", "", ""));
    }
    workloads.add(workload("web", 8));
    workloads.add(workload("stranger", 9));
    workloads.add(new Workload("shop", "cart", "Service", 0, List.of(), false, "", "", ""));
    List<Identity> identities = new ArrayList<>();
    for (int i = 0; i < Identity.FIRST; i++) {
      identities.add(new Identity("reserved " + i, false, false, 0, 0));
    }
    identities.add(new Identity("web", false, false, 0, 0));
    identities.add(new Identity("stranger", false, false, 0, 0));
    boolean isolated = !verdicts.isEmpty();
    identities.add(new Identity("cart", isolated, false, isolated ? 2 : 0, 0));
    List<Backend> backends = new ArrayList<>();
    backends.add(new Backend(Address.LOOPBACK4, 0, 0, 0));
    List<Cluster> clusters = new ArrayList<>();
    for (int i = 0; i < ports.length; i++) {
      workloads.add(
          new Workload(
              "shop",
              "cart-v" + (i + 1),
              "Workload",
              10,
              List.of(),
              false,
              "",
              "cart",
              "v" + (i + 1)));
      backends.add(new Backend(Address.LOOPBACK4, ports[i], workloads.size() - 1, 10));
      clusters.add(
          new Cluster(
              7,
              80,
              distinct ? "shop/cart-v" + (i + 1) + ":80" : "shop/cart:80",
              List.of(backends.size() - 1),
              List.of(workloads.size() - 1),
              "",
              Optional.empty()));
    }
    List<Rule> rules = new ArrayList<>();
    rules.add(new Rule("Mesh", "", "default", "", "", 0));
    rules.add(new Rule("HTTPRoute", "shop", "cart", "", "route.yaml", 1));
    rules.add(new Rule("NetworkPolicy", "shop", "cart", "", "policy.yaml", 12));
    if (!traffic.isEmpty()) {
      rules.add(new Rule("TrafficPolicy", "shop", "limits", "", "limits.yaml", 3));
      rules.add(new Rule("Gateway", "shop", "edge", "", "gateway.yaml", 1));
    }
    Plan plan =
        new Plan(
            new Settings(
                "(default)",
                false,
                false,
                List.of(),
                List.of(),
                false,
                false,
                port,
                0,
                0,
                "/proxy",
                Settings.MAP_BYTES,
                Settings.Icmp.POLICY,
                Settings.TRUST_DOMAIN,
                telemetry,
                trustedProxies),
            workloads,
            identities,
            rules,
            verdicts,
            List.of(),
            List.of(),
            backends,
            List.of(),
            List.of(),
            List.of(),
            new ProxyPlan(listeners, List.of(new VirtualService(7, VIP, 80, routes)), clusters),
            traffic);
    List<Integer> numbers = new ArrayList<>();
    for (int i = 0; i < workloads.size(); i++) {
      numbers.add(i < Workload.RESERVED ? i : i + WEB - Workload.RESERVED);
    }
    return new ProxyUpdate(++generation, plan, numbers, keys);
  }

  private static Workload workload(String name, int identity) {
    return new Workload("shop", name, "Workload", identity, List.of(), false, "", name, "");
  }

  static Verdict verdict(int source, int port) {
    return new Verdict(source, 10, Protocol.TCP, port, Verdict.Decision.ALLOW, 2);
  }

  @Override
  public void close() {
    proxy.close();
  }
}
