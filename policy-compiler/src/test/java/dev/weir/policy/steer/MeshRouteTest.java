// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.steer;

import static dev.weir.policy.steer.Steered.SHOP;
import static dev.weir.policy.steer.Steered.asked;
import static dev.weir.policy.steer.Steered.errors;
import static dev.weir.policy.steer.Steered.route;
import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.ProxyPlan.Route;
import dev.weir.policy.plan.ProxyPlan.VirtualService;
import dev.weir.policy.plan.ProxyPlan.WeightedBackend;
import dev.weir.policy.plan.Service;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Routes at Services: whose clients get which. */
class MeshRouteTest {

  private static final String TO_B =
      "{parentRefs: [{group: '', kind: Service, name: a, namespace: shop}],"
          + " rules: [{backendRefs: [{name: b, namespace: shop, port: 80}]}]}";

  private static String consumer(String kind, String spec) {
    return route(kind, "c", spec).replace("namespace: shop}\nspec", "namespace: web}\nspec");
  }

  private static final String GRANT =
      """
      apiVersion: gateway.networking.k8s.io/v1beta1
      kind: ReferenceGrant
      metadata: {name: g, namespace: shop}
      spec:
        from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: web}]
        to: [{group: "", kind: Service}]
      ---
      """;

  private static VirtualService a(Steered steered) {
    return steered.proxy().virtualServices().getFirst();
  }

  private static List<String> leadTo(Steered steered, List<Route> routes) {
    return routes.stream()
        .flatMap(r -> r.rules().stream())
        .flatMap(r -> r.backends().stream())
        .map(WeightedBackend::cluster)
        .map(c -> steered.proxy().clusters().get(c).name())
        .toList();
  }

  @Test
  void aRouteOfTheServicesNamespaceIsForEveryClient() {
    Steered steered = asked(SHOP, route("HTTPRoute", "r", TO_B));
    assertThat(leadTo(steered, a(steered).routesFor("web"))).containsExactly("shop/b:80");
    assertThat(leadTo(steered, a(steered).routesFor(""))).containsExactly("shop/b:80");
  }

  @Test
  void aTlsRouteOfTheServicesNamespaceCanBePutInForce() {
    String files = route("TLSRoute", "t", TO_B.replace("rules", "hostnames: [x.example], rules"));
    assertThat(errors(SHOP, files)).isEmpty();
    assertThat(asked(SHOP, files).service("a").tier()).isEqualTo(Service.Tier.PROXY);
  }

  @Test
  void aRouteOfAnotherNamespaceIsForItsClientsOnly() {
    Steered steered = asked(SHOP, GRANT, consumer("HTTPRoute", TO_B));
    assertThat(leadTo(steered, a(steered).routesFor("web"))).containsExactly("shop/b:80");
    assertThat(leadTo(steered, a(steered).routesFor("other"))).containsExactly("shop/a:80");
  }

  @Test
  void aClientsOwnRouteGoesInsteadOfTheServices() {
    Steered steered =
        asked(
            SHOP,
            GRANT,
            consumer("HTTPRoute", TO_B),
            route("HTTPRoute", "r", TO_B.replace("name: b,", "name: a,")));
    assertThat(leadTo(steered, a(steered).routesFor("web"))).containsExactly("shop/b:80");
    assertThat(leadTo(steered, a(steered).routesFor("shop"))).containsExactly("shop/a:80");
  }

  @Test
  void routesOfOtherNamespacesCanBePutInForce() {
    assertThat(errors(SHOP, GRANT, consumer("HTTPRoute", TO_B))).isEmpty();
    assertThat(asked(SHOP, GRANT, consumer("HTTPRoute", TO_B)).service("a").tier())
        .isEqualTo(Service.Tier.PROXY);
  }

  @Test
  void ofSeveralKindsTheMostSpecificCounts() {
    Steered steered =
        asked(
            SHOP,
            route("TCPRoute", "t", TO_B),
            route("HTTPRoute", "h", TO_B),
            route("GRPCRoute", "g", TO_B));
    assertThat(a(steered).routes()).extracting(Route::name).containsExactly("shop/g");
    steered.warns("is never met: GRPCRoute shop/g is attached to the same port");
  }

  @Test
  void aServiceWithoutAnAddressCanBeAskedAboutButNotDialled() {
    Steered steered =
        asked(SHOP.replace("clusterIP: 10.96.0.1, ", ""), route("HTTPRoute", "r", TO_B));
    assertThat(a(steered).addresses()).isEmpty();
    assertThat(leadTo(steered, a(steered).routes())).containsExactly("shop/b:80");
    assertThat(steered.proxy().needed()).isFalse();
  }

  @Test
  void aTlsRouteIsChosenByServerName() {
    Steered steered =
        asked(SHOP, route("TLSRoute", "t", TO_B.replace("rules", "hostnames: [x.example], rules")));
    assertThat(a(steered).l4Routes())
        .singleElement()
        .satisfies(r -> assertThat(r.hostnames()).containsExactly("x.example"));
  }

  @Test
  void aParentPortSelectsOnePort() {
    Steered steered =
        asked(SHOP, route("HTTPRoute", "r", TO_B.replace("name: a,", "name: a, port: 81,")));
    assertThat(steered.proxy().virtualServices()).isEmpty();
    steered.warns("Service shop/a has no such TCP port");
  }
}
