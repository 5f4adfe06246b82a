// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.resilience;

import dev.weir.policy.plan.TrafficPolicy.HealthCheck;
import dev.weir.policy.plan.TrafficPolicy.OutlierEjection;
import dev.weir.proxy.loop.Loop;
import dev.weir.proxy.upstream.Endpoint;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.UnaryOperator;
import org.jspecify.annotations.Nullable;

/**
 * How the endpoints of one cluster do, and which of them get requests (outlier detection, as Envoy
 * has it for consecutive errors).
 *
 * <p>Without a policy only failed connects count: where nobody listens, nobody is asked again for a
 * second, then two, four and so on up to 30, as long as another endpoint is left. Else one dead
 * endpoint of two would be met by every second request.
 *
 * <p>One per cluster and generation; what it knows of endpoints is shared with the generation
 * before. Requests read it without a lock; a lock is taken when an endpoint is ejected or comes
 * back.
 */
public final class ClusterHealth {

  /** Without a policy: out for so long the first time, twice as long each further time in a row. */
  static final long FIRST_PAUSE_NANOS = TimeUnit.SECONDS.toNanos(1);

  /** And never longer than this. */
  static final long LONGEST_PAUSE_NANOS = TimeUnit.SECONDS.toNanos(30);

  /** With a policy, unless its base time is longer; Envoy's max_ejection_time. */
  static final long LONGEST_EJECTION_NANOS = TimeUnit.SECONDS.toNanos(300);

  private final String cluster;
  private final Optional<OutlierEjection> policy;
  private final long slowStartNanos;
  private final List<Endpoint> near;
  private final Journal journal;
  private final AtomicInteger version;
  private final Map<String, EndpointHealth> known;
  private final IdentityHashMap<Endpoint, EndpointHealth> members = new IdentityHashMap<>();

  /** Why a try failed without an answer. */
  public enum Failure {
    /** There was no connection. */
    CONNECT,
    /** There was one, and no answer in time or no whole head of one. */
    NO_ANSWER
  }

  /**
   * What policies say of a cluster's endpoints.
   *
   * @param ejection when they are ejected; empty when no policy says it
   * @param slowStartMillis in which the share of one that is new, or back, grows; 0: it does not
   * @param near those that go first, as long as one of them is well
   */
  public record Settings(
      Optional<OutlierEjection> ejection, int slowStartMillis, List<Endpoint> near) {

    /** When no policy says anything. */
    public static final Settings NONE = new Settings(Optional.empty(), 0, List.of());

    /** Copies the list. */
    public Settings {
      near = List.copyOf(near);
    }
  }

  /**
   * Of a cluster.
   *
   * @param cluster name, for people
   * @param endpoints of it
   * @param settings what policies say of them
   * @param previous of the same cluster, whose knowledge goes on
   * @param now monotonic nanoseconds
   */
  public ClusterHealth(
      String cluster,
      List<Endpoint> endpoints,
      Settings settings,
      Journal journal,
      Optional<ClusterHealth> previous,
      long now) {
    this.cluster = cluster;
    this.policy = settings.ejection();
    this.slowStartNanos = TimeUnit.MILLISECONDS.toNanos(settings.slowStartMillis());
    this.near = settings.near();
    this.journal = journal;
    // The version is also the lock: it is what generations share.
    this.version = previous.map(p -> p.version).orElseGet(AtomicInteger::new);
    Map<String, EndpointHealth> before = previous.map(p -> p.known).orElse(Map.of());
    this.known = new HashMap<>();
    for (Endpoint endpoint : endpoints) {
      String name = endpoint.toString();
      EndpointHealth health = before.get(name);
      if (health == null) {
        health = new EndpointHealth(name);
        if (!before.isEmpty()) {
          health.begin(now);
        }
      }
      known.put(name, health);
      members.put(endpoint, health);
    }
  }

  /** Changes whenever {@link #usable} does for one of them. */
  public int version() {
    return version.get();
  }

  /** Whether an endpoint gets requests; one that is none of the cluster's does. */
  public boolean usable(Endpoint endpoint) {
    EndpointHealth health = members.get(endpoint);
    return health == null || health.usable();
  }

  /** Whether it is one of those that go first. */
  public boolean near(Endpoint endpoint) {
    return near.contains(endpoint);
  }

  /** Whether any endpoint has a share that still grows. */
  public boolean growing(long now) {
    if (slowStartNanos == 0) {
      return false;
    }
    for (EndpointHealth health : members.values()) {
      if (health.share(now, slowStartNanos) < 1) {
        return true;
      }
    }
    return false;
  }

  /** How much of an equal share an endpoint gets, to 1. */
  public double share(Endpoint endpoint, long now) {
    EndpointHealth health = members.get(endpoint);
    return health == null || slowStartNanos == 0 ? 1 : health.share(now, slowStartNanos);
  }

  /**
   * The backend answered.
   *
   * @param status of HTTP, or of gRPC where it is a call
   * @param error whether it says that the backend failed
   */
  public void answered(Loop loop, Endpoint endpoint, int status, boolean error) {
    EndpointHealth health = members.get(endpoint);
    if (health == null) {
      return;
    }
    if (error && policy.isPresent()) {
      erred(loop, health, "it answered " + status);
    } else {
      well(loop, health);
    }
  }

  /** A connection was made that is led on as it is. */
  public void connected(Loop loop, Endpoint endpoint) {
    EndpointHealth health = members.get(endpoint);
    if (health != null) {
      well(loop, health);
    }
  }

  /** The backend did not answer. */
  public void failed(Loop loop, Endpoint endpoint, Failure how, @Nullable Throwable cause) {
    EndpointHealth health = members.get(endpoint);
    if (health != null && (policy.isPresent() || how == Failure.CONNECT)) {
      erred(
          loop,
          health,
          how == Failure.CONNECT
              ? "no connection: " + (cause == null ? "" : cause.getMessage())
              : "no answer");
    }
  }

  private void well(Loop loop, EndpointHealth health) {
    health.succeeded();
    if (policy.isEmpty() && health.ejections() != 0) {
      synchronized (version) {
        health.forgive();
        if (health.ejected()) {
          readmit(loop, health);
        }
      }
    }
  }

  private void erred(Loop loop, EndpointHealth health, String why) {
    // What was under way when it was ejected says nothing new.
    if (!health.ejected()) {
      int errors = health.erred();
      if (errors >= policy.map(OutlierEjection::consecutiveErrors).orElse(1)) {
        eject(loop, health, errors, why);
      }
    }
  }

  private void eject(Loop loop, EndpointHealth health, int errors, String why) {
    synchronized (version) {
      if (health.ejected()) {
        return;
      }
      if (!mayEject(health)) {
        if (members.size() > 1) {
          journal.count(Journal.Event.NOT_EJECTED);
        }
        return;
      }
      long now = loop.nanos();
      long interval = policy.map(p -> TimeUnit.MILLISECONDS.toNanos(p.intervalMillis())).orElse(0L);
      int times = health.nextEjection(now, interval);
      long pause = pause(times);
      long until = now + pause;
      health.eject(times, until);
      version.incrementAndGet();
      journal.count(Journal.Event.EJECTED);
      journal.tell(
          "ejected "
              + health.endpoint()
              + " of "
              + cluster
              + " for "
              + TimeUnit.NANOSECONDS.toMillis(pause)
              + " ms, error "
              + errors
              + " in a row: "
              + why);
      var _ =
          loop.executor()
              .schedule(() -> timeIsOver(loop, health, until), pause, TimeUnit.NANOSECONDS);
    }
  }

  /** At least one may be, whatever the percentage; the last one that gets requests never is. */
  private boolean mayEject(EndpointHealth health) {
    int out = 0;
    boolean another = false;
    for (EndpointHealth member : members.values()) {
      out += member.ejected() ? 1 : 0;
      another |= member != health && member.usable();
    }
    int percent = policy.map(OutlierEjection::maxEjectedPercent).orElse(100);
    return another && (out == 0 || (out + 1) * 100L <= (long) percent * members.size());
  }

  private long pause(int times) {
    if (policy.isEmpty()) {
      return Math.min(LONGEST_PAUSE_NANOS, FIRST_PAUSE_NANOS << Math.min(times - 1, 8));
    }
    long base = TimeUnit.MILLISECONDS.toNanos(policy.get().baseEjectionMillis());
    return Math.min(Math.max(base, LONGEST_EJECTION_NANOS), base * times);
  }

  private void timeIsOver(Loop loop, EndpointHealth health, long until) {
    synchronized (version) {
      // Another ejection may have followed on an early return.
      if (health.ejected() && health.readmitAt() == until) {
        readmit(loop, health);
      }
    }
  }

  /** Health checks take it out. */
  void ill(EndpointHealth health, String why) {
    synchronized (version) {
      health.ill(true);
      version.incrementAndGet();
    }
    journal.count(Journal.Event.ILL);
    journal.tell("ill: " + health.endpoint() + " of " + cluster + ": " + why);
  }

  /** Health checks let it in again. */
  void well(EndpointHealth health, long now) {
    synchronized (version) {
      health.ill(false);
      health.begin(now);
      version.incrementAndGet();
    }
    journal.tell("well again: " + health.endpoint() + " of " + cluster);
  }

  /**
   * What its endpoints are asked. Those on other nodes are not: tunnels are made in somebody's
   * name.
   *
   * @param host that is asked for, where the policy names none
   * @param asked where an endpoint is asked, which may be another port of it
   */
  public List<HealthChecks.Check> checks(
      HealthCheck setting, Endpoint.Version spoken, String host, UnaryOperator<Endpoint> asked) {
    List<HealthChecks.Check> checks = new ArrayList<>();
    members.forEach(
        (endpoint, health) -> {
          if (!endpoint.isTunnelled()) {
            checks.add(
                new HealthChecks.Check(
                    this,
                    health,
                    asked.apply(endpoint),
                    spoken,
                    setting,
                    setting.host().isEmpty() ? host : setting.host()));
          }
        });
    return checks;
  }

  private void readmit(Loop loop, EndpointHealth health) {
    health.readmit(loop.nanos());
    version.incrementAndGet();
  }

  /** The endpoints that health checks took out. */
  public List<String> ill() {
    return known.values().stream()
        .filter(EndpointHealth::ill)
        .map(EndpointHealth::endpoint)
        .sorted()
        .toList();
  }

  /** The endpoints that get no requests for a while. */
  public List<String> ejected() {
    return known.values().stream()
        .filter(EndpointHealth::ejected)
        .map(EndpointHealth::endpoint)
        .sorted()
        .toList();
  }
}
