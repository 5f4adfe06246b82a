// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.outbound;

import dev.weir.proxy.loop.Loop;
import dev.weir.proxy.observe.Peer;
import dev.weir.proxy.upstream.Endpoint;
import java.util.List;

/** One port of a service as a destination, in one generation. */
public final class Cluster {

  private final String name;
  private final ServiceName service;
  private final List<Target> targets;
  private final int[] next;
  private final RetryBudget retryBudget;

  /**
   * A service as metrics name it.
   *
   * @param host {@code name.namespace.svc.cluster.local}
   * @param name first part
   * @param namespace second part
   */
  public record ServiceName(String host, String name, String namespace) {

    /** None. */
    public static final ServiceName UNKNOWN =
        new ServiceName(Peer.UNKNOWN, Peer.UNKNOWN, Peer.UNKNOWN);

    /** Of a service's name and namespace. */
    public static ServiceName of(String name, String namespace) {
      return new ServiceName(name + "." + namespace + ".svc.cluster.local", name, namespace);
    }

    /** As the destination of a request that reached no backend. */
    public Peer peer() {
      return new Peer(Peer.UNKNOWN, namespace, Peer.UNKNOWN, Peer.UNKNOWN);
    }
  }

  Cluster(
      String name, ServiceName service, List<Target> targets, int loops, RetryBudget retryBudget) {
    this.name = name;
    this.service = service;
    this.targets = targets;
    this.next = new int[loops];
    this.retryBudget = retryBudget;
  }

  /** {@code namespace/service:port}. */
  public String name() {
    return name;
  }

  /** As metrics name it. */
  public ServiceName service() {
    return service;
  }

  /** Its backends. */
  List<Target> targets() {
    return targets;
  }

  /** Number of backends. */
  public int size() {
    return targets.size();
  }

  /** Who of its requests may be tried again. */
  public RetryBudget retryBudget() {
    return retryBudget;
  }

  /**
   * The next backend in turn on this loop that was not tried yet; when all of them were, one that
   * is not the one tried last; when there is only that one, that one.
   *
   * @param tried endpoints, the last one last
   */
  public Target pick(Loop loop, List<Endpoint> tried) {
    Target picked = pick(loop);
    Target second = picked;
    for (int i = 0; i < targets.size() && !tried.isEmpty(); i++) {
      if (!tried.contains(picked.endpoint())) {
        return picked;
      }
      if (second.endpoint() == tried.getLast()) {
        second = picked;
      }
      picked = pick(loop);
    }
    return second;
  }

  /** The next backend in turn on this loop; only when there is one. */
  public Target pick(Loop loop) {
    int turn = next[loop.index()];
    next[loop.index()] = turn + 1 >= targets.size() ? 0 : turn + 1;
    return targets.get(turn);
  }
}
