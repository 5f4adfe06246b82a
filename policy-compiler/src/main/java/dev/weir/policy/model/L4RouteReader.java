// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import java.util.ArrayList;
import java.util.List;

/** Reads {@code gateway.networking.k8s.io TLSRoute} and {@code TCPRoute}. */
final class L4RouteReader {

  private L4RouteReader() {}

  static Resource read(Meta meta, L4Route.Type type, Fields object) {
    RouteReader route = new RouteReader();
    object.ignore("apiVersion", "kind", "metadata", "status");
    Fields spec = object.mapping("spec").orElseGet(() -> object.empty("spec"));
    object.finish();
    List<Reference> parents = route.parents(spec, meta);
    List<String> hostnames = type == L4Route.Type.TLS ? RouteReader.hostnames(spec) : List.of();
    if (type == L4Route.Type.TLS && hostnames.isEmpty()) {
      spec.warning(
          "hostnames",
          "is missing, which an API server refuses: every server name is meant",
          "name the hosts");
    }
    RouteReader.count(spec);
    List<L4Route.Backend> backends = new ArrayList<>();
    List<Fields> rules = spec.mappings("rules");
    if (rules.isEmpty()) {
      spec.error("rules", "is missing or empty", "one rule with backendRefs");
    }
    for (int i = 0; i < rules.size(); i++) {
      Fields rule = rules.get(i);
      if (i > 0) {
        rule.error(
            "a second rule can never be met: rules of this kind have no matches", "join the two");
      }
      route.ruleName(rule);
      List<Fields> items = rule.mappings("backendRefs");
      if (items.isEmpty()) {
        rule.error("backendRefs", "is missing or empty", "name a Service");
      }
      for (Fields item : items) {
        Reference reference = RouteReader.backend(item);
        backends.add(new L4Route.Backend(reference, RouteReader.weight(item)));
        item.finish();
      }
      rule.finish();
    }
    spec.finish();
    return new L4Route(type, meta, parents, hostnames, backends, route.limits());
  }
}
