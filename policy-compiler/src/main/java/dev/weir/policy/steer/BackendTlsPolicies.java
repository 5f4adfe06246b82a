// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.steer;

import dev.weir.policy.cluster.Cluster;
import dev.weir.policy.model.BackendTlsPolicy;
import dev.weir.policy.model.ConfigMap;
import dev.weir.policy.model.Reference;
import dev.weir.policy.model.Service;
import dev.weir.policy.plan.ProxyPlan.BackendTls;
import dev.weir.policy.source.Diagnostics;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** Which services' backends are dialled with TLS, and whom they must turn out to be. */
final class BackendTlsPolicies {

  private final Cluster cluster;
  private final Diagnostics diagnostics;

  /** By service and port name; without one for all ports. */
  private final Map<String, BackendTlsPolicy> byTarget = new HashMap<>();

  BackendTlsPolicies(Cluster cluster, Diagnostics diagnostics) {
    this.cluster = cluster;
    this.diagnostics = diagnostics;
    List<BackendTlsPolicy> policies = new ArrayList<>(cluster.all(BackendTlsPolicy.class));
    policies.sort(
        Comparator.comparing(
                (BackendTlsPolicy p) -> p.meta().created().isEmpty() ? "~" : p.meta().created())
            .thenComparing(p -> p.meta().namespace())
            .thenComparing(p -> p.meta().name()));
    for (BackendTlsPolicy policy : policies) {
      for (Reference target : policy.targets()) {
        place(policy, target);
      }
    }
  }

  private void place(BackendTlsPolicy policy, Reference target) {
    String name = policy.meta().namespace() + "/" + target.name();
    Optional<Service> service =
        cluster.all(Service.class).stream()
            .filter(s -> s.meta().qualifiedName().equals(name))
            .findFirst();
    String section = target.sectionName().orElse("");
    if (!target.group().isEmpty() || !target.kind().equals("Service")) {
      warning(
          target, "targets of kind " + target.kind() + " are nothing that Weir dials", "Service");
    } else if (service.isEmpty()) {
      warning(target, "there is no Service " + name, "add it, or name another");
    } else if (!section.isEmpty()
        && service.get().ports().stream().noneMatch(p -> p.name().equals(section))) {
      warning(target, "Service " + name + " has no port " + section, "name one of its ports");
    } else {
      BackendTlsPolicy other = byTarget.putIfAbsent(name + " " + section, policy);
      if (other != null) {
        warning(
            target,
            "has no effect: the older " + other.id() + " says how " + name + " is dialled",
            "remove one of the two");
      }
    }
  }

  private void warning(Reference target, String message, String remedy) {
    diagnostics.warning(target.at(), target.field(), message, remedy);
  }

  /** How a port of a service is dialled; empty for plain text. A port's own policy goes first. */
  Optional<BackendTls> of(Service service, Service.Port port) {
    String name = service.meta().qualifiedName() + " ";
    BackendTlsPolicy own = byTarget.get(name + port.name());
    BackendTlsPolicy policy = own != null ? own : byTarget.get(name);
    if (policy == null) {
      return Optional.empty();
    }
    List<String> authorities = new ArrayList<>();
    for (Reference reference : policy.authorities()) {
      authority(policy, reference).ifPresent(authorities::add);
    }
    return Optional.of(
        new BackendTls(
            policy.hostname(), policy.subjectAltNames(), policy.systemTrust(), authorities));
  }

  private Optional<String> authority(BackendTlsPolicy policy, Reference reference) {
    String name = policy.meta().namespace() + "/" + reference.name();
    if (!reference.group().isEmpty() || !reference.kind().equals("ConfigMap")) {
      warning(
          reference,
          "authorities of kind " + reference.kind() + " are not known: connections fail",
          "a ConfigMap with ca.crt");
      return Optional.empty();
    }
    Optional<String> found =
        cluster.all(ConfigMap.class).stream()
            .filter(c -> c.meta().qualifiedName().equals(name))
            .map(ConfigMap::certificatesPem)
            .findFirst();
    if (found.isEmpty() || !found.get().contains("-----BEGIN CERTIFICATE-----")) {
      warning(
          reference,
          found.isEmpty()
              ? "no ConfigMap " + name + " with ca.crt is among the files: connections fail"
              : "ca.crt of ConfigMap " + name + " holds no PEM certificate: connections fail",
          "put the authority's certificate there as PEM");
      return Optional.empty();
    }
    return found;
  }
}
