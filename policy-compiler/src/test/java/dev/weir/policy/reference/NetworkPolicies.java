// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.reference;

import dev.weir.policy.model.Mesh;
import dev.weir.policy.model.NetworkPolicy;
import dev.weir.policy.model.NetworkPolicy.Clause;
import dev.weir.policy.model.NetworkPolicy.Peer;
import dev.weir.policy.model.PortReference;
import dev.weir.policy.model.Resource;
import dev.weir.policy.model.Workload;
import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.Settings.Direction;
import dev.weir.policy.plan.Settings.ManagementRule;
import java.util.List;
import java.util.Optional;

/** Columns (1) and (2) of the table. */
final class NetworkPolicies {

  private final List<Resource> resources;
  private final Mesh mesh;

  NetworkPolicies(List<Resource> resources, Mesh mesh) {
    this.resources = resources;
    this.mesh = mesh;
  }

  Outcome egress(Party from, Party to, Protocol protocol, int port) {
    return switch (from) {
      case Party.Declared(Workload workload) ->
          side(Direction.EGRESS, workload, to, to, protocol, port);
      // What is elsewhere is governed elsewhere, yet a policy that selects it is a policy.
      case Party.TrustedAddress(Workload workload, Address at) ->
          side(Direction.EGRESS, workload, to, to, protocol, port);
      case Party.Outside outside -> Outcome.ALLOW;
      case Party.Unknown unknown -> mesh.defaultDeny() ? Outcome.REFUSE : Outcome.ALLOW;
      case Party.Host host ->
          mesh.hostGoverned()
                  && mesh.defaultDeny()
                  && !managed(mesh, Direction.EGRESS, protocol, port)
              ? Outcome.REFUSE
              : Outcome.ALLOW;
    };
  }

  Outcome ingress(Party from, Party to, Protocol protocol, int port) {
    return switch (to) {
      case Party.Declared(Workload workload) ->
          side(Direction.INGRESS, workload, from, to, protocol, port);
      case Party.TrustedAddress(Workload workload, Address at) ->
          side(Direction.INGRESS, workload, from, to, protocol, port);
      case Party.Outside outside -> Outcome.ALLOW;
      case Party.Unknown unknown -> mesh.defaultDeny() ? Outcome.REFUSE : Outcome.ALLOW;
      case Party.Host host ->
          mesh.hostGoverned()
                  && mesh.defaultDeny()
                  && !managed(mesh, Direction.INGRESS, protocol, port)
              ? Outcome.REFUSE
              : Outcome.ALLOW;
    };
  }

  static boolean managed(Mesh mesh, Direction direction, Protocol protocol, int port) {
    for (ManagementRule rule : mesh.management()) {
      if (rule.direction() == direction
          && rule.protocol() == protocol
          && (rule.port() == 0 || rule.port() == port)) {
        return true;
      }
    }
    return false;
  }

  private Outcome side(
      Direction direction,
      Workload subject,
      Party other,
      Party destination,
      Protocol protocol,
      int port) {
    boolean enforced = mesh.defaultDeny();
    boolean enforcedAllows = false;
    boolean audited = false;
    boolean auditedAllows = false;
    for (Resource resource : resources) {
      if (resource instanceof NetworkPolicy policy && selects(policy, direction, subject)) {
        boolean allows = allows(policy, direction, other, destination, protocol, port);
        if (policy.audit()) {
          audited = true;
          auditedAllows |= allows;
        } else {
          enforced = true;
          enforcedAllows |= allows;
        }
      }
    }
    if (enforced) {
      return enforcedAllows ? Outcome.ALLOW : Outcome.REFUSE;
    }
    if (audited) {
      return auditedAllows ? Outcome.ALLOW : Outcome.AUDIT;
    }
    return Outcome.ALLOW;
  }

  private static boolean selects(NetworkPolicy policy, Direction direction, Workload workload) {
    boolean isolates =
        switch (direction) {
          case INGRESS -> policy.isolatesIngress();
          case EGRESS -> policy.isolatesEgress();
        };
    return isolates
        && policy.meta().namespace().equals(workload.meta().namespace())
        && Labels.match(policy.podSelector(), workload.meta().labels());
  }

  private boolean allows(
      NetworkPolicy policy,
      Direction direction,
      Party other,
      Party destination,
      Protocol protocol,
      int port) {
    List<Clause> clauses = direction == Direction.INGRESS ? policy.ingress() : policy.egress();
    for (Clause clause : clauses) {
      if (namesPeer(policy, clause, other) && namesPort(clause, destination, protocol, port)) {
        return true;
      }
    }
    return false;
  }

  private boolean namesPeer(NetworkPolicy policy, Clause clause, Party other) {
    if (clause.peers().isEmpty()) {
      return true;
    }
    for (Peer peer : clause.peers()) {
      boolean named =
          switch (peer) {
            case Peer.Addresses addresses ->
                switch (other) {
                  case Party.Outside(Address address) -> holds(addresses, address);
                  case Party.Host host ->
                      holds(addresses, Address.LOOPBACK4) || holds(addresses, Address.LOOPBACK6);
                  case Party.Declared declared -> false;
                  case Party.TrustedAddress trusted -> false;
                  case Party.Unknown unknown -> false;
                };
            case Peer.Pods pods ->
                switch (other) {
                  case Party.Declared(Workload workload) -> selected(policy, pods, workload);
                  case Party.TrustedAddress(Workload workload, Address at) ->
                      selected(policy, pods, workload);
                  case Party.Outside outside -> false;
                  case Party.Host host -> false;
                  case Party.Unknown unknown -> false;
                };
          };
      if (named) {
        return true;
      }
    }
    return false;
  }

  private static boolean holds(Peer.Addresses addresses, Address address) {
    return Blocks.holds(addresses.block(), address)
        && addresses.except().stream().noneMatch(e -> Blocks.holds(e, address));
  }

  private boolean selected(NetworkPolicy policy, Peer.Pods pods, Workload workload) {
    String namespace = workload.meta().namespace();
    boolean inNamespace =
        pods.namespaces().isPresent()
            ? Labels.match(pods.namespaces().get(), Labels.ofNamespace(resources, namespace))
            : namespace.equals(policy.meta().namespace());
    return inNamespace
        && (pods.pods().isEmpty() || Labels.match(pods.pods().get(), workload.meta().labels()));
  }

  private static boolean namesPort(Clause clause, Party destination, Protocol protocol, int port) {
    if (clause.ports().isEmpty()) {
      return true;
    }
    for (NetworkPolicy.Port wanted : clause.ports()) {
      if (wanted.protocol() != protocol) {
        continue;
      }
      if (wanted.port().isEmpty()) {
        return true;
      }
      boolean named =
          switch (wanted.port().get()) {
            case PortReference.Numbers(int first, int last) -> first <= port && port <= last;
            case PortReference.Named(String name) ->
                workload(destination).stream()
                    .flatMap(w -> w.ports().stream())
                    .anyMatch(
                        own ->
                            own.name().equals(name)
                                && own.protocol() == protocol
                                && own.port() == port);
          };
      if (named) {
        return true;
      }
    }
    return false;
  }

  static Optional<Workload> workload(Party party) {
    return switch (party) {
      case Party.Declared(Workload workload) -> Optional.of(workload);
      case Party.TrustedAddress(Workload workload, Address at) -> Optional.of(workload);
      case Party.Outside outside -> Optional.empty();
      case Party.Host host -> Optional.empty();
      case Party.Unknown unknown -> Optional.empty();
    };
  }
}
