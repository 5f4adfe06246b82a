// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.steer;

import static dev.weir.policy.steer.Steered.SHOP;
import static dev.weir.policy.steer.Steered.asked;
import static dev.weir.policy.steer.Steered.route;
import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.Backend;
import dev.weir.policy.plan.Reserved;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Who is behind a Service when an EndpointSlice says so. */
class EndpointsTest {

  private static String slice(String endpoints) {
    return """
    apiVersion: v1
    kind: Service
    metadata: {name: s, namespace: shop}
    spec: {clusterIP: 10.96.0.9, ports: [{name: main, port: 80}]}
    ---
    apiVersion: discovery.k8s.io/v1
    kind: EndpointSlice
    metadata: {name: s-1, namespace: shop, labels: {kubernetes.io/service-name: s}}
    addressType: IPv4
    ports: [{name: main, port: 8080}]
    endpoints: ENDPOINTS
    ---
    """
        .replace("ENDPOINTS", endpoints);
  }

  private static List<Backend> backends(Steered steered) {
    return steered.service("s").slots().stream().map(steered.plan().backends()::get).toList();
  }

  @Test
  void anAddressOfADeclaredWorkloadIsThatWorkload() {
    Steered steered = asked(SHOP, slice("[{addresses: [10.0.0.1]}]"));
    assertThat(backends(steered))
        .singleElement()
        .satisfies(b -> assertThat(steered.name(b.workload())).isEqualTo("a"));
  }

  @Test
  void anotherAddressIsOutside() {
    Steered steered = asked(SHOP, slice("[{addresses: [192.0.2.7]}]"));
    assertThat(backends(steered))
        .singleElement()
        .satisfies(
            b -> {
              assertThat(b.workload()).isEqualTo(Reserved.OUTSIDE.index());
              assertThat(b.identity()).isEqualTo(Reserved.OUTSIDE.index());
              assertThat(b.port()).isEqualTo(8080);
            });
  }

  @Test
  void anOutsideAddressIsTheBlockThatAPolicyTellsApart() {
    Steered steered =
        asked(
            SHOP,
            slice("[{addresses: [192.0.2.7]}]"),
            """
            apiVersion: networking.k8s.io/v1
            kind: NetworkPolicy
            metadata: {name: p, namespace: shop}
            spec:
              podSelector: {}
              policyTypes: [Egress]
              egress: [{to: [{ipBlock: {cidr: 192.0.2.0/24}}]}]
            """);
    Backend backend = backends(steered).getFirst();
    assertThat(steered.plan().identities().get(backend.identity()).description())
        .isEqualTo("192.0.2.0/24");
  }

  @Test
  void onlyReadyEndpointsTakeConnections() {
    Steered steered =
        asked(
            SHOP,
            slice(
                "[{addresses: [10.0.0.1], conditions: {ready: false}}, {addresses: [10.0.0.2]}]"));
    assertThat(backends(steered))
        .singleElement()
        .satisfies(b -> assertThat(steered.name(b.workload())).isEqualTo("b"));
  }

  @Test
  void endpointsThatEndServeWhileNobodyElseDoes() {
    Steered steered =
        asked(
            SHOP,
            slice(
                "[{addresses: [10.0.0.1], conditions: {ready: false, serving: true, terminating:"
                    + " true}}]"));
    assertThat(backends(steered)).hasSize(1);
  }

  @Test
  void aRouteLeadsToThem() {
    Steered steered =
        asked(
            SHOP,
            slice("[{addresses: [192.0.2.7]}]"),
            route(
                "HTTPRoute",
                "r",
                "{parentRefs: [{group: '', kind: Service, name: a}],"
                    + " rules: [{backendRefs: [{name: s, port: 80}]}]}"));
    assertThat(steered.cluster("shop/s:80").endpoints()).hasSize(1);
  }

  @Test
  void aHeadlessServiceIsABackendOfRoutes() {
    Steered steered =
        asked(
            SHOP.replace("clusterIP: 10.96.0.2", "clusterIP: None"),
            route(
                "HTTPRoute",
                "r",
                "{parentRefs: [{group: '', kind: Service, name: a}],"
                    + " rules: [{backendRefs: [{name: b, port: 80}]}]}"));
    assertThat(steered.cluster("shop/b:80").endpoints()).hasSize(1);
  }

  @Test
  void podsOfWhichNothingSaysWhereTheyAreAreKnownToBeBehindIt() {
    Steered steered =
        asked(
            SHOP,
            """
            apiVersion: apps/v1
            kind: Deployment
            metadata: {name: d, namespace: shop}
            spec:
              selector: {matchLabels: {app: d}}
              template: {metadata: {labels: {app: d}}, spec: {containers: [{name: c, image: c}]}}
            ---
            """,
            Steered.service("d", "10.96.0.4"),
            route(
                "HTTPRoute",
                "r",
                "{parentRefs: [{group: '', kind: Service, name: a}],"
                    + " rules: [{backendRefs: [{name: d, port: 80}]}]}"));
    assertThat(steered.cluster("shop/d:80").endpoints()).isEmpty();
    assertThat(steered.cluster("shop/d:80").workloads())
        .singleElement()
        .satisfies(w -> assertThat(steered.name(w)).isEqualTo("d"));
  }

  @Test
  void whatABackendSpeaksIsAsItsPortSays() {
    String route =
        route(
            "HTTPRoute",
            "r",
            "{parentRefs: [{group: '', kind: Service, name: a}],"
                + " rules: [{backendRefs: [{name: b, port: 80}]}]}");
    String shop =
        SHOP.replace("targetPort: 8080}", "targetPort: 8080, appProtocol: kubernetes.io/h2c}");
    assertThat(asked(shop, route).cluster("shop/b:80").appProtocol())
        .isEqualTo("kubernetes.io/h2c");
    assertThat(Steered.errors(shop, route)).isEmpty();
  }
}
