// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import dev.weir.node.bpf.SystemCalls;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/**
 * {@link ReservedPorts} in network namespaces that are workloads' own, each with a file of its own.
 * It costs a walk over all namespaces, but only where something is to be changed. The caller of
 * what changes something holds the lock of the run directory.
 */
final class PodReservations {

  private final RunFiles files;
  private final Optional<Path> node;
  private volatile Optional<Map<Long, BitSet>> made = Optional.empty();

  /**
   * Of one mesh.
   *
   * @param files where it is written down what we added
   * @param node the node's own namespace; empty for the caller's
   */
  PodReservations(RunFiles files, Optional<Path> node) {
    this.files = files;
    this.node = node;
  }

  /** Somebody else may have changed what is reserved: all of it is to be looked at again. */
  void forget() {
    made = Optional.empty();
  }

  /** Whether this process has last reserved just these ports. */
  boolean made(Map<Long, BitSet> ports) {
    return made.equals(Optional.of(ports));
  }

  /**
   * Reserves ports, and none of ours any more in all other namespaces.
   *
   * @param ports of each namespace, by cookie; of one that is gone they are forgotten
   * @return what could not be done, one sentence each
   */
  List<String> reserve(Map<Long, BitSet> ports) {
    if (made(ports)) {
      return List.of();
    }
    Set<Long> before = files.podsWithReservedPorts();
    Map<Long, BitSet> there = new ConcurrentHashMap<>();
    List<String> failures = Collections.synchronizedList(new ArrayList<>());
    if (!ports.isEmpty() || !before.isEmpty()) {
      new Namespaces(node, failures::add)
          .everywhere(
              () -> {
                long cookie = SystemCalls.netnsCookie(Optional.empty());
                BitSet own = ports.get(cookie);
                ReservedPorts here =
                    new ReservedPorts(files.reservedPorts(cookie), Optional.empty());
                if (own != null) {
                  here.reserve(own).ifPresent(failures::add);
                  there.put(cookie, own);
                } else if (before.contains(cookie)) {
                  here.restore();
                }
              });
      for (long cookie : before) {
        if (!there.containsKey(cookie)) {
          DurableFile.remove(files.reservedPorts(cookie)); // gone, and what was reserved with it
        }
      }
    }
    // Where nobody could be found to enter by is to be tried again.
    made = failures.isEmpty() ? Optional.of(new HashMap<>(there)) : Optional.empty();
    return failures.stream().distinct().toList();
  }
}
