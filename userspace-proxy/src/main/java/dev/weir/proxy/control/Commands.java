// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.control;

import dev.weir.policy.plan.ProxyUpdate;
import dev.weir.proxy.outbound.UpdateRefusedException;

/** What may be asked of the proxy. Called on the control thread, one at a time. */
public interface Commands {

  /**
   * Puts an update in force, all of it or nothing.
   *
   * @throws UpdateRefusedException when it cannot be; the previous one is still in force
   */
  void update(ProxyUpdate update) throws UpdateRefusedException;

  /** How things are, as JSON. */
  String status();

  /** Counts, as Prometheus text. */
  String metrics();

  /**
   * Says in which other network namespaces workloads live: what listens in others is closed.
   *
   * @param cookies of the namespaces
   * @return where is listened, as JSON: {@code {"listening": [cookies]}}; for those that are
   *     missing, sockets are to be handed over
   */
  String namespaces(java.util.Set<Long> cookies);

  /**
   * Takes over a socket that listens in another network namespace.
   *
   * @param descriptor the callee's from now on
   */
  void adopt(int descriptor);

  /**
   * Sends every socket that listens to a successor; both serve them until this one drains.
   *
   * @param path the successor's Unix socket for descriptors
   * @throws java.io.IOException when they were not taken; nothing has changed then
   */
  void handOver(java.nio.file.Path path) throws java.io.IOException;

  /**
   * Begins to end: nothing new is accepted, what is in flight gets this long.
   *
   * @param millis at least 0
   */
  void drain(long millis);

  /** The backends that are on trial, as JSON: {@code {"canaries": [...]}}. */
  String canaries();

  /**
   * Gives canaries that were rolled back their weight again.
   *
   * @param route {@code namespace/name}
   * @param backend {@code namespace/service}; empty for all of the route
   * @return how many that were
   */
  int release(String route, String backend);
}
