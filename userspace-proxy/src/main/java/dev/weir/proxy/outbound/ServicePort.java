// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.outbound;

import java.util.Map;
import java.util.stream.Stream;

/**
 * What is served at a port of a Service, in one generation. Routes of a namespace other than the
 * Service's (consumer routes) are for the clients there, who then get them and nothing of what
 * everybody else gets.
 *
 * @param everybody for clients of whatever namespace has no routes of its own
 * @param consumers the others, by namespace
 */
record ServicePort(Entrance everybody, Map<String, Entrance> consumers) {

  /** Copies the map. */
  ServicePort {
    consumers = Map.copyOf(consumers);
  }

  /** The same for all clients. */
  ServicePort(Entrance everybody) {
    this(everybody, Map.of());
  }

  /**
   * What clients of a namespace get.
   *
   * @param namespace empty for whoever has none
   */
  Entrance of(String namespace) {
    return consumers.getOrDefault(namespace, everybody);
  }

  Stream<Entrance> all() {
    return Stream.concat(Stream.of(everybody), consumers.values().stream());
  }
}
