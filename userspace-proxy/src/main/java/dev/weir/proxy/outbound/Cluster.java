// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.outbound;

import dev.weir.policy.route.BackendProtocol;
import dev.weir.proxy.loop.Loop;
import dev.weir.proxy.observe.Peer;
import dev.weir.proxy.resilience.CircuitBreaker;
import dev.weir.proxy.resilience.ClusterHealth;
import dev.weir.proxy.upstream.Endpoint;
import java.util.List;

/** One port of a service as a destination, in one generation. */
public final class Cluster {

  private final String name;
  private final ServiceName service;
  private final List<Target> targets;
  private final BackendProtocol protocol;
  private final int[] next;
  private final CircuitBreaker circuit;
  private final ClusterHealth health;
  private volatile Usable usable;

  /**
   * Backends that get requests.
   *
   * @param version of the health that they were found by
   * @param growing whether the share of one of them may still grow
   */
  @SuppressWarnings("ArrayRecordComponent") // Read at each request, changed by nobody.
  private record Usable(int version, Target[] targets, boolean growing) {}

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
      String name,
      ServiceName service,
      List<Target> targets,
      BackendProtocol protocol,
      int loops,
      CircuitBreaker circuit,
      ClusterHealth health,
      long now) {
    this.name = name;
    this.service = service;
    this.targets = targets;
    this.protocol = protocol;
    this.next = new int[loops];
    this.circuit = circuit;
    this.health = health;
    this.usable = find(now);
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

  /** What its backends speak. */
  public BackendProtocol protocol() {
    return protocol;
  }

  /** Number of backends. */
  public int size() {
    return targets.size();
  }

  /** How much may be under way to it. */
  public CircuitBreaker circuit() {
    return circuit;
  }

  /** How its backends do. */
  public ClusterHealth health() {
    return health;
  }

  /**
   * The next backend in turn on this loop that was not tried yet: one that gets requests, if there
   * is one left, else any. When all of them were tried, one that is not the one tried last; when
   * there is only that one, that one.
   *
   * @param tried endpoints, the last one last
   */
  public Target pick(Loop loop, List<Endpoint> tried) {
    Target picked = pick(loop);
    if (tried.isEmpty()) {
      return picked;
    }
    Target second = picked;
    for (int i = usable.targets.length; i > 0; i--) {
      if (!tried.contains(picked.endpoint())) {
        return picked;
      }
      if (second.endpoint() == tried.getLast()) {
        second = picked;
      }
      picked = pick(loop);
    }
    for (Target target : targets) {
      if (!tried.contains(target.endpoint())) {
        return target;
      }
      if (second.endpoint() == tried.getLast()) {
        second = target;
      }
    }
    return second;
  }

  /** The next backend in turn on this loop that gets requests; only when there is a backend. */
  public Target pick(Loop loop) {
    Usable now = usable;
    if (now.version != health.version()) {
      now = find(loop.nanos());
      usable = now;
    }
    return now.growing && now.targets.length > 1 ? grown(loop, now) : next(loop, now);
  }

  private Target next(Loop loop, Usable now) {
    int turn = next[loop.index()];
    if (turn >= now.targets.length) {
      turn = 0;
    }
    next[loop.index()] = turn + 1;
    return now.targets[turn];
  }

  /** Whose share still grows gives some of its turns away. */
  private Target grown(Loop loop, Usable now) {
    long nanos = loop.nanos();
    if (!health.growing(nanos)) {
      usable = new Usable(now.version, now.targets, false);
      return next(loop, now);
    }
    Target picked = next(loop, now);
    for (int i = 1; i < now.targets.length; i++) {
      double share = health.share(picked.endpoint(), nanos);
      if (share >= 1 || loop.random().nextDouble() < share) {
        return picked;
      }
      picked = next(loop, now);
    }
    return picked;
  }

  /** When none gets requests, all do: somebody may answer, and nobody certainly will not. */
  private Usable find(long now) {
    // First the version: whatever changes after it is seen to once more.
    int version = health.version();
    List<Target> found = targets.stream().filter(t -> health.usable(t.endpoint())).toList();
    List<Target> near = found.stream().filter(t -> health.near(t.endpoint())).toList();
    List<Target> chosen = !near.isEmpty() ? near : !found.isEmpty() ? found : targets;
    return new Usable(version, chosen.toArray(Target[]::new), health.growing(now));
  }
}
