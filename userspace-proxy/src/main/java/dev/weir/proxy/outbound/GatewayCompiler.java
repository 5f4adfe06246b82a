// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.outbound;

import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.ProxyPlan;
import dev.weir.policy.plan.ProxyPlan.ListenerProtocol;
import dev.weir.policy.rbac.AccessRules;
import dev.weir.policy.route.Listeners;
import dev.weir.policy.route.SessionKey;
import dev.weir.proxy.resilience.RoutePolicies;
import dev.weir.proxy.tls.Certificates;
import dev.weir.proxy.tls.ClientCertificates;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;

/** Makes of a plan's listeners what is served at each port of its Gateways. */
final class GatewayCompiler {

  private final Plan plan;
  private final Optional<Generation> previous;
  private final ListenerCertificates certificates;
  private final Optional<SessionKey> sessionKey;
  private final RoutePolicies policies;

  GatewayCompiler(
      Plan plan,
      Optional<Generation> previous,
      ListenerCertificates certificates,
      Optional<SessionKey> sessionKey,
      RoutePolicies policies) {
    this.plan = plan;
    this.previous = previous;
    this.certificates = certificates;
    this.sessionKey = sessionKey;
    this.policies = policies;
  }

  Map<BindAddress, Gateway> gateways(ClusterCompiler.Clusters clusters)
      throws UpdateRefusedException {
    Map<BindAddress, List<ProxyPlan.Listener>> byBind = new LinkedHashMap<>();
    for (ProxyPlan.Listener listener : plan.proxy().listeners()) {
      byBind
          .computeIfAbsent(
              new BindAddress(listener.address(), listener.port()), b -> new ArrayList<>())
          .add(listener);
    }
    Map<BindAddress, Gateway> gateways = new HashMap<>();
    for (Map.Entry<BindAddress, List<ProxyPlan.Listener>> entry : byBind.entrySet()) {
      gateways.put(entry.getKey(), gateway(entry.getKey(), entry.getValue(), clusters));
    }
    return Map.copyOf(gateways);
  }

  private Gateway gateway(
      BindAddress bind, List<ProxyPlan.Listener> listeners, ClusterCompiler.Clusters clusters)
      throws UpdateRefusedException {
    Transport transport = Transport.of(listeners.getFirst().protocol());
    List<Gateway.Named> named = new ArrayList<>();
    Optional<Gateway> before = previous.flatMap(generation -> generation.gateway(bind));
    Listeners.Builder<Entrance> byHost = new Listeners.Builder<>();
    Map<String, Entrance> byName = new HashMap<>();
    Map<Entrance, ClientCertificates> clients = new HashMap<>();
    for (ProxyPlan.Listener listener : listeners) {
      if (Transport.of(listener.protocol()) != transport) {
        throw new UpdateRefusedException(
            "port "
                + bind.port()
                + ": listener "
                + listener.gateway()
                + "/"
                + listener.name()
                + " and listener "
                + listeners.getFirst().name()
                + " differ in what clients speak; give one of them another port");
      }
      String name = listener.gateway() + "/" + listener.name();
      Entrance entrance =
          new Entrance(
              "Gateway " + listener.gateway() + "/" + listener.name(),
              serviceName(listener.gateway()),
              listener.protocol(),
              listener.routes(),
              listener.l4Routes(),
              clusters.of(listener.protocol()),
              guard(listener),
              sessionKey,
              policies,
              policies.rates(listener),
              before.map(gateway -> gateway.byName().get(name)));
      byHost.add(listener.hostname(), entrance);
      byName.put(name, entrance);
      if (listener.tls().isPresent()) {
        List<Certificates> pairs = certificates.of(listener, listener.tls().get());
        pairs.getFirst().clients().ifPresent(rules -> clients.put(entrance, rules));
        named.add(new Gateway.Named(listener.hostname().toLowerCase(Locale.ROOT), pairs));
      }
    }
    named.sort(
        Comparator.comparing((Gateway.Named n) -> n.hostname().isEmpty())
            .thenComparing(n -> n.hostname().startsWith("*."))
            .thenComparingInt(n -> -n.hostname().length()));
    return new Gateway(
        byHost.build(),
        Map.copyOf(byName),
        transport == Transport.TLS,
        List.copyOf(named),
        Map.copyOf(clients));
  }

  private List<AccessRules> guard(ProxyPlan.Listener listener) {
    AccessRules guard = AccessRules.of(plan.proxy().access(), listener.gateway());
    return guard.isEmpty() ? List.of() : List.of(guard);
  }

  /** What clients of a port speak first, by which its listeners are told apart. */
  private enum Transport {
    HTTP,
    TLS,
    TCP;

    static Transport of(ListenerProtocol protocol) {
      return switch (protocol) {
        case HTTP -> HTTP;
        case HTTPS, TLS_PASSTHROUGH, TLS_TERMINATE -> TLS;
        case TCP -> TCP;
      };
    }
  }

  /** A Gateway as metrics name it. */
  private static Cluster.ServiceName serviceName(String gateway) {
    int slash = gateway.indexOf('/');
    return new Cluster.ServiceName(
        gateway, gateway.substring(slash + 1), slash < 0 ? "" : gateway.substring(0, slash));
  }
}
