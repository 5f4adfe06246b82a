// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.plan;

import dev.weir.policy.plan.ProxyPlan.BackendTls;
import dev.weir.policy.plan.ProxyPlan.ClientTrust;
import dev.weir.policy.plan.ProxyPlan.Cluster;
import dev.weir.policy.plan.ProxyPlan.ConsumerRoutes;
import dev.weir.policy.plan.ProxyPlan.Filter;
import dev.weir.policy.plan.ProxyPlan.Header;
import dev.weir.policy.plan.ProxyPlan.HeaderEdit;
import dev.weir.policy.plan.ProxyPlan.L4Route;
import dev.weir.policy.plan.ProxyPlan.Listener;
import dev.weir.policy.plan.ProxyPlan.ListenerProtocol;
import dev.weir.policy.plan.ProxyPlan.Match;
import dev.weir.policy.plan.ProxyPlan.PathEdit;
import dev.weir.policy.plan.ProxyPlan.PathMatch;
import dev.weir.policy.plan.ProxyPlan.Retry;
import dev.weir.policy.plan.ProxyPlan.Route;
import dev.weir.policy.plan.ProxyPlan.RouteKind;
import dev.weir.policy.plan.ProxyPlan.RouteRule;
import dev.weir.policy.plan.ProxyPlan.SessionPersistence;
import dev.weir.policy.plan.ProxyPlan.SubjectAltName;
import dev.weir.policy.plan.ProxyPlan.Tls;
import dev.weir.policy.plan.ProxyPlan.ValueMatch;
import dev.weir.policy.plan.ProxyPlan.VirtualService;
import dev.weir.policy.plan.ProxyPlan.WeightedBackend;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.TreeMap;
import java.util.function.Supplier;

/** Plans in which every index leads somewhere, and nothing else makes sense. */
final class RandomPlans {

  private final Random random;
  private final int workloads;
  private final int identities;
  private final int rules;
  private final int backends;

  private RandomPlans(long seed) {
    random = new Random(seed);
    workloads = Workload.RESERVED + random.nextInt(6);
    identities = Identity.FIRST + random.nextInt(6);
    rules = 1 + random.nextInt(6);
    backends = 1 + random.nextInt(4);
  }

  static Plan plan(long seed) {
    return new RandomPlans(seed).plan();
  }

  private Plan plan() {
    TreeMap<Long, Verdict> verdicts = new TreeMap<>();
    for (int i = random.nextInt(20); i > 0; i--) {
      Verdict verdict = verdict();
      if (verdict.source() != 0 || verdict.destination() != 0) {
        verdicts.put(verdict.key(), verdict);
      }
    }
    List<Cluster> clusters =
        some(
            () ->
                new Cluster(
                    workload(),
                    port(),
                    text(),
                    some(this::backend),
                    some(this::workload),
                    text(),
                    maybe(
                        () ->
                            new BackendTls(
                                text(),
                                some(() -> new SubjectAltName(flag(), text())),
                                flag(),
                                some(this::text))),
                    some(this::backend)));
    return new Plan(
        new Settings(
            text(),
            flag(),
            flag(),
            some(
                () ->
                    new Settings.ManagementRule(
                        one(Settings.Direction.values()), one(Protocol.values()), port())),
            some(this::text),
            flag(),
            flag(),
            port(),
            port(),
            port(),
            text(),
            random.nextInt(Integer.MAX_VALUE),
            one(Settings.Icmp.values()),
            text(),
            new Telemetry(
                new Telemetry.AccessLog(random.nextInt(9), flag(), 1 + random.nextInt(9), flag()),
                new Telemetry.Tracing(flag(), random.nextInt(101))),
            some(() -> new Block(address(), random.nextInt(129)))),
        exactly(
            workloads,
            () ->
                new Workload(
                    text(),
                    text(),
                    text(),
                    random.nextInt(identities),
                    some(this::text),
                    flag(),
                    text(),
                    text(),
                    text())),
        exactly(identities, () -> new Identity(text(), flag(), flag(), rule(), rule())),
        exactly(
            rules, () -> new Rule(text(), text(), text(), text(), text(), random.nextInt(1 << 20))),
        List.copyOf(verdicts.values()),
        random.nextBoolean() ? List.of() : List.of(new PortClass(10, 20), new PortClass(30, 65535)),
        some(
            () ->
                new Service(
                    workload(),
                    address(),
                    port(),
                    one(Protocol.values()),
                    one(Service.Tier.values()),
                    random.nextInt(identities),
                    random.nextBoolean() ? 0 : random.nextInt(1 << 20),
                    some(this::backend))),
        exactly(
            backends, () -> new Backend(address(), port(), workload(), random.nextInt(identities))),
        some(() -> new Endpoint(address(), workload(), flag())),
        some(() -> new Cidr(address(), random.nextInt(129), random.nextInt(identities))),
        some(() -> new PortOwner(one(Protocol.values()), port(), workload(), random.nextBoolean())),
        new ProxyPlan(
            some(
                () ->
                    new Listener(
                        text(),
                        text(),
                        maybe(this::address),
                        port(),
                        text(),
                        one(ListenerProtocol.values()),
                        maybe(
                            () ->
                                new Tls(
                                    some(this::text),
                                    maybe(() -> new ClientTrust(some(this::text), flag())))),
                        some(() -> route(clusters.size())),
                        some(() -> l4Route(clusters.size())))),
            some(
                () ->
                    new VirtualService(
                        workload(),
                        some(this::address),
                        port(),
                        some(() -> route(clusters.size())),
                        some(() -> l4Route(clusters.size())),
                        some(
                            () ->
                                new ConsumerRoutes(
                                    text(),
                                    some(() -> route(clusters.size())),
                                    some(() -> l4Route(clusters.size())))))),
            clusters,
            access(),
            maybe(this::hbone)),
        some(this::traffic));
  }

  private Hbone hbone() {
    List<Hbone.Peer> peers = some(() -> new Hbone.Peer(text(), address(), port(), text()));
    return new Hbone(
        port(),
        text(),
        peers,
        peers.isEmpty()
            ? List.of()
            : some(() -> new Hbone.Through(workload(), random.nextInt(peers.size()))),
        some(this::text),
        some(this::text));
  }

  private TrafficPolicy traffic() {
    return new TrafficPolicy(rule(), some(this::target), some(this::setting));
  }

  private TrafficPolicy.Target target() {
    TrafficPolicy.TargetKind kind = one(TrafficPolicy.TargetKind.values());
    boolean place =
        kind == TrafficPolicy.TargetKind.SERVICE || kind == TrafficPolicy.TargetKind.WORKLOAD;
    return new TrafficPolicy.Target(
        kind, place ? workload() : rule(), text(), random.nextInt(65536));
  }

  private TrafficPolicy.Setting setting() {
    return switch (random.nextInt(11)) {
      case 0 -> new TrafficPolicy.ConnectionRate(port(), port(), one(TrafficPolicy.Scope.values()));
      case 1 -> new TrafficPolicy.PacketRate(port(), port(), one(TrafficPolicy.Scope.values()));
      case 2 ->
          new TrafficPolicy.RequestRates(
              some(
                  () ->
                      new TrafficPolicy.RequestRate(
                          port(), port(), port(), one(TrafficPolicy.RequestKey.values()), text())));
      case 3 -> new TrafficPolicy.OutlierEjection(port(), port(), port(), port());
      case 4 -> new TrafficPolicy.CircuitLimits(port(), port(), port(), port());
      case 5 ->
          new TrafficPolicy.HealthCheck(
              one(TrafficPolicy.HealthCheckType.values()),
              port(),
              text(),
              text(),
              port(),
              port(),
              port(),
              port(),
              port(),
              port());
      case 6 -> new TrafficPolicy.Locality(some(() -> one(TrafficPolicy.Level.values())));
      case 7 ->
          new TrafficPolicy.CanaryRollback(
              text(), random.nextInt(3) - 1, random.nextInt(3) - 1, port(), port());
      case 8 ->
          new TrafficPolicy.StickySplit(one(TrafficPolicy.StickyKey.values()), text(), port());
      case 9 -> new TrafficPolicy.SlowStart(port());
      default -> new TrafficPolicy.ProxyUnavailable(one(TrafficPolicy.Unavailable.values()));
    };
  }

  private AccessPlan access() {
    List<AccessPlan.Policy> policies =
        some(
            () ->
                new AccessPlan.Policy(
                    rule(),
                    one(AccessPlan.Action.values()),
                    flag(),
                    some(
                        () ->
                            new AccessPlan.Clause(
                                rule(), some(this::term), some(this::term), term()))));
    if (policies.isEmpty()) {
      return AccessPlan.NONE;
    }
    return new AccessPlan(
        text(),
        policies,
        some(
            () ->
                new AccessPlan.Guard(
                    workload(),
                    some(
                        () ->
                            new AccessPlan.Bound(
                                random.nextInt(policies.size()), some(this::port))))),
        some(
            () ->
                new AccessPlan.GatewayGuard(text(), some(() -> random.nextInt(policies.size())))));
  }

  private AccessPlan.Term term() {
    return new AccessPlan.Term(
        some(
            () ->
                new AccessPlan.Condition(
                    one(AccessPlan.Attribute.values()),
                    some(this::text),
                    some(this::text),
                    some(this::text))));
  }

  private Verdict verdict() {
    Protocol protocol = one(Protocol.values());
    return new Verdict(
        random.nextInt(identities),
        random.nextInt(identities),
        protocol,
        protocol == Protocol.ANY ? 0 : port(),
        one(Verdict.Decision.values()),
        rule());
  }

  private Route route(int clusters) {
    return new Route(
        one(RouteKind.values()), text(), rule(), some(this::text), some(() -> routeRule(clusters)));
  }

  private L4Route l4Route(int clusters) {
    return new L4Route(text(), rule(), some(this::text), some(() -> weighted(clusters)));
  }

  private WeightedBackend weighted(int clusters) {
    return new WeightedBackend(
        random.nextInt(clusters + 1) - 1, random.nextInt(1000), some(() -> filter(clusters)));
  }

  private RouteRule routeRule(int clusters) {
    return new RouteRule(
        text(),
        some(
            () ->
                new Match(
                    switch (random.nextInt(4)) {
                      case 0 -> new PathMatch.Exact(text());
                      case 1 -> new PathMatch.Prefix(text());
                      case 2 -> new PathMatch.Grpc(text(), text(), flag());
                      default -> new PathMatch.Regex(text());
                    },
                    some(() -> new ValueMatch(text(), text(), flag())),
                    some(() -> new ValueMatch(text(), text(), flag())),
                    maybe(this::text))),
        some(() -> filter(clusters)),
        some(() -> weighted(clusters)),
        random.nextInt(100_000),
        random.nextInt(100_000),
        maybe(
            () ->
                new Retry(
                    some(() -> random.nextInt(600)), random.nextInt(9), random.nextInt(9_000))),
        maybe(
            () ->
                new SessionPersistence(
                    one(SessionPersistence.Type.values()),
                    text(),
                    random.nextInt(9_000),
                    random.nextInt(9_000),
                    flag())));
  }

  private Filter filter(int clusters) {
    HeaderEdit edit =
        new HeaderEdit(
            some(() -> new Header(text(), text())),
            some(() -> new Header(text(), text())),
            some(this::text));
    return switch (random.nextInt(6)) {
      case 0 -> new Filter.RequestHeaders(edit);
      case 1 -> new Filter.ResponseHeaders(edit);
      case 2 ->
          new Filter.Redirect(
              maybe(this::text), maybe(this::text), maybe(this::pathEdit), maybe(this::port), 301);
      case 3 ->
          new Filter.Mirror(random.nextInt(clusters + 1) - 1, random.nextInt(9), random.nextInt(9));
      case 4 ->
          new Filter.Cors(
              some(this::text),
              flag(),
              some(this::text),
              some(this::text),
              some(this::text),
              random.nextInt(9_000));
      default -> new Filter.Rewrite(maybe(this::text), maybe(this::pathEdit));
    };
  }

  private PathEdit pathEdit() {
    return flag() ? new PathEdit.Full(text()) : new PathEdit.Prefix(text());
  }

  private <T> List<T> exactly(int size, Supplier<T> element) {
    List<T> list = new ArrayList<>();
    for (int i = 0; i < size; i++) {
      list.add(element.get());
    }
    return list;
  }

  private <T> List<T> some(Supplier<T> element) {
    return exactly(random.nextInt(4), element);
  }

  private <T> Optional<T> maybe(Supplier<T> element) {
    return flag() ? Optional.of(element.get()) : Optional.empty();
  }

  private <T> T one(T[] values) {
    return values[random.nextInt(values.length)];
  }

  private boolean flag() {
    return random.nextBoolean();
  }

  private int port() {
    return random.nextInt(1 << 16);
  }

  private int rule() {
    return random.nextInt(rules);
  }

  private int workload() {
    return random.nextInt(workloads);
  }

  private int backend() {
    return random.nextInt(backends);
  }

  private Address address() {
    return flag() ? Address.ofV4(random.nextInt()) : new Address(random.nextLong(), 1);
  }

  private String text() {
    return one(
        new String[] {"", "a", "shop/cart", "gr\u00fc\u00df", "\ud83d\udc1f", "x".repeat(200)});
  }
}
