// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.steer;

import dev.weir.policy.cluster.Cluster;
import dev.weir.policy.model.Service;
import dev.weir.policy.source.Diagnostics;
import dev.weir.policy.source.Purpose;
import java.util.Comparator;
import java.util.SortedMap;
import java.util.SortedSet;
import java.util.TreeMap;

/**
 * Somebody to whom a service leads.
 *
 * @param name {@code namespace/name[Kind]} of a workload, else an address
 * @param port of it
 */
public record Led(String name, int port) implements Comparable<Led> {

  private static final Comparator<Led> ORDER =
      Comparator.comparing(Led::name).thenComparingInt(Led::port);

  /**
   * Who gets the connections to each port of each service, wherever they are.
   *
   * @return by {@code namespace/name[Service] TCP 80}
   */
  public static SortedMap<String, SortedSet<Led>> by(Cluster cluster) {
    Backends backends = new Backends(cluster, new Grants(cluster), new Diagnostics(Purpose.ASK));
    SortedMap<String, SortedSet<Led>> all = new TreeMap<>();
    for (int s = 0; s < backends.services().size(); s++) {
      Service service = backends.services().get(s);
      for (int p = 0; p < service.ports().size(); p++) {
        Service.Port port = service.ports().get(p);
        all.put(
            service.meta().qualifiedName() + "[Service] " + port.protocol() + " " + port.port(),
            backends.led(new Backing(s, p)));
      }
    }
    return all;
  }

  @Override
  public int compareTo(Led other) {
    return ORDER.compare(this, other);
  }

  /** {@code namespace/name[Kind] 80}. */
  @Override
  public String toString() {
    return name + " " + port;
  }
}
