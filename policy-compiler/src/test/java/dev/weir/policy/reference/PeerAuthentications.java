// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.reference;

import dev.weir.policy.model.Mesh;
import dev.weir.policy.model.PeerAuthentication;
import dev.weir.policy.model.PeerAuthentication.Mode;
import dev.weir.policy.model.Resource;
import dev.weir.policy.model.Workload;
import dev.weir.policy.plan.Protocol;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;

/** Column (4) of the table. */
final class PeerAuthentications {

  private final List<Resource> resources;
  private final Mesh mesh;

  PeerAuthentications(List<Resource> resources, Mesh mesh) {
    this.resources = resources;
    this.mesh = mesh;
  }

  boolean refuses(Party from, Party to, Protocol protocol, int port) {
    Optional<Workload> destination = NetworkPolicies.workload(to);
    boolean plainFromElsewhere =
        from instanceof Party.Outside || from instanceof Party.TrustedAddress;
    return destination.isPresent()
        && protocol == Protocol.TCP
        && plainFromElsewhere
        && mode(destination.get(), port) == Mode.STRICT;
  }

  private Mode mode(Workload destination, int port) {
    String namespace = destination.meta().namespace();
    List<PeerAuthentication> all = new ArrayList<>();
    for (Resource resource : resources) {
      if (resource instanceof PeerAuthentication policy) {
        all.add(policy);
      }
    }
    all.sort(
        Comparator.comparing((PeerAuthentication p) -> age(p)).thenComparing(p -> p.meta().name()));
    // With a selector.
    for (PeerAuthentication policy : all) {
      if (policy.selector().isPresent()
          && !empty(policy)
          && policy.meta().namespace().equals(namespace)
          && Labels.match(policy.selector().get(), destination.meta().labels())) {
        Mode ofPort = policy.ports().getOrDefault(port, Mode.UNSET);
        if (ofPort != Mode.UNSET) {
          return ofPort;
        }
        if (policy.mode() != Mode.UNSET) {
          return policy.mode();
        }
        break; // Only the oldest counts.
      }
    }
    for (String place : List.of(namespace, mesh.rootNamespace())) {
      for (PeerAuthentication policy : all) {
        if (empty(policy) && policy.meta().namespace().equals(place)) {
          if (policy.mode() != Mode.UNSET) {
            return policy.mode();
          }
          break;
        }
      }
    }
    return Mode.PERMISSIVE;
  }

  /** Those without a timestamp are the youngest. */
  private static String age(PeerAuthentication policy) {
    return policy.meta().created().isEmpty() ? "9999" : policy.meta().created();
  }

  private static boolean empty(PeerAuthentication policy) {
    return policy.selector().isEmpty()
        || policy.selector().get().matchLabels().isEmpty()
            && policy.selector().get().matchExpressions().isEmpty();
  }
}
