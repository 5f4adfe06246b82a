// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.steer;

/**
 * A port of a service, as a destination or as a parent of routes.
 *
 * @param service index
 * @param port index within the service's ports
 */
record Backing(int service, int port) implements Comparable<Backing> {
  @Override
  public int compareTo(Backing other) {
    int byService = Integer.compare(service, other.service);
    return byService != 0 ? byService : Integer.compare(port, other.port);
  }
}
