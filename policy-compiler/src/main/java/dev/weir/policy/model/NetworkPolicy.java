// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import dev.weir.policy.plan.Block;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.source.Position;
import java.util.List;
import java.util.Optional;

/**
 * A {@code networking.k8s.io/v1 NetworkPolicy}.
 *
 * @param meta name and place
 * @param podSelector whom it isolates, within its namespace
 * @param isolatesIngress {@code policyTypes}, defaults applied
 * @param isolatesEgress {@code policyTypes}, defaults applied
 * @param ingress what may reach them
 * @param egress what they may reach
 * @param audit it refuses nothing, what it would refuse is reported ({@code weir.dev/audit})
 */
public record NetworkPolicy(
    Meta meta,
    LabelSelector podSelector,
    boolean isolatesIngress,
    boolean isolatesEgress,
    List<Clause> ingress,
    List<Clause> egress,
    boolean audit)
    implements Resource {
  /** Copies the lists. */
  public NetworkPolicy {
    ingress = List.copyOf(ingress);
    egress = List.copyOf(egress);
  }

  @Override
  public String kind() {
    return "NetworkPolicy";
  }

  /**
   * An ingress or egress rule: any of the peers on any of the ports.
   *
   * @param peers empty means anybody
   * @param ports empty means any port and protocol
   * @param at where it begins
   */
  public record Clause(List<Peer> peers, List<Port> ports, Position at) {
    /** Copies the lists. */
    public Clause {
      peers = List.copyOf(peers);
      ports = List.copyOf(ports);
    }
  }

  /** The other side of a connection. */
  public sealed interface Peer {
    /** Where it was written. */
    Position at();

    /**
     * Workloads.
     *
     * @param namespaces of which namespaces; absent means the policy's own
     * @param pods which of them; absent means all
     * @param at where
     */
    record Pods(Optional<LabelSelector> namespaces, Optional<LabelSelector> pods, Position at)
        implements Peer {}

    /**
     * Addresses outside the mesh.
     *
     * @param block these
     * @param except but not these
     * @param at where
     */
    record Addresses(Block block, List<Block> except, Position at) implements Peer {
      /** Copies the list. */
      public Addresses {
        except = List.copyOf(except);
      }
    }
  }

  /**
   * Ports of one protocol.
   *
   * @param protocol transport
   * @param port absent means all
   * @param at where
   */
  public record Port(Protocol protocol, Optional<PortReference> port, Position at) {}
}
