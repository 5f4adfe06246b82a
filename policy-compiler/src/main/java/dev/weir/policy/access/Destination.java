// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.access;

import dev.weir.policy.model.Workload;
import dev.weir.policy.plan.Protocol;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * Whom a question is about; nobody need have declared it.
 *
 * @param namespace of the workload; empty when not told: then policies of every namespace can be
 *     about it
 * @param labels of the workload
 * @param service name of the Service that was asked for; empty when none
 * @param port of the workload; -1 when not told
 * @param listening what is known of its ports; empty when nothing is
 */
public record Destination(
    String namespace,
    Map<String, String> labels,
    String service,
    int port,
    Optional<Listening> listening) {
  /** Copies the map. */
  public Destination {
    labels = Map.copyOf(labels);
  }

  /** One of whose ports nothing is known. */
  public Destination(String namespace, Map<String, String> labels, String service, int port) {
    this(namespace, labels, service, port, Optional.empty());
  }

  /**
   * What is known of a workload's ports.
   *
   * @param protocol that is asked about
   * @param ports with their names
   */
  public record Listening(Protocol protocol, List<Workload.Port> ports) {
    /** Copies the list. */
    public Listening {
      ports = List.copyOf(ports);
    }
  }
}
