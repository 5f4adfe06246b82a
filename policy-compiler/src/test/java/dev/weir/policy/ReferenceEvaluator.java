// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy;

import dev.weir.policy.model.Block;
import dev.weir.policy.model.LabelSelector;
import dev.weir.policy.model.Mesh;
import dev.weir.policy.model.Namespace;
import dev.weir.policy.model.NetworkPolicy;
import dev.weir.policy.model.NetworkPolicy.Clause;
import dev.weir.policy.model.NetworkPolicy.Peer;
import dev.weir.policy.model.PortReference;
import dev.weir.policy.model.Resource;
import dev.weir.policy.model.Workload;
import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Protocol;
import java.math.BigInteger;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * NetworkPolicy as the API describes it, slow and obvious. Shares nothing with the compiler but the
 * records of {@code model}.
 */
final class ReferenceEvaluator {

  /** One side of a connection: exactly one of the three. */
  record Side(Optional<Workload> workload, Optional<Address> outside, String reserved) {
    static Side of(Workload workload) {
      return new Side(Optional.of(workload), Optional.empty(), "");
    }

    static Side of(Address address) {
      return new Side(Optional.empty(), Optional.of(address), "");
    }

    static Side unknown() {
      return new Side(Optional.empty(), Optional.empty(), "unknown");
    }

    static Side host() {
      return new Side(Optional.empty(), Optional.empty(), "host");
    }
  }

  private final List<Resource> resources;
  private final boolean defaultDeny;

  ReferenceEvaluator(List<Resource> resources) {
    this.resources = resources;
    this.defaultDeny =
        resources.stream().anyMatch(r -> r instanceof Mesh mesh && mesh.defaultDeny());
  }

  /** The source's egress must allow it, and the destination's ingress. */
  boolean allowed(Side from, Side to, Protocol protocol, int port) {
    // The node's own processes are governed only if Mesh says so; these tests never do.
    return from.reserved().equals("host")
        || egress(from, to, protocol, port) && ingress(from, to, protocol, port);
  }

  private boolean egress(Side from, Side to, Protocol protocol, int port) {
    if (from.workload().isEmpty()) {
      return !(defaultDeny && from.reserved().equals("unknown"));
    }
    boolean isolated = defaultDeny;
    for (Resource resource : resources) {
      if (resource instanceof NetworkPolicy policy
          && policy.isolatesEgress()
          && selects(policy, from.workload().get())) {
        isolated = true;
        for (Clause clause : policy.egress()) {
          if (peer(policy, clause, to) && port(clause, to, protocol, port)) {
            return true;
          }
        }
      }
    }
    return !isolated;
  }

  private boolean ingress(Side from, Side to, Protocol protocol, int port) {
    if (to.workload().isEmpty()) {
      return !(defaultDeny && to.reserved().equals("unknown"));
    }
    boolean isolated = defaultDeny;
    for (Resource resource : resources) {
      if (resource instanceof NetworkPolicy policy
          && policy.isolatesIngress()
          && selects(policy, to.workload().get())) {
        isolated = true;
        for (Clause clause : policy.ingress()) {
          if (peer(policy, clause, from) && port(clause, to, protocol, port)) {
            return true;
          }
        }
      }
    }
    return !isolated;
  }

  private static boolean selects(NetworkPolicy policy, Workload workload) {
    return policy.meta().namespace().equals(workload.meta().namespace())
        && matches(policy.podSelector(), workload.meta().labels());
  }

  private boolean peer(NetworkPolicy policy, Clause clause, Side other) {
    if (clause.peers().isEmpty()) {
      return true;
    }
    for (Peer peer : clause.peers()) {
      if (peer instanceof Peer.Addresses addresses) {
        if (other.outside().isPresent() && inBlocks(addresses, other.outside().get())) {
          return true;
        }
        if (other.reserved().equals("host")
            && (inBlocks(addresses, Address.LOOPBACK4) || inBlocks(addresses, Address.LOOPBACK6))) {
          return true;
        }
      }
      if (peer instanceof Peer.Pods pods && other.workload().isPresent()) {
        Workload workload = other.workload().get();
        boolean namespace =
            pods.namespaces().isPresent()
                ? matches(pods.namespaces().get(), namespaceLabels(workload.meta().namespace()))
                : workload.meta().namespace().equals(policy.meta().namespace());
        boolean labels =
            pods.pods().isEmpty() || matches(pods.pods().get(), workload.meta().labels());
        if (namespace && labels) {
          return true;
        }
      }
    }
    return false;
  }

  private Map<String, String> namespaceLabels(String name) {
    Map<String, String> labels = new HashMap<>();
    for (Resource resource : resources) {
      if (resource instanceof Namespace namespace && namespace.meta().name().equals(name)) {
        labels.putAll(namespace.meta().labels());
      }
    }
    labels.put("kubernetes.io/metadata.name", name);
    return labels;
  }

  private static boolean inBlocks(Peer.Addresses addresses, Address address) {
    return in(addresses.block(), address)
        && addresses.except().stream().noneMatch(e -> in(e, address));
  }

  private static boolean in(Block block, Address address) {
    int rest = 128 - block.length();
    boolean four = block.length() >= 96 && block.address().isV4();
    return four == address.isV4()
        && new BigInteger(1, address.bytes())
            .shiftRight(rest)
            .equals(new BigInteger(1, block.address().bytes()).shiftRight(rest));
  }

  private static boolean matches(LabelSelector selector, Map<String, String> labels) {
    boolean all = labels.entrySet().containsAll(selector.matchLabels().entrySet());
    for (LabelSelector.Requirement requirement : selector.matchExpressions()) {
      Optional<String> value = Optional.ofNullable(labels.get(requirement.key()));
      boolean among = value.isPresent() && requirement.values().contains(value.get());
      all &=
          switch (requirement.operator()) {
            case IN -> among;
            case NOT_IN -> !among;
            case EXISTS -> value.isPresent();
            case DOES_NOT_EXIST -> value.isEmpty();
          };
    }
    return all;
  }

  private static boolean port(Clause clause, Side to, Protocol protocol, int port) {
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
      if (wanted.port().get() instanceof PortReference.Numbers numbers
          && port >= numbers.first()
          && port <= numbers.last()) {
        return true;
      }
      if (wanted.port().get() instanceof PortReference.Named named && to.workload().isPresent()) {
        for (Workload.Port own : to.workload().get().ports()) {
          if (own.name().equals(named.name()) && own.protocol() == protocol && own.port() == port) {
            return true;
          }
        }
      }
    }
    return false;
  }
}
