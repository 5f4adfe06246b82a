// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.AccessPlan;
import dev.weir.policy.plan.AccessPlan.Action;
import dev.weir.policy.plan.AccessPlan.Attribute;
import dev.weir.policy.plan.AccessPlan.Bound;
import dev.weir.policy.plan.AccessPlan.Clause;
import dev.weir.policy.plan.AccessPlan.Condition;
import dev.weir.policy.plan.AccessPlan.GatewayGuard;
import dev.weir.policy.plan.AccessPlan.Guard;
import dev.weir.policy.plan.AccessPlan.Policy;
import dev.weir.policy.plan.AccessPlan.Term;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.ProxyPlan.Filter;
import dev.weir.policy.plan.ProxyPlan.Listener;
import dev.weir.policy.plan.ProxyPlan.ListenerProtocol;
import dev.weir.policy.plan.ProxyPlan.PathEdit;
import dev.weir.policy.plan.ProxyPlan.RouteRule;
import dev.weir.policy.plan.ProxyPlan.WeightedBackend;
import dev.weir.policy.plan.ProxyUpdate;
import dev.weir.policy.plan.Rule;
import dev.weir.policy.plan.Settings;
import dev.weir.policy.plan.Verdict;
import dev.weir.policy.plan.Verdict.Decision;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;

/** AuthorizationPolicies on requests, over real sockets. */
class AuthorizationTest {

  private static final int CART = 8;

  private static Condition has(Attribute attribute, String value) {
    return new Condition(attribute, List.of(), List.of(value), List.of());
  }

  private static Condition header(String name, String value) {
    return new Condition(Attribute.HEADER, List.of(name), List.of(value), List.of());
  }

  private static Policy policy(Action action, boolean audit, Condition... conditions) {
    return new Policy(
        3,
        action,
        audit,
        List.of(new Clause(4, List.of(), List.of(), new Term(List.of(conditions)))));
  }

  private static Policy allow(Condition... conditions) {
    return policy(Action.ALLOW, false, conditions);
  }

  private static AccessPlan about(int port, Policy... policies) {
    List<Bound> bounds = new ArrayList<>();
    for (int i = 0; i < policies.length; i++) {
      bounds.add(new Bound(i, List.of(port)));
    }
    return new AccessPlan(
        "cluster.local", List.of(policies), List.of(new Guard(CART, bounds)), List.of());
  }

  private static Verdict verdict(int port, Decision decision) {
    return new Verdict(0, 10, Protocol.TCP, port, decision, 2);
  }

  static ProxyUpdate with(ProxyUpdate update, AccessPlan access, boolean audit) {
    Plan plan = update.plan();
    Settings s = plan.settings();
    List<Rule> rules = new ArrayList<>(plan.rules());
    rules.add(new Rule("AuthorizationPolicy", "shop", "cart", "", "authz.yaml", 3));
    rules.add(new Rule("AuthorizationPolicy", "shop", "cart", "rules[0]", "authz.yaml", 9));
    return new ProxyUpdate(
        update.generation(),
        new Plan(
            new Settings(
                s.mesh(),
                s.defaultDeny(),
                s.hostGoverned(),
                s.managementAllow(),
                s.governedCgroups(),
                audit,
                s.refuseWithEperm(),
                s.outboundPort(),
                s.metricsPort(),
                s.healthPort(),
                s.proxyCgroup(),
                s.mapBytes(),
                s.icmp(),
                s.trustDomain(),
                s.telemetry(),
                s.trustedProxies()),
            plan.workloads(),
            plan.identities(),
            rules,
            plan.verdicts(),
            plan.portClasses(),
            plan.services(),
            plan.backends(),
            plan.endpoints(),
            plan.cidrs(),
            plan.ports(),
            plan.proxy().with(access)),
        update.workloadNumbers(),
        update.keyPairs());
  }

  private interface Asks {
    void with(Mesh mesh, Client client) throws Exception;
  }

  private static void ask(Decision decision, boolean audit, RouteRule rule, Asks asks, Policy... p)
      throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh()) {
      mesh.proxy.update(
          with(
              mesh.update(
                  List.of(Mesh.route(rule)),
                  List.of(),
                  List.of(),
                  List.of(verdict(backend.port(), decision)),
                  backend.port()),
              about(backend.port(), p),
              audit));
      try (Client client = mesh.client()) {
        asks.with(mesh, client);
      }
    }
  }

  private static void ask(Asks asks, Policy... policies) throws Exception {
    ask(Decision.INSPECT, false, Mesh.weighted(Mesh.any(), 1), asks, policies);
  }

  @Test
  void whatARuleAllowsPassesAndAllElseIs403() throws Exception {
    ask(
        (mesh, client) -> {
          assertThat(client.get("/cart/1").status()).isEqualTo(200);
          assertThat(client.get("/admin").status()).isEqualTo(403);
          assertThat(mesh.log())
              .contains("403 shop/web may not ask GET /admin of shop/cart-v1", "authz.yaml:3");
          assertThat(mesh.proxy.metrics()).contains("weir_proxy_requests_forbidden_total 1\n");
        },
        allow(has(Attribute.METHOD, "GET"), has(Attribute.PATH, "/cart*")));
  }

  @Test
  void aRefusalNamesTheRuleThatDenied() throws Exception {
    ask(
        (mesh, client) -> {
          assertThat(client.get("/admin/x").status()).isEqualTo(403);
          assertThat(client.get("/").status()).isEqualTo(200);
          assertThat(mesh.log()).contains("AuthorizationPolicy shop/cart rules[0] (authz.yaml:9)");
        },
        policy(Action.DENY, false, has(Attribute.PATH, "/admin*")));
  }

  @Test
  void pathsAreComparedNormalised() throws Exception {
    ask(
        (mesh, client) -> {
          assertThat(client.get("/cart/../admin").status()).isEqualTo(403);
          assertThat(client.get("/%63art").status()).isEqualTo(200);
        },
        allow(has(Attribute.PATH, "/cart*")));
  }

  @Test
  void theSourceIsWhomTheKernelNamed() throws Exception {
    ask(
        (mesh, client) -> assertThat(client.get("/").status()).isEqualTo(200),
        allow(has(Attribute.SOURCE_PRINCIPAL, "cluster.local/ns/shop/sa/default")));
    ask(
        (mesh, client) -> assertThat(client.get("/").status()).isEqualTo(403),
        allow(has(Attribute.SOURCE_NAMESPACE, "bank")));
  }

  @Test
  void headersAreCompared() throws Exception {
    ask(
        (mesh, client) -> {
          assertThat(client.get("/", "X-User: alice\r\n").status()).isEqualTo(200);
          assertThat(client.get("/", "X-User: bob\r\n").status()).isEqualTo(403);
          assertThat(client.get("/").status()).isEqualTo(403);
        },
        allow(header("x-user", "alice")));
  }

  @Test
  void aRewrittenPathIsComparedAsTheBackendGetsIt() throws Exception {
    RouteRule rewrite =
        new RouteRule(
            Mesh.any(),
            List.of(new Filter.Rewrite(Optional.empty(), Optional.of(new PathEdit.Full("/admin")))),
            List.of(new WeightedBackend(0, 1, List.of())),
            0,
            0);

    ask(
        Decision.INSPECT,
        false,
        rewrite,
        (mesh, client) -> assertThat(client.get("/").status()).isEqualTo(403),
        policy(Action.DENY, false, has(Attribute.PATH, "/admin")));
  }

  @Test
  void aPolicyInAuditIsReportedAndPasses() throws Exception {
    ask(
        Decision.ALLOW,
        false,
        Mesh.weighted(Mesh.any(), 1),
        (mesh, client) -> {
          assertThat(client.get("/").status()).isEqualTo(200);
          assertThat(mesh.log()).contains("audit: shop/web", "authz.yaml:9");
          assertThat(mesh.proxy.metrics()).contains("weir_proxy_requests_audited_total 1\n");
        },
        policy(Action.DENY, true));
  }

  @Test
  void aMeshInAuditRefusesNothing() throws Exception {
    ask(
        Decision.INSPECT,
        true,
        Mesh.weighted(Mesh.any(), 1),
        (mesh, client) -> {
          assertThat(client.get("/").status()).isEqualTo(200);
          assertThat(mesh.log()).contains("audit: shop/web");
        },
        policy(Action.DENY, false));
  }

  @Test
  void inspectWithoutPoliciesIsARefusal() throws Exception {
    ask((mesh, client) -> assertThat(client.get("/").status()).isEqualTo(403));
  }

  @Test
  void aPolicyThatChangesCountsFromTheNextRequestOn() throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh()) {
      for (String path : List.of("/a", "/b")) {
        mesh.proxy.update(
            with(
                mesh.update(
                    List.of(Mesh.route(Mesh.weighted(Mesh.any(), 1))),
                    List.of(),
                    List.of(),
                    List.of(verdict(backend.port(), Decision.INSPECT)),
                    backend.port()),
                about(backend.port(), allow(has(Attribute.PATH, path))),
                false));
        try (Client client = mesh.client()) {
          assertThat(client.get(path).status()).isEqualTo(200);
          assertThat(client.get("/c").status()).isEqualTo(403);
        }
      }
    }
  }

  @Test
  void aGatewaysPoliciesAreAskedBeforeItsRoutes() throws Exception {
    int port = FreePorts.next();
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh()) {
      mesh.origin = Optional.empty();
      Listener listener =
          new Listener(
              "shop/front",
              "http",
              Optional.empty(),
              port,
              "",
              ListenerProtocol.HTTP,
              Optional.empty(),
              List.of(Mesh.route(Mesh.weighted(List.of(Mesh.prefix("/cart")), 1))),
              List.of());
      AccessPlan access =
          new AccessPlan(
              "cluster.local",
              List.of(policy(Action.DENY, false, has(Attribute.PATH, "/admin*"))),
              List.of(),
              List.of(new GatewayGuard("shop/front", List.of(0))));
      mesh.proxy.update(
          with(
              mesh.update(List.of(), List.of(listener), List.of(), List.of(), backend.port()),
              access,
              false));
      try (Client client = new Client(port)) {
        assertThat(client.get("/cart").status()).isEqualTo(200);
        assertThat(client.get("/admin").status()).isEqualTo(403);
        assertThat(client.get("/other").status()).isEqualTo(404);
      }
      assertThat(mesh.log()).contains("of Gateway shop/front");
    }
  }
}
