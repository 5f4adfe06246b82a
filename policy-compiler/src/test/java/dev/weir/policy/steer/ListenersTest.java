// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.steer;

import static dev.weir.policy.steer.Steered.SHOP;
import static dev.weir.policy.steer.Steered.asked;
import static dev.weir.policy.steer.Steered.errors;
import static dev.weir.policy.steer.Steered.gateway;
import static dev.weir.policy.steer.Steered.route;
import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.ProxyPlan.Listener;
import dev.weir.policy.plan.ProxyPlan.ListenerProtocol;
import dev.weir.policy.plan.ProxyPlan.Route;
import org.junit.jupiter.api.Test;

/** Listeners of Gateways, and the kinds of route that attach to them. */
class ListenersTest {

  private static final String BACKEND = "rules: [{backendRefs: [{name: a, port: 80}]}]}";
  private static final String AT_G = "{parentRefs: [{name: g}], ";
  private static final String HTTP = "[{name: http, port: 80, protocol: HTTP}]";

  @Test
  void twoGatewaysAtOnePlaceCanBeAskedAboutButNotServed() {
    String[] files = {SHOP, gateway("g", HTTP), gateway("h", HTTP)};
    assertThat(asked(files).proxy().listeners()).hasSize(2);
    assertThat(errors(files))
        .singleElement()
        .satisfies(e -> assertThat(e).contains("is also that of listener shop/g/http"));
  }

  @Test
  void twoGatewaysAtAddressesOfTheirOwnAreServed() {
    assertThat(
            errors(
                SHOP,
                gateway("g", HTTP).replace("weir,", "weir, addresses: [{value: 192.0.2.1}],"),
                gateway("h", HTTP).replace("weir,", "weir, addresses: [{value: 192.0.2.2}],")))
        .isEmpty();
  }

  @Test
  void listenersThatCannotBeToldApartAreNotThere() {
    Steered steered =
        asked(
            SHOP,
            gateway(
                "g",
                "[{name: web, port: 80, protocol: HTTP}, {name: db, port: 80, protocol: TCP},"
                    + " {name: other, port: 81, protocol: HTTP}]"));
    assertThat(steered.proxy().listeners()).extracting(Listener::name).containsExactly("other");
    steered.warns("port 80 cannot have both protocols");
  }

  @Test
  void listenersOfConnectionsCanBePutInForce() {
    assertThat(
            errors(
                SHOP,
                gateway(
                    "g",
                    "[{name: db, port: 81, protocol: TCP},"
                        + " {name: tls, port: 443, protocol: TLS, tls: {mode: Passthrough}}]"),
                route("TCPRoute", "t", "{parentRefs: [{name: g, sectionName: db}], " + BACKEND),
                route(
                    "TLSRoute",
                    "s",
                    "{parentRefs: [{name: g, sectionName: tls}], hostnames: [a.test], " + BACKEND)))
        .isEmpty();
  }

  @Test
  void passthroughAndTerminationShareAPortByServerName() {
    Steered steered =
        asked(
            SHOP,
            gateway(
                "g",
                "[{name: p, port: 443, protocol: TLS, hostname: p.example, tls: {mode:"
                    + " Passthrough}}, {name: t, port: 443, protocol: HTTPS, hostname: t.example,"
                    + " tls: {certificateRefs: [{name: x}]}}]"),
            route(
                "TLSRoute", "r", "{hostnames: ['*.example'], parentRefs: [{name: g}], " + BACKEND));
    assertThat(steered.proxy().listeners())
        .extracting(Listener::protocol)
        .containsExactly(ListenerProtocol.TLS_PASSTHROUGH, ListenerProtocol.HTTPS);
    assertThat(steered.proxy().listeners().getFirst().l4Routes())
        .singleElement()
        .satisfies(r -> assertThat(r.hostnames()).containsExactly("p.example"));
    assertThat(steered.proxy().listeners().getLast().l4Routes()).isEmpty();
  }

  @Test
  void aTcpListenerHasTcpRoutes() {
    Steered steered =
        asked(
            SHOP,
            gateway("g", "[{name: db, port: 5432, protocol: TCP}]"),
            route("TCPRoute", "r", AT_G + BACKEND));
    assertThat(steered.proxy().listeners().getFirst().l4Routes()).hasSize(1);
  }

  @Test
  void aRouteOfAKindThatAListenerDoesNotTakeDoesNotAttach() {
    Steered steered =
        asked(
            SHOP,
            gateway(
                "g", HTTP.replace("HTTP}", "HTTP, allowedRoutes: {kinds: [{kind: GRPCRoute}]}}")),
            route("HTTPRoute", "r", AT_G + BACKEND));
    assertThat(steered.proxy().listeners().getFirst().routes()).isEmpty();
    steered.warns("no listener of Gateway shop/g takes a HTTPRoute");
  }

  @Test
  void oneHostNameIsForOneKindOfRequest() {
    Steered steered =
        asked(
            SHOP,
            gateway("g", HTTP),
            route("GRPCRoute", "a", AT_G + "hostnames: [x.example], " + BACKEND),
            route("HTTPRoute", "b", AT_G + "hostnames: ['*.example'], " + BACKEND),
            route("HTTPRoute", "c", AT_G + "hostnames: [y.example], " + BACKEND));
    assertThat(steered.proxy().listeners().getFirst().routes())
        .extracting(Route::name)
        .containsExactly("shop/a", "shop/c");
    steered.warns("one name is either for HTTPRoutes or for GRPCRoutes");
  }

  @Test
  void theOlderRouteGoesFirst() {
    String young = route("HTTPRoute", "a", AT_G + BACKEND);
    String old =
        route("HTTPRoute", "b", AT_G + BACKEND)
            .replace(
                "namespace: shop}", "namespace: shop, creationTimestamp: '2020-01-01T00:00:00Z'}");
    assertThat(asked(SHOP, gateway("g", HTTP), young, old).proxy().listeners().getFirst().routes())
        .extracting(Route::name)
        .containsExactly("shop/b", "shop/a");
  }

  @Test
  void whatASomebodyElsesGatewayIsAskedIsNotLookedAt() {
    assertThat(
            errors(
                SHOP,
                gateway("g", "[{name: x, port: 80, protocol: example.com/odd}]")
                    .replace("weir,", "theirs,"),
                route(
                    "HTTPRoute",
                    "r",
                    AT_G
                        + "rules: [{filters: [{type: ExtensionRef, extensionRef: {group: x, kind:"
                        + " Y, name: z}}]}]}")))
        .isEmpty();
  }
}
