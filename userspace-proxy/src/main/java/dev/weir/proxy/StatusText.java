// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import dev.weir.proxy.identity.IdentityStore;
import dev.weir.proxy.loop.Open;
import dev.weir.proxy.observe.JsonText;
import dev.weir.proxy.outbound.RouteStatus;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** Parts of the status (docs/protocols.md). */
final class StatusText {

  /** Peers of tunnels that are told one by one. */
  private static final int MOST_PEERS = 500;

  private static final Comparator<Open> ORDER =
      Comparator.comparing(Open::kind).thenComparing(Open::at).thenComparing(Open::what);

  private StatusText() {}

  /** Who is connected, by listener and protocol, and which tunnels there are. */
  static void connections(JsonText json, Map<Open, Integer> open) {
    List<Open> kinds = open.keySet().stream().sorted(ORDER).toList();
    json.array("clients");
    for (Open kind : kinds) {
      if (kind.kind() == Open.Kind.CLIENT) {
        json.object()
            .member("listener", kind.at())
            .member("protocol", kind.what())
            .member("open", open.getOrDefault(kind, 0))
            .endObject();
      }
    }
    json.endArray().array("tunnel_peers");
    kinds.stream()
        .filter(kind -> kind.kind() != Open.Kind.CLIENT)
        .limit(MOST_PEERS)
        .forEach(
            kind ->
                json.object()
                    .member("direction", kind.kind() == Open.Kind.TUNNEL_IN ? "in" : "out")
                    .member("peer", kind.at())
                    .member("principal", kind.what())
                    .member("open", open.getOrDefault(kind, 0))
                    .endObject());
    json.endArray();
  }

  /**
   * What is served.
   *
   * @param requests since the proxy started, by the route's name
   */
  static void routes(
      JsonText json, Optional<RouteStatus.Listing> listing, Map<String, Long> requests) {
    json.array("routes");
    for (RouteStatus route : listing.map(RouteStatus.Listing::routes).orElse(List.of())) {
      json.object()
          .member("kind", route.kind())
          .member("name", route.name())
          .member("source", route.source())
          .array("parents");
      for (RouteStatus.Parent parent : route.parents()) {
        json.object().member("name", parent.name()).array("hostnames");
        parent.hostnames().forEach(json::element);
        json.endArray().endObject();
      }
      json.endArray().array("rules");
      route.rules().forEach(rule -> rule(json, rule));
      json.endArray().member("requests", requests.getOrDefault(route.name(), 0L)).endObject();
    }
    json.endArray().member("routes_total", listing.map(RouteStatus.Listing::total).orElse(0));
  }

  private static void rule(JsonText json, RouteStatus.RuleStatus rule) {
    json.object().member("name", rule.name()).array("matches");
    rule.matches().forEach(json::element);
    json.endArray().array("backends");
    for (RouteStatus.BackendStatus backend : rule.backends()) {
      json.object()
          .member("cluster", backend.cluster())
          .member("weight", backend.weight())
          .member("weight_now", backend.weightNow())
          .endObject();
    }
    json.endArray().endObject();
  }

  /** Endpoints, by cluster. */
  static void endpoints(JsonText json, String name, Map<String, List<String>> endpoints) {
    json.array(name);
    endpoints.forEach(
        (cluster, all) ->
            all.forEach(
                endpoint ->
                    json.object()
                        .member("cluster", cluster)
                        .member("endpoint", endpoint)
                        .endObject()));
    json.endArray();
  }

  /** Whose certificates there are. */
  static void identities(JsonText json, List<IdentityStore.State> states) {
    json.array("identities");
    for (IdentityStore.State state : states) {
      json.object()
          .member("principal", state.principal())
          .member("ends", state.ends().toString())
          .member("seconds_left", state.secondsLeft())
          .member("problem", state.problem())
          .endObject();
    }
    json.endArray();
  }
}
