// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.outbound;

/**
 * A port of a workload of this node, as those see it who come by a tunnel.
 *
 * @param target it leads to
 * @param connections where it is enough to know who connects
 * @param requests where policies look at requests
 */
public record Inbound(Target target, Entrance connections, Entrance requests) {

  /** Which of the two it is for somebody: of requests where a verdict leaves it to them. */
  public Entrance entrance(Source source) {
    return source.inspected(target) ? requests : connections;
  }
}
