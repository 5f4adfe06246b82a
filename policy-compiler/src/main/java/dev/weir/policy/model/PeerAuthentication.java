// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import java.util.Map;
import java.util.Optional;

/**
 * A {@code security.istio.io PeerAuthentication}: whether remote peers must come by mutual TLS.
 * Peers on this node are authenticated by their cgroup and send nothing over a wire.
 *
 * <p>Source: Istio, PeerAuthentication reference. The narrowest one counts: with a selector, of the
 * namespace, of the root namespace; of several equal ones the oldest.
 *
 * @param meta name and place
 * @param selector workloads it is about; absent: all of its namespace, or of every namespace when
 *     it lies in the root namespace
 * @param mode for every port
 * @param ports for one port of the workload instead
 */
public record PeerAuthentication(
    Meta meta, Optional<LabelSelector> selector, Mode mode, Map<Integer, Mode> ports)
    implements Resource {

  /** Copies the map. */
  public PeerAuthentication {
    ports = Map.copyOf(ports);
  }

  @Override
  public String kind() {
    return "PeerAuthentication";
  }

  /** What is demanded of a remote peer. */
  public enum Mode {
    /** What the next wider one says; without any, as {@link #PERMISSIVE}. */
    UNSET,
    /** Plain text only. */
    DISABLE,
    /** Plain text or mutual TLS. */
    PERMISSIVE,
    /** Mutual TLS only. */
    STRICT
  }
}
