// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.access;

import java.util.Map;

/**
 * Whom a question is about; nobody need have declared it.
 *
 * @param namespace of the workload; empty when not told: then policies of every namespace can be
 *     about it
 * @param labels of the workload
 * @param service name of the Service that was asked for; empty when none
 * @param port of the workload; -1 when not told
 */
public record Destination(String namespace, Map<String, String> labels, String service, int port) {
  /** Copies the map. */
  public Destination {
    labels = Map.copyOf(labels);
  }
}
