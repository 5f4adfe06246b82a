// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.lint;

import dev.weir.policy.cluster.Cluster;
import dev.weir.policy.model.NetworkPolicy;
import dev.weir.policy.model.NetworkPolicy.Clause;
import dev.weir.policy.model.NetworkPolicy.Peer;
import dev.weir.policy.model.NetworkPolicy.Port;
import dev.weir.policy.model.PortReference;
import dev.weir.policy.model.Workload;
import dev.weir.policy.source.Lint;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeSet;

/** About NetworkPolicies. */
final class NetworkPolicyLints {

  private final Cluster cluster;
  private final Findings findings;

  NetworkPolicyLints(Cluster cluster, Findings findings) {
    this.cluster = cluster;
    this.findings = findings;
  }

  void run() {
    Map<Object, NetworkPolicy> seen = new HashMap<>();
    for (NetworkPolicy policy : cluster.all(NetworkPolicy.class)) {
      duplicate(policy, seen);
      // Files that declare nobody are a part of something; who is selected is not known here.
      int[] selected = cluster.select(policy.meta().namespace(), policy.podSelector());
      if (!cluster.workloads().isEmpty()) {
        target(policy, selected);
      }
      if (policy.isolatesIngress()) {
        clauses(policy, "ingress", "from", policy.ingress(), selected);
      }
      if (policy.isolatesEgress()) {
        clauses(policy, "egress", "to", policy.egress(), selected);
      }
    }
  }

  private void target(NetworkPolicy policy, int[] selected) {
    if (selected.length == 0) {
      findings.add(
          Lint.SELECTS_NOBODY,
          policy,
          policy.podSelector().at(),
          "spec.podSelector",
          "selects nobody in namespace " + policy.meta().namespace() + ": the policy has no effect",
          "check labels and namespace");
      return;
    }
    Optional<Workload> shared =
        Arrays.stream(selected)
            .mapToObj(cluster.workloads()::get)
            .filter(Workload::hostNetwork)
            .findFirst();
    if (shared.isPresent()) {
      findings.add(
          Lint.HOST_NETWORK,
          policy,
          policy.podSelector().at(),
          "spec.podSelector",
          "selects "
              + shared.get().id()
              + " in its node's network: where Weir does not run it, nothing tells it from the"
              + " node",
          "do not rely on the policy there");
    }
    if (policy.podSelector().isEmpty() && policy.isolatesIngress() && !policy.ingress().isEmpty()) {
      findings.add(
          Lint.WIDE,
          policy,
          policy.podSelector().at(),
          "spec.podSelector",
          "is empty: the ingress rules open every pod of namespace " + policy.meta().namespace(),
          "select the pods that are meant");
    }
  }

  private void clauses(
      NetworkPolicy policy, String direction, String key, List<Clause> clauses, int[] selected) {
    for (int i = 0; i < clauses.size(); i++) {
      Clause clause = clauses.get(i);
      String field = "spec." + direction + "[" + i + "]";
      wide(policy, clause, field, key);
      if (!cluster.workloads().isEmpty()) {
        peers(policy, clause, field, key, selected, direction.equals("ingress"));
      }
    }
  }

  private void wide(NetworkPolicy policy, Clause clause, String field, String key) {
    // egress: [{}] is how everybody writes that only ingress is meant to be closed.
    boolean plain = clause.peers().isEmpty() && key.equals("to");
    if (clause.ports().isEmpty() && !plain) {
      findings.add(
          Lint.WIDE,
          policy,
          clause.at(),
          field,
          clause.peers().isEmpty()
              ? "names neither peers nor ports: it opens everything to everybody"
              : "names no ports: it opens every port of every protocol",
          "name the ports that are meant");
    }
    for (int j = 0; j < clause.peers().size(); j++) {
      Peer peer = clause.peers().get(j);
      String message =
          switch (peer) {
            case Peer.Addresses addresses ->
                addresses.block().toString().endsWith("/0")
                    ? addresses.block()
                        + " holds every address outside"
                        + (addresses.except().isEmpty() ? "" : " but the exceptions")
                    : "";
            case Peer.Pods pods -> {
              boolean anyPod = pods.pods().map(s -> s.isEmpty()).orElse(true);
              boolean anyNamespace = pods.namespaces().map(s -> s.isEmpty()).orElse(false);
              yield anyNamespace && anyPod
                  ? "selects every pod of every namespace"
                  : pods.namespaces().isEmpty() && anyPod
                      ? "an empty podSelector selects every pod of namespace "
                          + policy.meta().namespace()
                      : "";
            }
          };
      if (!message.isEmpty()) {
        findings.add(
            Lint.WIDE,
            policy,
            peer.at(),
            field + "." + key + "[" + j + "]",
            message,
            "name who is meant");
      }
    }
  }

  private void peers(
      NetworkPolicy policy,
      Clause clause,
      String field,
      String key,
      int[] selected,
      boolean ingress) {
    TreeSet<Integer> found = new TreeSet<>();
    boolean addresses = false;
    List<Integer> nobody = new ArrayList<>();
    for (int j = 0; j < clause.peers().size(); j++) {
      switch (clause.peers().get(j)) {
        case Peer.Addresses block -> addresses = true;
        case Peer.Pods pods -> {
          int[] workloads = cluster.select(policy.meta().namespace(), pods);
          if (workloads.length == 0) {
            nobody.add(j);
          }
          Arrays.stream(workloads).forEach(found::add);
        }
      }
    }
    if (!clause.peers().isEmpty() && nobody.size() == clause.peers().size()) {
      findings.add(
          Lint.NEVER_MATCHES,
          policy,
          clause.at(),
          field,
          "can never match: its peers select nobody",
          "check labels and namespaces");
      return;
    }
    for (int j : nobody) {
      findings.add(
          Lint.SELECTS_NOBODY,
          policy,
          clause.peers().get(j).at(),
          field + "." + key + "[" + j + "]",
          "selects nobody",
          "check labels and namespaces");
    }
    if (ingress ? selected.length > 0 : !clause.peers().isEmpty() && !addresses) {
      names(policy, clause, field, ingress ? Arrays.stream(selected).boxed().toList() : found);
    }
  }

  /** A name means what the destination calls so; nobody who could be the destination may. */
  private void names(
      NetworkPolicy policy, Clause clause, String field, Iterable<Integer> destinations) {
    for (int p = 0; p < clause.ports().size(); p++) {
      Port port = clause.ports().get(p);
      if (port.port().isEmpty() || !(port.port().get() instanceof PortReference.Named named)) {
        continue;
      }
      boolean known = false;
      for (int w : destinations) {
        known |=
            cluster.workloads().get(w).ports().stream()
                .anyMatch(o -> o.name().equals(named.name()) && o.protocol() == port.protocol());
      }
      if (!known) {
        findings.add(
            Lint.NEVER_MATCHES,
            policy,
            port.at(),
            field + ".ports[" + p + "].port",
            "can never match: no destination has a "
                + port.protocol()
                + " port named \""
                + named.name()
                + "\"",
            "check the name and protocol, or write the number");
      }
    }
  }

  private void duplicate(NetworkPolicy policy, Map<Object, NetworkPolicy> seen) {
    List<Object> key =
        List.of(
            policy.meta().namespace(),
            policy.podSelector().matchLabels(),
            policy.podSelector().matchExpressions(),
            policy.isolatesIngress(),
            policy.isolatesEgress(),
            policy.ingress().stream().map(NetworkPolicyLints::placeless).toList(),
            policy.egress().stream().map(NetworkPolicyLints::placeless).toList(),
            policy.audit());
    NetworkPolicy other = seen.putIfAbsent(key, policy);
    if (other != null) {
      findings.add(
          Lint.DUPLICATE,
          policy,
          policy.meta().at(),
          "spec",
          "says the same as " + other.id() + " at " + other.meta().at(),
          "remove one of the two");
    }
  }

  private static Object placeless(Clause clause) {
    return List.of(
        clause.peers().stream()
            .map(
                peer ->
                    switch (peer) {
                      case Peer.Addresses a -> List.of(a.block(), a.except());
                      case Peer.Pods p ->
                          List.of(
                              p.namespaces()
                                  .map(s -> List.of(s.matchLabels(), s.matchExpressions())),
                              p.pods().map(s -> List.of(s.matchLabels(), s.matchExpressions())));
                    })
            .toList(),
        clause.ports().stream().map(p -> List.of(p.protocol(), p.port())).toList());
  }
}
