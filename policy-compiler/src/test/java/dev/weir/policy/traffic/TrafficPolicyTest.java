// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.traffic;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.Analysis;
import dev.weir.policy.Compilation;
import dev.weir.policy.PolicyCompiler;
import dev.weir.policy.answer.Explainer;
import dev.weir.policy.answer.Explanation;
import dev.weir.policy.answer.Party;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.PlanCodec;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.Reserved;
import dev.weir.policy.plan.TrafficPolicy.CanaryRollback;
import dev.weir.policy.plan.TrafficPolicy.CircuitLimits;
import dev.weir.policy.plan.TrafficPolicy.ConnectionRate;
import dev.weir.policy.plan.TrafficPolicy.HealthCheck;
import dev.weir.policy.plan.TrafficPolicy.HealthCheckType;
import dev.weir.policy.plan.TrafficPolicy.Level;
import dev.weir.policy.plan.TrafficPolicy.Locality;
import dev.weir.policy.plan.TrafficPolicy.OutlierEjection;
import dev.weir.policy.plan.TrafficPolicy.PacketRate;
import dev.weir.policy.plan.TrafficPolicy.ProxyUnavailable;
import dev.weir.policy.plan.TrafficPolicy.RequestKey;
import dev.weir.policy.plan.TrafficPolicy.RequestRate;
import dev.weir.policy.plan.TrafficPolicy.RequestRates;
import dev.weir.policy.plan.TrafficPolicy.Scope;
import dev.weir.policy.plan.TrafficPolicy.Setting;
import dev.weir.policy.plan.TrafficPolicy.SlowStart;
import dev.weir.policy.plan.TrafficPolicy.StickyKey;
import dev.weir.policy.plan.TrafficPolicy.StickySplit;
import dev.weir.policy.plan.TrafficPolicy.Target;
import dev.weir.policy.plan.TrafficPolicy.TargetKind;
import dev.weir.policy.plan.TrafficPolicy.Unavailable;
import dev.weir.policy.plan.TrafficSettings;
import dev.weir.policy.plan.Verdict;
import dev.weir.policy.plan.VerdictIndex;
import dev.weir.policy.source.Diagnostic;
import dev.weir.policy.source.SourceTree;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class TrafficPolicyTest {

  private static final String SHOP =
      """
      {apiVersion: weir.dev/v1alpha1, kind: Workload, metadata: {name: a, labels: {app: cart}},
       spec: {cgroup: /a, ports: [{name: web, port: 8080}]}}
      ---
      {apiVersion: v1, kind: Service, metadata: {name: cart},
       spec: {clusterIP: 10.96.0.1, selector: {app: cart}, ports: [{name: http, port: 80, targetPort: web}]}}
      ---
      {apiVersion: v1, kind: Service, metadata: {name: cart-v2},
       spec: {clusterIP: 10.96.0.2, selector: {app: cart}, ports: [{port: 80, targetPort: web}]}}
      ---
      {apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: split},
       spec: {parentRefs: [{group: "", kind: Service, name: cart}],
              rules: [{backendRefs: [{name: cart, port: 80, weight: 9}, {name: cart-v2, port: 80}]}]}}
      ---
      """;

  private static final String HEAD =
      """
      apiVersion: weir.dev/v1alpha1
      kind: TrafficPolicy
      metadata: {name: p}
      spec:
      """;

  private static final String ON_SERVICE = HEAD + "  targetRefs: [{kind: Service, name: cart}]\n";
  private static final String ON_ROUTE =
      HEAD + "  targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: split}]\n";

  private static Compilation check(String yaml) {
    return PolicyCompiler.check(SourceTree.of("f", SHOP + yaml));
  }

  private static Plan plan(String yaml) {
    Compilation compilation = check(yaml);
    assertThat(compilation).isInstanceOf(Compilation.Compiled.class);
    assertThat(compilation.warnings())
        .allSatisfy(
            w ->
                assertThat(w.message())
                    .isIn(
                        "is not enforced yet",
                        "is about UDP, and no such port of Service default/cart is"));
    return ((Compilation.Compiled) compilation).plan();
  }

  private static List<Setting> settings(String yaml) {
    return plan(yaml).traffic().getFirst().settings();
  }

  private static List<String> errors(String yaml) {
    Compilation compilation = check(yaml);
    assertThat(compilation).isInstanceOf(Compilation.Refused.class);
    return ((Compilation.Refused) compilation).errors().stream().map(Diagnostic::toString).toList();
  }

  @Test
  void ratesAreReadWithTheirDefaults() {
    assertThat(
            settings(
                ON_SERVICE
                    + """
                      rateLimit:
                        connections: {perSecond: 100}
                        packets: {perSecond: 5, burst: 10, scope: SourceIdentity}
                        requests:
                          - {requests: 600, unit: Minute, burst: 20, by: {type: Header, header: X-Tenant}}
                          - {requests: 1000, by: {type: SourceIdentity}}
                    """))
        .containsExactly(
            new ConnectionRate(100, 100, Scope.TOTAL),
            new PacketRate(5, 10, Scope.SOURCE_IDENTITY),
            new RequestRates(
                List.of(
                    new RequestRate(600, 60, 20, RequestKey.HEADER, "x-tenant"),
                    new RequestRate(1000, 1, 1000, RequestKey.SOURCE_IDENTITY, ""))));
  }

  @Test
  void aRateOfConnectionsIsEnforcedWhereThereIsSomethingToCount() {
    String rate = "  rateLimit: {connections: {perSecond: 10}}\n";
    assertThat(check(ON_SERVICE + rate).warnings()).isEmpty();
    assertThat(
            check(HEAD + "  targetRefs: [{group: weir.dev, kind: Workload, name: a}]\n" + rate)
                .warnings())
        .isEmpty();
    assertThat(
            plan(HEAD + "  targetRefs: [{kind: Service, name: cart, sectionName: http}]\n" + rate)
                .traffic()
                .getFirst()
                .targets())
        .singleElement()
        .satisfies(target -> assertThat(target.port()).isEqualTo(80));
    assertThat(
            PolicyCompiler.check(
                    SourceTree.of(
                        "f",
                        SHOP.replace("clusterIP: 10.96.0.2", "clusterIP: None")
                            + ON_SERVICE.replace("cart", "cart-v2")
                            + rate))
                .warnings())
        .anySatisfy(warning -> assertThat(warning.toString()).contains("has no virtual address"));
  }

  @Test
  void explainNamesTheRateLimitsOfWhatIsAllowed() throws Explainer.UnclearException {
    String rates =
        """
        apiVersion: weir.dev/v1alpha1
        kind: TrafficPolicy
        metadata: {name: all}
        spec:
          targetRefs: [{kind: Service, name: cart-v2}]
          rateLimit: {connections: {perSecond: 100, burst: 7}}
        ---
        apiVersion: weir.dev/v1alpha1
        kind: TrafficPolicy
        metadata: {name: one}
        spec:
          targetRefs: [{group: weir.dev, kind: Workload, name: a}]
          rateLimit: {connections: {perSecond: 5, scope: SourceIdentity}}
        """;
    Analysis analysis = PolicyCompiler.analyse(SourceTree.of("f", SHOP + rates));
    Explainer explainer = new Explainer(analysis, (Compilation.Compiled) analysis.compilation());
    Party host = explainer.party("host", Protocol.TCP, 0);

    assertThat(
            explainer
                .explain(
                    host, explainer.party("service/cart-v2", Protocol.TCP, 80), Protocol.TCP, 80)
                .findings())
        .singleElement()
        .satisfies(
            finding -> {
              assertThat(finding.effect()).isEqualTo(Explanation.Effect.LIMITS);
              assertThat(finding.rule().name()).isEqualTo("all");
              assertThat(finding.note())
                  .isEqualTo(
                      "lets through 100 new connections a second, at most 7 at once,"
                          + " of all sources together");
            });
    assertThat(
            explainer
                .explain(host, explainer.party("workload/a", Protocol.TCP, 0), Protocol.TCP, 8080)
                .findings())
        .anySatisfy(finding -> assertThat(finding.note()).endsWith("of each source workload"));
  }

  @Test
  void ejectionIsEnforcedByWhoeverChoosesTheBackends() {
    String ejection = "  outlierEjection: {consecutiveErrors: 3}\n";
    String onKernels = ON_SERVICE.replace("cart", "cart-v2");
    assertThat(check(onKernels + ejection).warnings()).isEmpty();
    assertThat(check(onKernels + ejection + "  locality: {prefer: [Zone]}\n").warnings())
        .singleElement()
        .satisfies(warning -> assertThat(warning.toString()).contains("locality"));
    // Its route has the proxy choose, which also knows its port's name.
    assertThat(check(ON_SERVICE + ejection).warnings()).isEmpty();
    assertThat(
            check(ON_SERVICE.replace("name: cart", "name: cart, sectionName: http") + ejection)
                .warnings())
        .isEmpty();
    // The kernel does not.
    assertThat(
            PolicyCompiler.check(
                    SourceTree.of(
                        "f",
                        SHOP.replace("ports: [{port: 80, ", "ports: [{name: http, port: 80, ")
                            + onKernels.replace("name: cart-v2", "name: cart-v2, sectionName: http")
                            + ejection))
                .warnings())
        .singleElement()
        .satisfies(warning -> assertThat(warning.toString()).contains("outlierEjection"));
  }

  @Test
  void whatIsAboutBackendsIsReadWithItsDefaults() {
    assertThat(
            settings(
                ON_SERVICE
                    + """
                      outlierEjection: {consecutiveErrors: 3}
                      circuitLimits: {maxConnections: 100, maxRequests: 1000}
                      healthCheck: {type: HTTP, path: /healthz, interval: 1m30s, expectedStatus: {first: 204}}
                      locality: {prefer: [Node, Zone]}
                      proxyUnavailable: Bypass
                    """))
        .containsExactly(
            new OutlierEjection(3, 10_000, 30_000, 50),
            new CircuitLimits(100, 0, 1000, 0),
            new HealthCheck(HealthCheckType.HTTP, 0, "/healthz", "", 90_000, 1000, 2, 3, 204, 299),
            new Locality(List.of(Level.NODE, Level.ZONE)),
            new ProxyUnavailable(Unavailable.BYPASS));
  }

  @Test
  void aCanaryIsNamedWithItsNamespace() {
    assertThat(
            settings(
                ON_ROUTE
                    + "  canaryRollback: {backend: {name: cart-v2}, errorMarginPercent: 1, window:"
                    + " 2m}\n"))
        .containsExactly(new CanaryRollback("default/cart-v2", 1, -1, 120, 100));
  }

  @Test
  void whatOnlyTheProxyCanDoHoldsForWhatRoutesLeadToAService() {
    String limits = "  circuitLimits: {maxRequests: 10}\n";
    assertThat(check(ON_SERVICE + limits).warnings()).isEmpty();
    // A route leads there as well as its own address, which is the kernel's.
    assertThat(check(ON_SERVICE.replace("cart", "cart-v2") + limits).warnings())
        .singleElement()
        .satisfies(
            w ->
                assertThat(w.toString())
                    .contains("holds for what routes lead to Service default/cart-v2, not for"));
    assertThat(check(ON_SERVICE + "  healthCheck: {type: GRPC}\n").warnings()).isEmpty();
    // No route leads there.
    assertThat(
            PolicyCompiler.check(
                    SourceTree.of(
                        "f",
                        SHOP.replace(", {name: cart-v2, port: 80}", "")
                            + ON_SERVICE.replace("cart", "cart-v2")
                            + limits))
                .warnings())
        .singleElement()
        .satisfies(w -> assertThat(w.toString()).contains("circuitLimits: is not enforced yet"));
  }

  @Test
  void theProxyMayDialThePortAtWhichBackendsAreAskedWhetherTheyAreWell() {
    assertThat(check(ON_SERVICE + "  healthCheck: {type: TCP, port: 9}\n").warnings()).isEmpty();
    assertThat(proxyMayDial(plan(ON_SERVICE + "  healthCheck: {type: TCP, port: 9}\n"), 9))
        .isTrue();
    // Nowhere else, and not without being told to.
    assertThat(proxyMayDial(plan(ON_SERVICE + "  healthCheck: {type: TCP, port: 9}\n"), 10))
        .isFalse();
    assertThat(proxyMayDial(plan(ON_SERVICE + "  healthCheck: {type: TCP}\n"), 9)).isFalse();
  }

  /** Whether there is a backend of Service cart at which the kernel lets the proxy have a port. */
  private static boolean proxyMayDial(Plan plan, int port) {
    VerdictIndex verdicts = new VerdictIndex(plan);
    return plan.proxy().clusters().stream()
        .filter(cluster -> cluster.name().startsWith("default/cart:"))
        .flatMap(cluster -> cluster.endpoints().stream())
        .map(endpoint -> plan.backends().get(endpoint).identity())
        .map(
            identity ->
                verdicts.lookupFromHere(Reserved.PROXY.index(), identity, Protocol.TCP, port))
        .anyMatch(answer -> answer.decision() == Verdict.Decision.ALLOW);
  }

  @Test
  void aRateOfRequestsIsEnforcedWhereTheProxySeesThem() {
    String rate = "  rateLimit: {requests: [{requests: 10}]}\n";
    assertThat(check(ON_SERVICE + rate).warnings()).isEmpty();
    assertThat(check(ON_ROUTE + rate).warnings()).isEmpty();
    assertThat(check(ON_SERVICE.replace("cart", "cart-v2") + rate).warnings())
        .singleElement()
        .satisfies(w -> assertThat(w.toString()).contains("requests: is not enforced yet"));
  }

  @Test
  void theProxyIsToldWhichGatewayOrListenerIsMeant() {
    Plan plan =
        PlanCodec.forProxy(
            plan(
                """
                {apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: edge},
                 spec: {gatewayClassName: weir, listeners: [{name: web, port: 8088, protocol: HTTP}]}}
                ---
                """
                    + HEAD
                    + """
                      targetRefs:
                        - {group: gateway.networking.k8s.io, kind: Gateway, name: edge}
                        - {group: gateway.networking.k8s.io, kind: Gateway, name: edge, sectionName: web}
                      rateLimit: {requests: [{requests: 10}]}
                    """));
    TrafficSettings settings = new TrafficSettings(plan);
    assertThat(settings.ofListener("default/edge", "web", RequestRates.class))
        .hasValueSatisfying(said -> assertThat(said.target().section()).isEqualTo("web"));
    assertThat(settings.ofListener("default/edge", "other", RequestRates.class))
        .hasValueSatisfying(said -> assertThat(said.target().section()).isEmpty());
    assertThat(settings.ofListener("default/edg", "web", RequestRates.class)).isEmpty();
  }

  @Test
  void clientsAreSplitByACookieAHeaderOrTheirWorkload() {
    String sticky = ON_ROUTE + "  stickySplit: ";
    assertThat(settings(sticky + "{type: Cookie, name: User, cookieLifetime: 720h}\n"))
        .containsExactly(new StickySplit(StickyKey.COOKIE, "User", 2_592_000));
    assertThat(settings(sticky + "{type: Header, name: X-User}\n"))
        .containsExactly(new StickySplit(StickyKey.HEADER, "x-user", 0));
    assertThat(settings(sticky + "{type: SourceIdentity}\n"))
        .containsExactly(new StickySplit(StickyKey.SOURCE_IDENTITY, "", 0));
    assertThat(check(sticky + "{type: SourceIdentity}\n").warnings()).isEmpty();
    for (String wrong :
        List.of(
            "{name: a}",
            "{type: Cookie}",
            "{type: Header, name: 'a b'}",
            "{type: SourceIdentity, name: a}",
            "{type: Header, name: a, cookieLifetime: 1h}",
            "{type: Cookie, name: a, cookieLifetime: 10ms}",
            "{type: Cookie, name: a, cookieLifetime: 9601h}")) {
      assertThat(errors(sticky + wrong + "\n")).as(wrong).isNotEmpty();
    }
  }

  @Test
  void whereTheKernelSplitsConnectionsNoRequestsAreTreated() {
    String split =
        SHOP.replace(
            "kind: HTTPRoute, metadata: {name: split}",
            "kind: HTTPRoute, metadata: {name: split, annotations: {weir.dev/split:"
                + " connection}}");
    assertThat(
            PolicyCompiler.check(
                    SourceTree.of(
                        "f", split + ON_ROUTE + "  stickySplit: {type: SourceIdentity}\n"))
                .warnings())
        .singleElement()
        .satisfies(w -> assertThat(w.toString()).contains("stickySplit: is not enforced"));
  }

  @Test
  void targetsAreIndexesOfThePlan() {
    Plan plan =
        plan(
            HEAD
                + """
                  targetRefs:
                    - {kind: Service, name: cart, sectionName: http}
                    - {group: weir.dev, kind: Workload, name: a}
                  rateLimit: {connections: {perSecond: 1}}
                """);
    List<Target> targets = plan.traffic().getFirst().targets();
    assertThat(targets)
        .extracting(Target::kind)
        .containsExactly(TargetKind.SERVICE, TargetKind.WORKLOAD);
    assertThat(targets)
        .extracting(t -> plan.workloads().get(t.index()).name())
        .containsExactly("cart", "a");
    assertThat(plan.rules().get(plan.traffic().getFirst().rule()).kind())
        .isEqualTo("TrafficPolicy");
  }

  @Test
  void aRouteIsKnownByItsRule() {
    Plan plan = plan(ON_ROUTE + "  rateLimit: {requests: [{requests: 1}]}\n");
    Target target = plan.traffic().getFirst().targets().getFirst();
    assertThat(target.kind()).isEqualTo(TargetKind.ROUTE);
    assertThat(plan.rules().get(target.index()).name()).isEqualTo("split");
  }

  @Test
  void aRuleOfARouteIsKnownByItsName() {
    assertThat(
            errors(
                ON_ROUTE.replace("name: split", "name: split, sectionName: x")
                    + "  rateLimit: {requests: [{requests: 1}]}\n"))
        .anySatisfy(e -> assertThat(e).contains("HTTPRoute default/split has no rule \"x\""));
  }

  @Test
  void whatIsMissingIsAWarning() {
    Compilation compilation =
        check(ON_SERVICE.replace("name: cart", "name: nobody") + "  proxyUnavailable: Refuse\n");
    assertThat(compilation).isInstanceOf(Compilation.Compiled.class);
    assertThat(compilation.warnings())
        .anySatisfy(
            w -> assertThat(w.toString()).contains("there is no Service default/nobody: nothing"));
  }

  @Test
  void toPutItInForceIsRefusedUntilItIsEnforced() {
    Compilation compilation =
        PolicyCompiler.compile(
            SourceTree.of("f", SHOP + ON_SERVICE + "  locality: {prefer: [Zone]}\n"));
    assertThat(compilation).isInstanceOf(Compilation.Refused.class);
  }

  private static final String TWO_NODES =
      """
      {apiVersion: weir.dev/v1alpha1, kind: Mesh, metadata: {name: m}, spec: {trustPodAddresses: true}}
      ---
      {apiVersion: weir.dev/v1alpha1, kind: Workload, metadata: {name: here, labels: {app: db}},
       spec: {cgroup: /here, ports: [{port: 5432}]}}
      ---
      {apiVersion: weir.dev/v1alpha1, kind: Workload, metadata: {name: there, labels: {app: db}},
       spec: {addresses: [10.0.2.2], ports: [{port: 5432}]}}
      ---
      {apiVersion: v1, kind: Service, metadata: {name: db},
       spec: {clusterIP: 10.96.0.3, selector: {app: db}, ports: [{port: 5432}]}}
      ---
      """;

  private static List<String> behindDb(String yaml) {
    Compilation compilation = PolicyCompiler.compile(SourceTree.of("f", yaml));
    assertThat(compilation).isInstanceOf(Compilation.Compiled.class);
    Plan plan = ((Compilation.Compiled) compilation).plan();
    return plan.services().stream()
        .filter(s -> s.address().toString().equals("10.96.0.3"))
        .flatMap(s -> s.slots().stream())
        .map(slot -> plan.backends().get(slot).address().toString())
        .sorted()
        .toList();
  }

  @Test
  void thisNodesBackendsGoFirstWhereThatIsSaid() {
    String prefer = ON_SERVICE.replace("cart", "db") + "  locality: {prefer: [Node]}\n";
    assertThat(behindDb(TWO_NODES)).containsExactly("10.0.2.2", "127.0.0.1");
    assertThat(behindDb(TWO_NODES + prefer)).containsExactly("127.0.0.1");
    // Nobody is here: the others are better than nobody.
    String elsewhere = TWO_NODES.replace("cgroup: /here", "addresses: [10.0.2.1]");
    assertThat(behindDb(elsewhere + prefer)).containsExactly("10.0.2.1", "10.0.2.2");
  }

  @Test
  void theProxyIsToldWhoIsOnThisNode() {
    String route =
        """
        {apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: r},
         spec: {parentRefs: [{group: "", kind: Service, name: db}],
                rules: [{backendRefs: [{name: db, port: 5432}]}]}}
        ---
        """;
    String policy =
        ON_SERVICE.replace("cart", "db")
            + "  locality: {prefer: [Node]}\n  slowStart: {window: 30s}\n";
    Compilation compilation =
        PolicyCompiler.compile(SourceTree.of("f", TWO_NODES + route + policy));
    assertThat(compilation).isInstanceOf(Compilation.Compiled.class);
    assertThat(compilation.warnings()).isEmpty();
    Plan plan = ((Compilation.Compiled) compilation).plan();
    assertThat(plan.proxy().clusters())
        .singleElement()
        .satisfies(
            cluster -> {
              assertThat(cluster.endpoints()).hasSize(2);
              assertThat(cluster.near())
                  .singleElement()
                  .satisfies(
                      near ->
                          assertThat(plan.backends().get(near).address().toString())
                              .isEqualTo("127.0.0.1"));
            });
    assertThat(plan.traffic().getFirst().settings()).contains(new SlowStart(30_000));
  }

  @Test
  void internalTrafficPolicyLocalLeavesOnlyThisNodesBackends() {
    String local =
        TWO_NODES.replace(
            "selector: {app: db}", "selector: {app: db}, internalTrafficPolicy: Local");
    assertThat(behindDb(local)).containsExactly("127.0.0.1");
    assertThat(behindDb(local.replace("cgroup: /here", "addresses: [10.0.2.1]"))).isEmpty();
    assertThat(
            behindDb(
                local.replace("internalTrafficPolicy: Local", "internalTrafficPolicy: Cluster")))
        .hasSize(2);
  }

  /** 10.96.0.1 has a route, which has the proxy choose. */
  private static List<Integer> slotsWithoutProxy(String yaml) {
    dev.weir.policy.plan.Service service =
        plan(yaml).services().stream()
            .filter(s -> s.address().toString().equals("10.96.0.1"))
            .findFirst()
            .orElseThrow();
    assertThat(service.tier()).isEqualTo(dev.weir.policy.plan.Service.Tier.PROXY);
    return service.slots();
  }

  @Test
  void bypassGivesAServiceWithRoutesTheBackendsThatItHasWithoutThem() {
    String bypass = ON_SERVICE + "  proxyUnavailable: Bypass\n";
    assertThat(slotsWithoutProxy(bypass)).hasSize(1);
    assertThat(slotsWithoutProxy(ON_SERVICE + "  proxyUnavailable: Refuse\n")).isEmpty();
    assertThat(slotsWithoutProxy(bypass.replace("name: cart", "name: cart-v2"))).isEmpty();
    // What is said of a port goes before what is said of its Service.
    assertThat(
            slotsWithoutProxy(
                bypass
                    + "---\n"
                    + bypass
                        .replace("name: p", "name: q")
                        .replace("name: cart", "name: cart, sectionName: http")
                        .replace("Bypass", "Refuse")))
        .isEmpty();
    assertThat(PolicyCompiler.compile(SourceTree.of("f", SHOP + bypass)))
        .isInstanceOf(Compilation.Compiled.class);
  }

  @Test
  void twoThatSayTheSameOfOneTargetAreAnErrorThatNamesBoth() {
    String one = ON_SERVICE + "  proxyUnavailable: Refuse\n";
    assertThat(errors(one + "---\n" + one.replace("name: p", "name: q")))
        .singleElement()
        .asString()
        .contains(
            "f:26:21: spec.proxyUnavailable: TrafficPolicy default/p at f:14:1 says it as well for"
                + " Service default/cart (say it in one of the two)");
  }

  @Test
  void aPortOfAServiceMayHaveAnotherSettingThanTheService() {
    String one = ON_SERVICE + "  proxyUnavailable: Refuse\n";
    plan(
        one
            + "---\n"
            + one.replace("name: p", "name: q")
                .replace("name: cart", "name: cart, sectionName: http"));
  }

  @ParameterizedTest(name = "{1}")
  @CsvSource(
      delimiter = '|',
      value = {
        "rules: [{to: [{operation: {methods: [GET]}}]}]   | Bypass | true",
        "rules: [{to: [{operation: {ports: ['8080']}}]}]  | Bypass | false",
        "rules: [{to: [{operation: {methods: [GET]}}]}]   | Refuse | false",
        "selector: {matchLabels: {app: other}}, rules: [{to: [{operation: {methods: [GET]}}]}] |"
            + " Bypass | false"
      })
  void nothingBypassesAPolicyThatOnlyTheProxyCanAsk(String spec, String action, boolean refused) {
    Compilation compilation =
        check(
            ON_SERVICE
                + "  proxyUnavailable: "
                + action
                + "\n---\n{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata:"
                + " {name: l7}, spec: {"
                + spec
                + "}}\n");
    List<Diagnostic> errors =
        compilation instanceof Compilation.Refused found ? found.errors() : List.of();
    assertThat(errors.stream().anyMatch(e -> e.message().contains("Bypass would lead past")))
        .isEqualTo(refused);
  }

  @ParameterizedTest(name = "{1}")
  @CsvSource(
      delimiter = '|',
      value = {
        "targetRefs: []                                      | spec.targetRefs: is missing or"
            + " empty",
        "targetRefs: [{kind: Pod, name: a}]                  | \"Pod\" is nothing a TrafficPolicy",
        "targetRefs: [{group: apps, kind: Service, name: a}] | Service is not a kind of group"
            + " \"apps\"",
        "targetRefs: [{kind: HTTPRoute, name: a}]            | write group:"
            + " gateway.networking.k8s.io",
        "targetRefs: [{kind: Service, name: cart, sectionName: x}] | has no port \"x\" (name one",
        "rateLimit: {connections: {}}                        | connections.perSecond: is missing",
        "rateLimit: {connections: {perSecond: 0}}            | is 0, but must be from 1 to",
        "rateLimit: {packets: {perSecond: 1, scope: All}}    | scope: is \"All\" (one of: SourceId",
        "rateLimit: {requests: [{requests: 1, unit: Day}]}   | unit: is \"Day\" (one of: Hour, Min",
        "rateLimit: {requests: [{requests: 1, by: {type: Header}}]} | by.header: is missing",
        "rateLimit: {requests: [{requests: 1, by: {type: Header, header: 'a b'}}]} | is no name of"
            + " a header",
        "rateLimit: {requests: [{requests: 1, by: {type: Total, header: a}}]} | header: means"
            + " nothing",
        "outlierEjection: {interval: 10}                     | interval: is the number 10, but"
            + " must",
        "outlierEjection: {interval: 0s}                     | \"0s\" is no duration of more than"
            + " 0",
        "outlierEjection: {maxEjectedPercent: 101}           | is 101, but must be from 1 to 100",
        "circuitLimits: {}                                   | circuitLimits: limits nothing",
        "healthCheck: {path: /}                              | healthCheck.type: is missing",
        "healthCheck: {type: TCP, path: /}                   | path: means nothing without type:"
            + " HTTP",
        "healthCheck: {type: HTTP, path: x}                  | \"x\" is no path (as /healthz)",
        "healthCheck: {type: TCP, interval: 1s, timeout: 2s} | timeout: is longer than interval",
        "healthCheck: {type: HTTP, expectedStatus: {first: 400, last: 200}} | last: is smaller"
            + " than",
        "locality: {prefer: [Rack]}                          | \"Rack\" is no locality (Node, Zone",
        "locality: {prefer: [Zone, Node]}                    | has Zone before Node, which lies in",
        "canaryRollback: {backend: {name: a}, window: 1m}    | means nothing for a Service, as"
            + " spec.t",
        "proxyUnavailable: Maybe                             | is \"Maybe\" (one of: Bypass,"
            + " Refuse)"
      })
  void whatCannotBeMeantIsAnError(String line, String message) {
    String yaml = line.startsWith("targetRefs") ? HEAD + "  " + line : ON_SERVICE + "  " + line;
    if (line.startsWith("canaryRollback")) {
      yaml = yaml.replace("window: 1m", "window: 1m, errorMarginPercent: 1");
    }
    assertThat(errors(yaml + "\n")).anySatisfy(e -> assertThat(e).contains(message));
  }

  @ParameterizedTest(name = "{1}")
  @CsvSource(
      delimiter = '|',
      value = {
        "{backend: {name: cart-v2}}                            | canaryRollback: never rolls back",
        "{errorMarginPercent: 1}                               | backend: is missing (name the",
        "{backend: {name: x}, errorMarginPercent: 1}           | no rule of HTTPRoute"
            + " default/split",
        "{backend: {name: cart-v2}, p99MarginPercent: 5, window: 5ms} | is shorter than a second"
      })
  void aCanaryThatCannotBeIsAnError(String canary, String message) {
    assertThat(errors(ON_ROUTE + "  canaryRollback: " + canary + "\n"))
        .anySatisfy(e -> assertThat(e).contains(message));
  }
}
